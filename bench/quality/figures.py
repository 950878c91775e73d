"""From what became of each request to the figures of a run."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SLO_S = 0.200
ERROR_S = 3.0
"""An error counts as an answer that took this long: what clients wait for at most."""
BIN_S = 0.1
CALM_BINS = 5
"""A burst is over when this many bins in a row are within the service level."""
MISSES_LET_PASS = 0.05


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request."""

    at: float
    """Seconds after the start at which it was to be sent; latency counts from there."""
    demand: float
    status: int
    """0 when there was no answer."""
    latency: float
    endpoint: int = 0
    """From 1; 0 when none answered."""
    hits: int = 1
    """How many endpoints' doors it has come to."""

    @property
    def ok(self) -> bool:
        return self.status == 200

    @property
    def counted(self) -> float:
        """Its latency as the figures count it."""
        return self.latency if self.ok else ERROR_S

    @property
    def missed(self) -> bool:
        return self.counted > SLO_S


@dataclass(frozen=True, slots=True)
class Hit:
    """A request as it came to an endpoint."""

    at: float
    endpoint: int
    """From 0."""
    request: int


@dataclass(frozen=True, slots=True)
class Burst:
    """A stretch of more work than can be done."""

    begins: float
    ends: float
    capacity: float
    """Requests per second."""


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all do not exceed. Raises `ValueError` without values."""
    if not values:
        raise ValueError("no values have no quantile")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def overall(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Latency, missed service levels and errors. Outcomes of the warm-up should not be among them."""
    counted = [it.counted for it in outcomes]
    errors = [it for it in outcomes if not it.ok]
    figures = {
        "requests": float(len(outcomes)),
        "mean_excess_ms": 1e3 * sum(it.counted - it.demand for it in outcomes) / len(outcomes),
        "p50_ms": 1e3 * quantile(counted, 0.5),
        "p99_ms": 1e3 * quantile(counted, 0.99),
        "p999_ms": 1e3 * quantile(counted, 0.999),
        "slo_miss_percent": 100 * sum(it.missed for it in outcomes) / len(outcomes),
        "errors": float(len(errors)),
        "unserved_errors": float(sum(not it.hits for it in errors)),
        "extra_percent": 100 * sum(max(0, it.hits - 1) for it in outcomes) / len(outcomes),
    }
    return figures | {
        f"status_{status}": float(n) for status, n in Counter(it.status for it in errors).items()
    }


def in_window(outcomes: Iterable[Outcome], begins: float, ends: float) -> dict[str, float]:
    """The tail of what was sent while something was wrong."""
    there = [it for it in outcomes if begins <= it.at < ends]
    return {
        "window_p99_ms": 1e3 * quantile([it.counted for it in there], 0.99),
        "window_slo_miss_percent": 100 * sum(it.missed for it in there) / len(there),
    }


def sent_to(hits: Iterable[Hit], bad: Sequence[int], begins: float, ends: float) -> dict[str, float]:
    """What was sent to endpoints while they were bad, and its share of all that was sent meanwhile."""
    there = [it for it in hits if begins <= it.at < ends]
    to_bad = sum(it.endpoint in bad for it in there)
    return {"bad_requests": float(to_bad), "bad_share_percent": 100 * to_bad / max(1, len(there))}


def under(burst: Burst, outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Useful answers as a share of what could be done, their tail, and the time until all is well again."""
    during = [it for it in outcomes if burst.begins <= it.at < burst.ends]
    admitted = [it.latency for it in during if it.ok]
    could = burst.capacity * (burst.ends - burst.begins)
    return {
        "goodput_share": sum(not it.missed for it in during) / could,
        "p99_admitted_ms": 1e3 * quantile(admitted, 0.99) if admitted else 1e3 * ERROR_S,
        "recovery_s": recovery(outcomes, burst.ends),
        "shed_percent": 100 * sum(it.status == 503 for it in during) / max(1, len(during)),
    }


def recovery(outcomes: Iterable[Outcome], since: float) -> float:
    """Seconds from `since` until answers are within the service level for half a second on end.

    Up to one miss in twenty is let pass. All the time that there is when it does not happen.
    """
    later = [it for it in outcomes if it.at >= since]
    bins: dict[int, list[bool]] = {}
    for it in later:
        bins.setdefault(int((it.at - since) / BIN_S), []).append(it.missed)
    calm = 0
    count = max(bins, default=-1) + 1
    for number in range(count):
        missed = bins.get(number, [])
        calm = calm + 1 if sum(missed) <= MISSES_LET_PASS * len(missed) else 0
        if calm == CALM_BINS:
            return BIN_S * (number + 1 - CALM_BINS)
    return BIN_S * count
