"""`bascule plan`: what would change, in words."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bascule.cli import ask, file, options
from bascule.cli.exits import Exit

if TYPE_CHECKING:
    from bascule.control.reload import Prepared
    from bascule.plan.plan import Plan


def command(  # noqa: PLR0913, PLR0917 (each is an option of the command line)
    path: options.File = None,
    old: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="Compare with this file, not with the running balancer."),
    ] = None,
    snapshot: Annotated[
        bool,
        typer.Option("--snapshot", help="Print what the data plane would be sent as JSON, less secrets."),
    ] = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="End with 1 when something would change, like diff.")
    ] = False,
    admin: options.Admin = None,
    timeout: options.Timeout = 60.0,
) -> None:
    """Say in words what would change if a configuration were applied. Changes nothing.

    The exit code is 0 whether something would change or not, and 1 when the configuration is wrong; with
    --exit-code it is 1 when something would change, too.

    \b
    Example: bascule plan bascule.yaml --from /etc/bascule/bascule.yaml
    """
    from bascule.control.composing import prepared  # noqa: PLC0415 (keeps `--help` fast)

    new = prepared(file.found(path))
    if snapshot:
        print(_snapshot(new.plan))
        return
    if old is not None:
        from bascule.control.changes import changes_between  # noqa: PLC0415 (keeps `--help` fast)

        before = prepared(old).plan
        changes, differs = changes_between(before, new.plan), before != new.plan
    else:
        changes, differs = _against_running(file.found(path), new, admin, timeout)
    for change in changes:
        print(change)
    if not differs:
        print("nothing would change", file=sys.stderr)
    if exit_code and differs:
        raise typer.Exit(Exit.WRONG)


def _against_running(
    path: Path, new: "Prepared", admin: str | None, timeout_s: float
) -> tuple[list[str], bool]:
    from bascule.config.effective import portable  # noqa: PLC0415 (keeps `--help` fast)

    address = ask.where(admin)
    status = ask.ask(address, "GET", "/status", timeout_s=timeout_s).body
    # Its own file it reads itself: checks that are Python functions do not fit into a request.
    own = status["configuration"] == str(path.absolute())
    body = {} if own else {"config": portable(new.config, defaults=False, secrets=True)}
    answer = ask.ask(address, "POST", "/plan", body, timeout_s=timeout_s).body
    return answer["changes"], answer["differs"]


def _snapshot(plan: "Plan") -> str:
    from bascule.contract import codec  # noqa: PLC0415 (keeps `--help` fast)
    from bascule.control.composing import composed  # noqa: PLC0415
    from bascule.plan.compose import without_secrets  # noqa: PLC0415

    return codec.encode(without_secrets(asyncio.run(composed(plan)))).decode()
