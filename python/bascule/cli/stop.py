"""`bascule stop`: drain the running balancer and stop it."""

import os
import select
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated

import typer

from bascule.admin.address import AdminAddress, UnixAdmin, peer_process
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
    until = time.monotonic() + timeout
    with _process_at(address) as process:
        ask.ask(address, "POST", "/stop", {"now": now, "drain": drain}, timeout_s=min(timeout, 10.0))
        gone = _is_deaf(address, until) and _has_ended(process, until)
    if not gone:
        raise TimedOut(f"the balancer at {address} is still there after {timeout:g} s", "stop it with --now")
    if not quiet:
        print("stopped", file=sys.stderr)


@contextmanager
def _process_at(address: AdminAddress) -> Iterator[int | None]:
    """A file descriptor that stands for the balancer's process, where the system lets us have one."""
    if not isinstance(address, UnixAdmin):
        yield None
        return
    process = None
    # One that cannot be reached is said by the request that follows; one elsewhere cannot be watched.
    with suppress(OSError), socket.socket(socket.AF_UNIX) as knock:
        knock.connect(str(address.path))
        number = peer_process(knock)
        # Not the process of a program that embeds both.
        process = os.pidfd_open(number) if number != os.getpid() else None
    try:
        yield process
    finally:
        if process is not None:
            os.close(process)


def _is_deaf(address: AdminAddress, until: float) -> bool:
    """Whether nobody answers any more, before `until`."""
    while time.monotonic() < until:
        try:
            ask.ask(address, "GET", "/healthz", timeout_s=LOOK_EVERY_S * 10)
        except Unreachable:
            return True
        except TimedOut:
            continue
        time.sleep(LOOK_EVERY_S)
    return False


def _has_ended(process: int | None, until: float) -> bool:
    """Whether the process ends before `until`: only then are its sockets free for a successor."""
    if process is None:
        return True
    return bool(select.select([process], [], [], max(0.0, until - time.monotonic()))[0])
