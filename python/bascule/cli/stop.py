"""`bascule stop`: drain the running balancer and stop it."""

import sys
import time
from typing import Annotated

import typer

from bascule.admin.address import AdminAddress
from bascule.cli import ask, options
from bascule.cli.exits import TimedOut, Unreachable

LOOK_EVERY_S = 0.1


def command(
    now: Annotated[bool, typer.Option("--now", help="Cut what is in flight.")] = False,
    drain: Annotated[
        bool, typer.Option("--drain", help="Wait for the last exchange, without a limit.")
    ] = False,
    admin: options.Admin = None,
    quiet: options.Quiet = False,
    timeout: options.Timeout = 600.0,
) -> None:
    """Drain the running balancer and stop it; returns when it is gone.

    Exchanges in flight get the grace time of the configuration (`stop: {grace: 30s}`).

    \b
    Example: bascule stop --timeout 45
    """
    address = ask.where(admin)
    ask.ask(address, "POST", "/stop", {"now": now, "drain": drain}, timeout_s=min(timeout, 10.0))
    _wait_until_gone(address, timeout)
    if not quiet:
        print("stopped", file=sys.stderr)


def _wait_until_gone(address: AdminAddress, timeout_s: float) -> None:
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        try:
            ask.ask(address, "GET", "/healthz", timeout_s=LOOK_EVERY_S * 10)
        except Unreachable:
            return
        except TimedOut:
            continue
        time.sleep(LOOK_EVERY_S)
    raise TimedOut(f"the balancer at {address} is still draining after {timeout_s:g} s", "stop it with --now")
