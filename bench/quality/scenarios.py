"""What balancers are put through: the load, and what happens to which endpoint when."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from bench.quality.figures import Burst
from bench.quality.fleet import Size
from bench.quality.oracle import COLD_SECONDS
from bench.quality.timeline import NEVER, Event
from bench.quality.trace import MEAN_DEMAND_S, Phase
from bench.report import Column

WARM_SECONDS = 2.0
"""Traffic before anything counts or happens: connections open, and balancers learn."""
FAULT_AT = WARM_SECONDS + 2.0
FAULTY_SECONDS = 8.0
SPARE = 2
"""How many cold endpoints `scaleout` adds."""
SLOWED = 4.0
DRAIN_SECONDS, RESTART_SECONDS = 1.6, 0.4
"""An endpoint's check fails for so long before it leaves; so much later it is there again."""

LATENCY = (
    Column("mean excess ms", "mean_excess_ms", 1),
    Column("p50 ms", "p50_ms", 1),
    Column("p99 ms", "p99_ms", 1),
    Column("p99.9 ms", "p999_ms", 1),
    Column("missed SLO %", "slo_miss_percent", 2),
)
COSTS = (
    Column("extra tries %", "extra_percent", 2),
    Column("CPU µs per request", "cpu_us", 0),
    Column("client late µs", "late_p99_us", 0),
)
BAD = (Column("% to it", "bad_share_percent", 2), Column("requests to it", "bad_requests"))
WINDOW = (
    Column("p99 ms then", "window_p99_ms", 1),
    Column("missed SLO % then", "window_slo_miss_percent", 2),
)
OVERLOAD = (
    Column("goodput / capacity", "goodput_share", 3),
    Column("p99 of admitted ms", "p99_admitted_ms", 1),
    Column("recovery s", "recovery_s", 1),
    Column("shed %", "shed_percent", 1),
)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One run's worth of traffic and trouble."""

    name: str
    title: str
    size: Size
    phases: Sequence[Phase]
    slowness: Sequence[float] = ()
    """Of each endpoint, from the start; all alike by default."""
    spare: int = 0
    """How many of the last endpoints start cold, and are in no configuration before an event says so."""
    events: Sequence[Event] = ()
    bad: Sequence[int] = ()
    """The endpoints that the events are about, where it matters how much is still sent to them."""
    window: tuple[float, float] | None = None
    """When something is wrong, in seconds, where that time has figures of its own."""
    burst: Burst | None = None
    post: bool = False
    details: Sequence[Column] = field(default=())
    """What it shows beyond latency and costs."""

    @property
    def capacity(self) -> float:
        """Requests per second that the endpoints in its first configuration can do."""
        there = self.speeds[: self.size.endpoints - self.spare]
        return sum(self.size.workers / MEAN_DEMAND_S / it for it in there)

    @property
    def speeds(self) -> Sequence[float]:
        """The slowness of each endpoint at the start."""
        return self.slowness or (1.0,) * self.size.endpoints

    @property
    def columns(self) -> Sequence[Column]:
        return (*self.details, *LATENCY, *COSTS)

    @property
    def fault_at(self) -> float:
        """When the first thing happens."""
        return min((it.at for it in self.events), default=NEVER)


def scenarios(size: Size, load: float | None = None) -> Sequence[Scenario]:
    """All of them, for a fleet of that size; `load` replaces the share of capacity that each has itself."""
    return (
        *_steady(size, load),
        _antagonist(size, load),
        *_faults(size, load),
        _overload(size, load),
        *_operations(size, load),
    )


def _lasting(seconds: float, load: float) -> Sequence[Phase]:
    return (Phase(WARM_SECONDS + seconds, load),)


def _steady(size: Size, load: float | None) -> Sequence[Scenario]:
    half = size.endpoints // 2
    unequal = (1.0,) * (size.endpoints - half) + (2.0,) * half
    return (
        Scenario("homog80", "Equal endpoints at 80 %", size, _lasting(10, load or 0.80)),
        Scenario("homog95", "Equal endpoints at 95 %", size, _lasting(12, load or 0.95)),
        Scenario(
            "hetero80",
            "Half of the endpoints at half speed, at 80 % of what they can do together",
            size,
            _lasting(12, load or 0.80),
            slowness=unequal,
        ),
    )


