-- Lets one request of a key through, or says when it may come again: the bucket of decide/limit/rate.rs, kept in a store.
--
-- KEYS[1] is the bucket: how many requests it lacks, and at which microsecond. ARGV: requests, in so many microseconds,
-- burst. The answer: whether the request may pass (1 or 0), how many more may, and milliseconds until one may come again
-- and until the bucket is full.
local requests, per_us, burst = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

local lacking, since = string.match(redis.call('GET', KEYS[1]) or '', '^(%S+) (%S+)$')
lacking, since = tonumber(lacking) or 0, tonumber(since) or now
-- A clock that was set back gives nothing, and takes nothing away.
lacking = math.max(0, lacking - math.max(0, now - since) * requests / per_us)

local function milliseconds(lacks)
    -- Numbers are floating point here: without the allowance, 100 ms would now and then be 101.
    return math.max(0, math.ceil(lacks * per_us / requests / 1000 - 1e-6))
end

if lacking + 1 > burst + 1e-6 then
    return {0, 0, math.max(1, milliseconds(lacking + 1 - burst)), milliseconds(lacking)}
end
lacking = lacking + 1
local reset = milliseconds(lacking)
redis.call('SET', KEYS[1], string.format('%.17g %.0f', lacking, now), 'PX', string.format('%.0f', math.max(1, reset)))
return {1, math.max(0, math.floor(burst - lacking + 1e-6)), 0, reset}
