"""`bascule wait`: returns when an endpoint is in a state."""

import re
import sys
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer

from bascule.cli import ask, named, options
from bascule.cli.exits import TimedOut, UsageWrong
from bascule.units import UnitRefused, parse_duration

LOOK_EVERY_S = 0.25

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)


class Until(StrEnum):
    """What may be waited for."""

    DRAINED = "drained"
    UP = "up"
    DOWN = "down"
    READY = "ready"


HOLDS: Mapping[Until, Callable[[dict[str, Any]], bool]] = {
    Until.DRAINED: lambda it: _gets_no_work(it) and it["in_flight"] == 0,
    Until.UP: lambda it: it["up"] and _is_known(it),
    Until.DOWN: lambda it: not it["up"] and _is_known(it),
    Until.READY: lambda it: it["state"] == "up" and it["weight"] > 0 and _is_known(it),
}
"""What each means, of an endpoint as the admin API tells it."""


@app.callback()
def root() -> None:
    """Return when something is so.

    \b
    Example: bascule wait endpoint site/10.0.0.1:8000 drained
    """


@app.command("endpoint")
def endpoint(
    name: options.Endpoint,
    until: Annotated[
        Until, typer.Argument(metavar="STATE", help="drained, up, down or ready.", show_default=False)
    ],
    timeout: Annotated[
        str, typer.Option("--timeout", metavar="DURATION", help="Then exit code 4: 90s, 5m, or seconds.")
    ] = "5m",
    admin: options.Admin = None,
    quiet: options.Quiet = False,
) -> None:
    """Return when an endpoint is in a state; at once when it is in it already.

    `drained`: it gets no new work, and nothing is in flight. `up`, `down`: what its check, once it has been
    made, and its agent say. `ready`: up, and it gets its share of new work.

    \b
    Example: bascule wait endpoint site/10.0.0.1:8000 drained --timeout 5m
    """
    path, address = named.state_of(name), ask.where(admin)
    until_s = time.monotonic() + _seconds(timeout)
    has_warned = quiet
    while True:
        left_s = until_s - time.monotonic()
        seen = ask.ask(address, "GET", path, timeout_s=min(10.0, max(left_s, 0.1))).body
        if HOLDS[until](seen):
            break
        if until is Until.DRAINED and not _gets_no_work(seen) and not has_warned:
            print(
                f"{name} still gets new work: drain it with `bascule endpoint {name} drain`", file=sys.stderr
            )
            has_warned = True
        if left_s <= 0:
            raise TimedOut(f"not {until.value} within {timeout}: {named.in_short(seen)}")
        time.sleep(min(LOOK_EVERY_S, left_s))
    if not quiet:
        print(named.in_short(seen), file=sys.stderr)


def _is_known(seen: dict[str, Any]) -> bool:
    """Whether its check has been made since it became known or came out of maintenance, if it has one."""
    return seen["changed_s_ago"] is None or seen["checked_s_ago"] is not None


def _gets_no_work(seen: dict[str, Any]) -> bool:
    return bool(seen["draining"] or seen["maintenance"])


def _seconds(written: str) -> float:
    try:
        bare = re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", written)
        return float(written) if bare else parse_duration(written) / 1000
    except UnitRefused as refused:
        raise UsageWrong(f"--timeout: {refused.message}", refused.hint) from refused