def _antagonist(size: Size, load: float | None) -> Scenario:
    one = size.endpoints // 3
    two = (one, size.endpoints - 1 - one // 2)
    begins, ends = WARM_SECONDS + 4, WARM_SECONDS + 8
    return Scenario(
        "antagonist",
        "65 %; two endpoints are four times slower for the middle third",
        size,
        _lasting(12, load or 0.65),
        events=[
            *(Event(begins, "slow", it, SLOWED) for it in two),
            *(Event(ends, "normal", it) for it in two),
        ],
        bad=two,
        window=(begins, ends),
        details=(*WINDOW, BAD[0]),
    )


def _faults(size: Size, load: float | None) -> Sequence[Scenario]:
    one = size.endpoints // 3
    usual = _lasting(FAULT_AT - WARM_SECONDS + FAULTY_SECONDS, load or 0.70)
    kill = Scenario(
        "kill",
        "70 %; the process of one is killed, and started again 4 s later",
        size,
        usual,
        events=[Event(FAULT_AT, "kill", one), Event(FAULT_AT + 4, "start", one)],
    )
    flapping = Scenario(
        "flapping",
        "70 %; one is killed and started again, five times",
        size,
        usual,
        events=[
            event
            for turn in range(5)
            for event in (
                Event(FAULT_AT + 1.4 * turn, "kill", one),
                Event(FAULT_AT + 1.4 * turn + 0.7, "start", one),
            )
        ],
    )
    faulty = replace(kill, bad=(one,), details=BAD)
    return (
        kill,
        replace(kill, name="kill-post", title=f"The same with POST: {kill.title}", post=True),
        replace(
            faulty,
            name="silent",
            title="70 %; one falls silent, its check fails too",
            events=[Event(FAULT_AT, "silent", one)],
        ),
        replace(
            faulty,
            name="grayhole",
            title="70 %; one falls silent, but its check passes",
            events=[Event(FAULT_AT, "hole", one)],
        ),
        replace(
            faulty,
            name="fastfail",
            title="70 %; one answers 500 at once, but its check passes",
            events=[Event(FAULT_AT, "fail", one)],
        ),
        flapping,
    )


def _overload(size: Size, load: float | None) -> Scenario:
    calm, seconds = Phase(WARM_SECONDS + 1, 0.60), 5.0
    begins = calm.seconds
    scenario = Scenario(
        "overload150",
        "60 %, then 150 % for 5 s, then 60 % again",
        size,
        (calm, Phase(seconds, load or 1.50), Phase(5, 0.60)),
        details=OVERLOAD,
    )
    return replace(scenario, burst=Burst(begins, begins + seconds, scenario.capacity))


def _operations(size: Size, load: float | None) -> Sequence[Scenario]:
    # Small fleets cannot spare more than one at a time.
    apart = 1.3 if size.endpoints >= 8 else DRAIN_SECONDS + RESTART_SECONDS + 1
    first = WARM_SECONDS + 0.5
    events = [
        event
        for number in range(size.endpoints)
        for event in (
            Event(first + apart * number, "drain", number),
            Event(first + apart * number + DRAIN_SECONDS, "leave", number),
            Event(first + apart * number + DRAIN_SECONDS + RESTART_SECONDS, "start", number),
        )
    ]
    rolling = Scenario(
        "rolling",
        f"60 %; every endpoint is drained, leaves and comes back, one {apart} s after the other",
        size,
        _lasting(max(it.at for it in events) + 1 - WARM_SECONDS, load or 0.60),
        events=events,
    )
    grown = Size(size.endpoints + SPARE, size.workers)
    return (
        rolling,
        replace(rolling, name="rolling-post", title=f"The same with POST: {rolling.title}", post=True),
        Scenario(
            "scaleout",
            "80 %; two cold endpoints are added by reload",
            grown,
            _lasting(10, load or 0.80),
            spare=SPARE,
            window=(FAULT_AT, FAULT_AT + COLD_SECONDS + 1),
            details=WINDOW,
            events=[Event(FAULT_AT, "reload", size.endpoints + it) for it in range(SPARE)],
        ),
    )
