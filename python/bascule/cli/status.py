"""`bascule status`: listeners, pools and endpoints, now."""

import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from bascule.cli import ask, options

MOST_CERTIFICATES = 10
"""That are shown; metrics have all of them."""
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
    if status.get("certificates"):
        console.print(_certificates(status["certificates"]))
    if status.get("orders"):
        console.print(_orders(status["orders"]))
    is_wide = console.width >= WIDE
    for pool in status["pools"]:
        console.print(_pool(pool, console.width))
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


def _certificates(certificates: list[dict[str, Any]]) -> Any:
    """Those that end first."""
    table = _table("certificates", "used by", "names", "kind", "days left", "file")
    for it in sorted(certificates, key=lambda it: it["expires_at"])[:MOST_CERTIFICATES]:
        names = ", ".join(it["names"][:3]) or "-"
        more = f" and {len(it['names']) - 3} more" if len(it["names"]) > 3 else ""
        left = str(it["days_left"]) if it["days_left"] > 7 else f"[red]{it['days_left']}[/]"
        table.add_row(it["used_by"], _escaped(names + more), it["kind"], left, _escaped(it["file"]))
    return table


def _orders(orders: list[dict[str, Any]]) -> Any:
    """Those that are ordered next first."""
    table = _table("ordered certificates", "names", "state", "got", "expires", "next order", "failures")
    for it in sorted(orders, key=lambda it: it["next_order_at"] or 0)[:MOST_CERTIFICATES]:
        names = ", ".join(it["names"][:3])
        more = f" and {len(it['names']) - 3} more" if len(it["names"]) > 3 else ""
        state = f"[red]{it['state']}[/]" if it["state"] == "failed" else it["state"]
        times = (_day(it[key]) for key in ("got_at", "expires_at", "next_order_at"))
        table.add_row(_escaped(names + more), state, *times, str(it["failures"]))
    return table


def _day(unix: int | None) -> str:
    return "-" if unix is None else datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M")


def _pool(pool: dict[str, Any], width: int) -> Any:
    title = f"pool {pool['pool']} ({pool['algorithm']}), {pool['up']} of {len(pool['endpoints'])} up"
    if ejected := sum(1 for it in pool["endpoints"] if it["ejected"]):
        title += f", {ejected} ejected"
    columns = [(name, value) for name, least, value in _COLUMNS if width >= least]
    table = _table(title, *(name for name, _ in columns))
    for it in pool["endpoints"]:
        table.add_row(*(value(it) for _, value in columns))
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
    for it in endpoints:
        if it["state"] != "up":
            yield f" {_escaped(it['endpoint'])}: {_state(it)}: {_escaped(it['reason'])}"
        if it["failures"] or it["ejections"]:
            counts = f"failures {it['failures']}, ejections {it['ejections']}, pace {latency(it['pace_us'])}"
            yield f" {_escaped(it['endpoint'])}: {counts}"


def _escaped(text: str) -> str:
    from rich.markup import escape  # noqa: PLC0415 (keeps `--json` and `--help` fast)

    return escape(text)


def _in_flight(endpoint: dict[str, Any]) -> str:
    """With the limit, where there is one: `3/16`."""
    limit = endpoint["limit"]
    return str(endpoint["in_flight"]) if limit is None else f"{endpoint['in_flight']}/{limit}"


def _table(title: str, *columns: str) -> Any:
    from rich.box import SIMPLE  # noqa: PLC0415 (keeps `--json` and `--help` fast)
    from rich.table import Table  # noqa: PLC0415

    table = Table(title=title or None, title_justify="left", box=SIMPLE, pad_edge=False)
    words = {"listener", "address", "endpoint", "state", "because", "used by", "names", "kind", "file"}
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


_COLUMNS: tuple[tuple[str, int, Callable[[dict[str, Any]], str]], ...] = (
    ("endpoint", 0, lambda it: _escaped(it["endpoint"])),
    ("state", 0, _state),
    ("weight", 100, lambda it: str(it["weight"])),
    ("in flight", 0, _in_flight),
    ("req/s", 0, lambda it: f"{it['requests_per_s']:.1f}"),
    ("err/s", 0, lambda it: f"{it['errors_per_s']:.1f}"),
    ("p50", 100, lambda it: latency(it["p50_us"])),
    ("p99", 0, lambda it: latency(it["p99_us"])),
    ("for", 0, lambda it: age(it["changed_s_ago"])),
    ("pace", WIDE, lambda it: latency(it["pace_us"])),
    ("failures", WIDE, lambda it: str(it["failures"])),
    ("ejections", WIDE, lambda it: str(it["ejections"])),
    ("because", WIDE, lambda it: _escaped(it["reason"])),
)
"""What is shown of an endpoint: title, how many columns a terminal needs for it, and what stands there."""
