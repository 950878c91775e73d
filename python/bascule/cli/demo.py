"""`bascule demo`: three toy endpoints, a balancer, some traffic, and what happened."""

import asyncio
import signal
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Annotated

import typer

from bascule.cli import proxy
from bascule.cli.exits import Exit
from bascule.cli.status import latency

if TYPE_CHECKING:
    from pathlib import Path

    from bascule.control.origin import Origin
    from bascule.toy.demonstration import Script, Stage
    from bascule.toy.load import Outcome

BY_HAND = """The same by hand, in three terminals:

  bascule echo :9001-9002 --delay 20ms
  bascule echo :9003 --delay 60ms
  bascule proxy :8080 --to :9001-9003 --check /healthz --algorithm {algorithm}
"""


BY_HAND_WITH_TLS = """The same by hand, in two terminals:

  bascule echo :9001-9003
  bascule proxy :8443 --tls --to :9001-9003 --check /healthz --algorithm {algorithm}

and curl with the authority above: curl --cacert FILE https://localhost:8443
"""


def command(
    seconds: Annotated[
        float,
        typer.Option("--seconds", metavar="SECONDS", min=0.1, max=3600, help="How long traffic is sent."),
    ] = 5.0,
    algorithm: Annotated[
        str, typer.Option("--algorithm", metavar="NAME", help="See `bascule catalog`.")
    ] = "fastest",
    tls: Annotated[
        bool, typer.Option("--tls", help="Clients speak TLS, with a certificate made on the spot.")
    ] = False,
) -> None:
    """Start three toy endpoints, one three times slower, and a balancer; send traffic, show what happened.

    Ports are chosen by the system, and nothing is left behind. Ctrl-C shows what happened so far.

    \b
    Example: bascule demo --seconds 10 --algorithm round_robin
    """
    from bascule.cli.foreground import Manner, surroundings  # noqa: PLC0415 (keeps `--help` fast)
    from bascule.control.leave import Leave  # noqa: PLC0415
    from bascule.control.open_files import raise_limit  # noqa: PLC0415
    from bascule.observe import logs  # noqa: PLC0415
    from bascule.toy import demonstration  # noqa: PLC0415

    logs.configure("warning")
    raise_limit()
    leave = Leave()
    progress = _Progress(seconds)
    with tempfile.TemporaryDirectory(prefix="bascule-demo-") as folder:
        script = demonstration.Script(
            origin=lambda endpoints: _origin(endpoints, algorithm, tls=tls),
            around=surroundings(Manner(admin=f"unix:{folder}/admin.sock"), signals=False),
            seconds=seconds,
            on_stage=_say_stage,
            on_answer=progress.show,
            leave=leave,
            authority=_authority() if tls else None,
        )
        outcome = asyncio.run(_play(script))
    progress.end()
    _print_table(outcome)
    print((BY_HAND_WITH_TLS if tls else BY_HAND).format(algorithm=algorithm))
    if not outcome.answered and not leave.was_asked:
        raise typer.Exit(Exit.WRONG)


async def _play(script: "Script") -> "Outcome":
    from bascule.toy import demonstration  # noqa: PLC0415 (keeps `--help` fast)

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, script.leave.now)
    return await demonstration.play(script)


def _authority() -> "Path":
    from bascule.certificates.self_signed import authority_file  # noqa: PLC0415 (keeps `--help` fast)

    return authority_file()


def _origin(endpoints: list[str], algorithm: str, *, tls: bool) -> "Origin":
    from bascule.control.origin import FixedOrigin  # noqa: PLC0415 (keeps `--help` fast)

    written = proxy.configuration("127.0.0.1:0", endpoints, check="/healthz", algorithm=algorithm, tls=tls)
    return FixedOrigin("bascule demo", proxy.typed(written))


def _say_stage(stage: "Stage") -> None:
    from bascule.toy.demonstration import CLIENTS, DELAYS_S  # noqa: PLC0415 (keeps `--help` fast)

    for address, delay in zip(stage.endpoints, DELAYS_S, strict=True):
        print(f"  endpoint   http://{address}  answers after {delay * 1000:.0f} ms")
    print(f"  balancer   {'http' if stage.authority is None else 'https'}://{stage.balancer}")
    if stage.authority is not None:
        print(f"  authority  {stage.authority}")
    print(f"  traffic    {CLIENTS} clients, one request after another on each\n", flush=True)


class _Progress:
    """One line that moves on a terminal, one line a second elsewhere."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._began: float | None = None
        self._shown = 0.0
        self._moves = sys.stderr.isatty()

    def show(self, outcome: "Outcome") -> None:
        now = time.monotonic()
        if self._began is None:
            self._began = self._shown = now
        if now - self._shown < (0.1 if self._moves else 1.0):
            return
        self._shown = now
        passed = min(now - self._began, self._seconds)
        counts = f"{outcome.answered} answers, {outcome.errors.total()} errors"
        line = f"  {passed:4.1f} of {self._seconds:g} s  {counts}"
        start, end = ("\r", "") if self._moves else ("", "\n")
        print(f"{start}{line}", end=end, file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._moves:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _print_table(outcome: "Outcome") -> None:
    from rich.box import SIMPLE  # noqa: PLC0415 (keeps `--help` fast)
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=SIMPLE, pad_edge=False)
    table.add_column("endpoint")
    for column in ("requests", "share", "p50", "p99"):
        table.add_column(column, justify="right")
    for name, served in sorted(outcome.by_endpoint.items()):
        share = f"{100 * served / outcome.answered:.0f} %"
        table.add_row(name, str(served), share, *_quantiles(outcome.latencies_s[name]))
    table.add_section()
    table.add_row("all", str(outcome.answered), "", *_quantiles(outcome.all_latencies()))
    Console(highlight=False).print(table)
    print(f"errors: {outcome.errors.total() or 'none'}")
    for words, count in outcome.errors.most_common(5):
        print(f"  {count} × {words}")
    print()


def _quantiles(latencies: list[float]) -> tuple[str, str]:
    from bascule.toy.load import quantile  # noqa: PLC0415 (keeps `--help` fast)

    return _shown(quantile(latencies, 0.50)), _shown(quantile(latencies, 0.99))


def _shown(seconds: float | None) -> str:
    return latency(None if seconds is None else round(seconds * 1_000_000))
