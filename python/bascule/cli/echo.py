"""`bascule echo`: toy endpoints."""

import asyncio
import logging
import signal
import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from bascule.cli import addresses, options

if TYPE_CHECKING:
    from bascule.toy.endpoint import Behaviour


def command(
    binds: Annotated[
        list[str], typer.Argument(metavar="ADDRESS", help=":9001-9003 is three of them, on 127.0.0.1.")
    ],
    delay: Annotated[str, typer.Option("--delay", metavar="DURATION", help="Before each answer.")] = "0ms",
    status: Annotated[
        int, typer.Option("--status", metavar="CODE", min=200, max=599, help="Of each answer.")
    ] = 200,
    quiet: options.Quiet = False,
) -> None:
    """Run toy endpoints that answer with what they saw, as JSON.

    `/healthz` is always 200 and never delayed.

    \b
    Example: bascule echo :9001-9003 --delay 20ms
    """
    from bascule.toy.endpoint import Behaviour  # noqa: PLC0415 (keeps `--help` fast)
    from bascule.units import parse_duration  # noqa: PLC0415

    wanted = [bind for each in binds for bind in addresses.binds(each)]
    asyncio.run(serve(wanted, Behaviour(parse_duration(delay) / 1000, status), quiet=quiet))


async def serve(wanted: list[tuple[str, int]], behaviour: "Behaviour", *, quiet: bool) -> None:
    """Runs until SIGTERM or SIGINT."""
    from bascule.tasks import Tasks  # noqa: PLC0415 (keeps `--help` fast)
    from bascule.toy import endpoint  # noqa: PLC0415

    # Requests that are cut when it stops are no news, and uvicorn would print a traceback for each.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    leave = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, leave.set)
    async with AsyncExitStack() as ending:
        for running in await endpoint.start(wanted, behaviour, Tasks(), ending):
            if not quiet:
                print(f"  echo  http://{running.address}", file=sys.stderr, flush=True)
        await leave.wait()
