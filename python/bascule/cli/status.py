"""`bascule status`: listeners, pools and endpoints, now."""

import json
import sys
from collections.abc import Iterator
from typing import Any

from bascule.cli import ask, options

WIDE = 150
"""Columns from which on everything fits beside each other, reasons too."""

_COLOURS = {"up": "green", "draining": "yellow", "maintenance": "cyan"}


def command(
    admin: options.Admin = None, as_json: options.AsJson = False, timeout: options.Timeout = 10.0
) -> None:
    """Show listeners, pools and endpoints, now: what is up, why not, and how fast it answers.

    \b
    Example: bascule status --json | jq '.pools[].endpoints[] | select(.up | not)'
    """
    status = ask.ask(ask.where(admin), "GET", "/status", timeout_s=timeout).body
    if as_json:
        print(json.dumps(status, indent=2, ensure_ascii=False))
        return
    _print(status)


def _print(status: dict[str, Any]) -> None:
    from rich.console import Console  # noqa: PLC0415 (keeps `--json` and `--help` fast)
    from rich.markup import escape  # noqa: PLC0415

    # Into a pipe or a file it is as wide as it needs to be.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    console.print(
        f"bascule {status['version']}  {status['state']}  generation {status['generation']}"
        f"  up {age(status['uptime_s'])}  process {status['process']}"
    )
    reload = status["last_reload"]
    if reload and not reload["ok"]:
        console.print(
            f"[red]the last reload was refused[/]; the old configuration goes on:\n{escape(reload['why'])}"
        )
    for problem in status["problems"]:
        console.print(f"[yellow]![/] {escape(problem)}")
    console.print(_listeners(status["listeners"]))
    is_wide = console.width >= WIDE
    for pool in status["pools"]:
        console.print(_pool(pool, is_wide=is_wide))
        for line in _below(pool, is_wide=is_wide):
            console.print(line, soft_wrap=True)


def _listeners(listeners: list[dict[str, Any]]) -> Any:
    table = _table("", "listener", "address", "open", "in flight", "requests")
    for it in listeners:
        table.add_row(
            it["listener"],
            ", ".join(it["addresses"]),
            str(it["open"]),
            str(it["in_flight"]),
            str(it["requests"]),
        )
    return table


def _pool(pool: dict[str, Any], *, is_wide: bool) -> Any:
    from rich.markup import escape  # noqa: PLC0415 (keeps `--json` and `--help` fast)

    title = f"pool {pool['pool']} ({pool['algorithm']}), {pool['up']} of {len(pool['endpoints'])} up"
    if ejected := sum(1 for it in pool["endpoints"] if it["ejected"]):
        title += f", {ejected} ejected"
    columns = ["endpoint", "state", "weight", "in flight", "req/s", "err/s", "p50", "p99", "for"]
    table = _table(title, *columns, *(["pace", "failures", "ejections", "because"] if is_wide else []))
    for it in pool["endpoints"]:
        table.add_row(
            escape(it["endpoint"]),
            _state(it),
            str(it["weight"]),
            _in_flight(it),
            f"{it['requests_per_s']:.1f}",
            f"{it['errors_per_s']:.1f}",
            latency(it["p50_us"]),
            latency(it["p99_us"]),
            age(it["changed_s_ago"]),
            *([latency(it["pace_us"]), str(it["failures"]), str(it["ejections"])] if is_wide else []),
            *([escape(it["reason"])] if is_wide else []),
        )
    return table


def _below(pool: dict[str, Any], *, is_wide: bool) -> Iterator[str]:
    """What stands under the table of a pool: what its requests met, and what the table has no room for."""
    if pool["overloaded"]:
        yield " [red]overloaded[/]: limits are enforced; what waits too long is shed"
    yield (
        f" {pool['waiting']} waiting, {pool['shed_per_s']:.1f} shed/s, {pool['hedged']} hedged,"
        f" {pool['retries_denied']} retries denied"
    )
    sessions = pool["sessions"]
    if any(sessions.values()):
        yield f" sessions: {', '.join(f'{count} {what}' for what, count in sessions.items())}"
    if not is_wide:
        yield from _reasons(pool["endpoints"])


def _reasons(endpoints: list[dict[str, Any]]) -> Iterator[str]:
    from rich.markup import escape  # noqa: PLC0415 (keeps `--json` and `--help` fast)

    for it in endpoints:
        if it["state"] != "up":
            yield f" {escape(it['endpoint'])} is {_state(it)}: {escape(it['reason'])}"
        if it["failures"] or it["ejections"]:
            pace = f", pace {latency(it['pace_us'])}"
            counts = f"{it['failures']} failures, ejected {it['ejections']} times"
            yield f" {escape(it['endpoint'])}: {counts}{pace}"


def _in_flight(endpoint: dict[str, Any]) -> str:
    """With the limit, where there is one: `3/16`."""
    limit = endpoint["limit"]
    return str(endpoint["in_flight"]) if limit is None else f"{endpoint['in_flight']}/{limit}"


def _table(title: str, *columns: str) -> Any:
    from rich.box import SIMPLE  # noqa: PLC0415 (keeps `--json` and `--help` fast)
    from rich.table import Table  # noqa: PLC0415

    table = Table(title=title or None, title_justify="left", box=SIMPLE, pad_edge=False)
    words = {"listener", "address", "endpoint", "state", "because"}
    for column in columns:
        # Only reasons may be wrapped: half an address is worth nothing.
        table.add_column(
            column,
            justify="left" if column in words else "right",
            no_wrap=column != "because",
            overflow="fold",
        )
    return table


def _state(endpoint: dict[str, Any]) -> str:
    state = endpoint["state"]
    return f"[{_COLOURS.get(state, 'red')}]{state}[/]"


def latency(microseconds: int | None) -> str:
    """Three digits at most: `850 µs`, `12.3 ms`, `1.20 s`."""
    if microseconds is None:
        return "-"
    for unit, size in (("s", 1_000_000), ("ms", 1000)):
        if microseconds >= size:
            value = microseconds / size
            return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f} {unit}"
    return f"{microseconds} µs"


def age(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    whole = int(seconds)
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if whole >= size:
            return f"{whole // size}{unit}"
    return f"{whole}s"
