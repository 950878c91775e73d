"""`bascule status`: listeners, pools and endpoints, now."""

import json
import sys
from typing import Any

from bascule.cli import ask, options

WIDE = 120
"""Columns from which on reasons fit beside the numbers."""


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
        f"  up {_age(status['uptime_s'])}  process {status['process']}"
    )
    reload = status["last_reload"]
    if reload and not reload["ok"]:
        console.print(
            f"[red]the last reload was refused[/]; the old configuration goes on:\n{escape(reload['why'])}"
        )
    for problem in status["problems"]:
        console.print(f"[yellow]![/] {escape(problem)}")
    console.print(_listeners(status["listeners"]))
    for pool in status["pools"]:
        is_wide = console.width >= WIDE
        console.print(_pool(pool, with_reasons=is_wide))
        if not is_wide:
            for line in _reasons(pool):
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


def _pool(pool: dict[str, Any], *, with_reasons: bool) -> Any:
    title = f"pool {pool['pool']} ({pool['algorithm']}), {pool['up']} of {len(pool['endpoints'])} up"
    from rich.markup import escape  # noqa: PLC0415 (keeps `--json` and `--help` fast)

    columns = ("endpoint", "state", "weight", "in flight", "req/s", "err/s", "p50", "p99", "for")
    table = _table(title, *columns, *(["because"] if with_reasons else []))
    for it in pool["endpoints"]:
        table.add_row(
            escape(it["endpoint"]),
            _state(it),
            str(it["weight"]),
            str(it.get("in_flight", 0)),
            f"{it['requests_per_s']:.1f}",
            f"{it['errors_per_s']:.1f}",
            latency(it["p50_us"]),
            latency(it["p99_us"]),
            _age(it["changed_s_ago"]),
            *([escape(it["reason"])] if with_reasons else []),
        )
    return table


def _reasons(pool: dict[str, Any]) -> list[str]:
    """Why endpoints are down, line by line, where the table has no room for it."""
    from rich.markup import escape  # noqa: PLC0415 (keeps `--json` and `--help` fast)

    down = [it for it in pool["endpoints"] if not it["up"]]
    return [f" {escape(it['endpoint'])} is [red]down[/]: {escape(it['reason'])}" for it in down]


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
    if not endpoint["up"]:
        return "[red]down[/]"
    return "[yellow]draining[/]" if endpoint["draining"] else "[green]up[/]"


def latency(microseconds: int | None) -> str:
    """Three digits at most: `850 µs`, `12.3 ms`, `1.20 s`."""
    if microseconds is None:
        return "-"
    for unit, size in (("s", 1_000_000), ("ms", 1000)):
        if microseconds >= size:
            value = microseconds / size
            return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f} {unit}"
    return f"{microseconds} µs"


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    whole = int(seconds)
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if whole >= size:
            return f"{whole // size}{unit}"
    return f"{whole}s"
