"""Certificates that are ordered, for `status` and metrics: what was got, what failed, what comes next."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bascule.acme.keeper import State

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class OrderSample:
    """What metrics tell of one certificate."""

    labels: Labels
    renews_at: int
    """Unix time."""
    got: int
    failed: int
    failures: int
    """In a row."""


def describe(states: "Iterable[State]") -> list[dict[str, Any]]:
    """In the order of the configuration. Times are Unix times."""
    return [
        {
            "names": list(it.names),
            "authority": it.authority,
            "state": _word(it),
            "got_at": _whole(it.record.got_at),
            "expires_at": None if it.certificate is None else it.certificate.not_after,
            "next_order_at": _whole(it.due_at) or None,
            "failures": it.record.failures,
            "failed_at": _whole(it.record.failed_at),
            "last_failure": it.record.why,
        }
        for it in states
    ]


def samples(states: "Iterable[State]") -> tuple[OrderSample, ...]:
    """One for each certificate, by its first name."""
    return tuple(
        OrderSample(
            labels=(("name", it.names[0]), ("names", str(len(it.names)))),
            renews_at=int(it.due_at),
            got=it.got,
            failed=it.failed,
            failures=it.record.failures,
        )
        for it in states
    )


def problems(states: "Iterable[State]", now: float) -> Iterator[str]:
    """What failed last, one line for each certificate."""
    from bascule.certificates.certificate import on_day  # noqa: PLC0415 (only where something has failed)

    for it in states:
        if it.record.failures == 0 or it.record.why is None:
            continue
        times = "once" if it.record.failures == 1 else f"{it.record.failures} times"
        if it.certificate is None:
            shown = "none is shown"
        elif it.certificate.not_after <= now:
            shown = f"the old one ended on {on_day(it.certificate.not_after)}"
        else:
            shown = f"the old one is valid until {on_day(it.certificate.not_after)}"
        why = "; ".join(line.strip() for line in it.record.why.splitlines())
        what = f"the certificate for {', '.join(it.names[:3])} was not issued ({times}): {why}"
        yield f"{what}; {shown}; next try on {on_day(it.due_at)}"


def _word(state: "State") -> str:
    if state.is_ordering:
        return "ordering"
    if state.record.failures:
        return "failed"
    return "waiting" if state.certificate is None else "valid"


def _whole(at: float | None) -> int | None:
    return None if at is None else int(at)
