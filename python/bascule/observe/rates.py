"""Two readings of monotonic counters → what happened per second between them, and latency quantiles."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from bascule import contract
from bascule.clock import Clock

WINDOW_S = 10.0
"""Rates are over this much time and up to one more reading, or over a shorter life of the balancer."""

Key = tuple[str, str]
"""Pool and endpoint."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What something did lately. The quantiles are `None` when it did nothing."""

    requests_per_s: float
    errors_per_s: float
    """Answers with a 5xx status, and exchanges that got none."""
    p50_us: int | None
    p99_us: int | None


QUIET = Rates(0.0, 0.0, None, None)


class Readings:
    """The last few readings, so that a rate can be told at any moment.

    They are kept as bytes: most are never looked at, and decoding a thousand endpoints once
    a second for nobody would show in the balancer's CPU time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: deque[tuple[float, bytes]] = deque()

    def keep(self, stats: bytes) -> None:
        now = self._clock.now()
        self._kept.append((now, stats))
        # One reading older than the window stays: it is what the window begins with.
        while len(self._kept) > 1 and self._kept[1][0] <= now - WINDOW_S:
            self._kept.popleft()

    def oldest(self) -> tuple[float, bytes] | None:
        """When rates begin, and the reading of then; `None` before the first reading."""
        return self._kept[0] if self._kept else None


def between(before: contract.Stats, after: contract.Stats, seconds: float) -> dict[Key, Rates]:
    """Rates of every endpoint that has ever seen traffic; empty when no time has passed."""
    if seconds <= 0:
        return {}
    old, new = _by_endpoint(before), _by_endpoint(after)
    return {key: _rates(old.get(key, _Sum()), total, seconds) for key, total in new.items()}


def shed_between(before: contract.Stats, after: contract.Stats, seconds: float) -> dict[str, float]:
    """Requests that each pool shed per second; empty when no time has passed."""
    if seconds <= 0:
        return {}
    old = {it.pool: it.shed for it in before.pools}
    return {it.pool: max(0, it.shed - old.get(it.pool, 0)) / seconds for it in after.pools}


def quantile(counts: dict[int, int], share: float) -> int | None:
    """The value (µs) below which `share` of the counts lie; `counts` is by exclusive upper bound.

    Linear within a bucket, so at most a quarter of a power of two away from the truth.
    """
    total = sum(counts.values())
    if total == 0:
        return None
    wanted, seen = share * total, 0
    upper = 0
    for upper in sorted(counts):
        if seen + counts[upper] >= wanted:
            within = (wanted - seen) / counts[upper]
            return round(upper - (1 - within) * _width(upper))
        seen += counts[upper]
    return upper


@dataclass(slots=True)
class _Sum:
    exchanges: int = 0
    errors: int = 0
    durations: dict[int, int] | None = None

    def add(self, series: contract.Series) -> None:
        self.exchanges += sum(it.count for it in series.codes)
        self.errors += sum(it.count for it in series.codes if it.code == 0 or 500 <= it.code < 600)
        self.durations = _added(self.durations or {}, series.duration.buckets)


def _by_endpoint(stats: contract.Stats) -> dict[Key, _Sum]:
    sums: dict[Key, _Sum] = {}
    for series in stats.series:
        if series.pool is not None and series.endpoint is not None:
            sums.setdefault((series.pool, series.endpoint), _Sum()).add(series)
    return sums


def _added(counts: dict[int, int], buckets: Iterable[contract.Bucket]) -> dict[int, int]:
    for bucket in buckets:
        counts[bucket.upper_us] = counts.get(bucket.upper_us, 0) + bucket.count
    return counts


def _rates(old: _Sum, new: _Sum, seconds: float) -> Rates:
    before = old.durations or {}
    lately = {upper: count - before.get(upper, 0) for upper, count in (new.durations or {}).items()}
    # A counter that went backwards belongs to an endpoint that left and came back: begin anew.
    lately = {upper: count for upper, count in lately.items() if count > 0}
    return Rates(
        requests_per_s=max(0, new.exchanges - old.exchanges) / seconds,
        errors_per_s=max(0, new.errors - old.errors) / seconds,
        p50_us=quantile(lately, 0.50),
        p99_us=quantile(lately, 0.99),
    )


def _width(upper_us: int) -> int:
    """Four buckets per power of two: a bucket that ends in (2^k, 2^(k+1)] is 2^k / 4 wide."""
    return max(1, (1 << ((upper_us - 1).bit_length() - 1)) // 4) if upper_us > 1 else 1
