"""`bascule certificates`: which are in use, and those that are handed over to a running balancer."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from bascule.cli import ask, options
from bascule.errors import BasculeError
from bascule.wording import in_words

LARGEST_PEM = 1 << 20

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Yours to choose: letters, digits, `.`, `-`, `_`.")]


@app.callback()
def root() -> None:
    """List certificates, hand one over to the running balancer, or take one back.

    \b
    Example: bascule certificates put shop fullchain.pem privkey.pem
    """


@app.command("list")
def every(
    admin: options.Admin = None, as_json: options.AsJson = False, timeout: options.Timeout = 10.0
) -> None:
    """List every certificate in use: by whom, for which names, until when. Those that end first come first.

    \b
    Example: bascule certificates list --json | jq '.certificates[] | select(.days_left < 14).file'
    """
    told = ask.ask(ask.where(admin), "GET", "/certificates", timeout_s=timeout).body
    if as_json:
        print(json.dumps(told, indent=2, ensure_ascii=False))
        return
    for problem in told["problems"]:
        print(f"! {problem}", file=sys.stderr)
    for each in sorted(told["certificates"], key=lambda it: it["expires_at"]):
        print(_line(each))


@app.command("put")
def put(  # noqa: PLR0913, PLR0917 (each is an argument or option of the command line)
    name: Name,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE",
            help="PEM: certificate, chain and key, in one file or more; - is standard input.",
        ),
    ],
    admin: options.Admin = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    timeout: options.Timeout = 10.0,
) -> None:
    """Hand a certificate over, in the place of the one of that name. Clients are shown it when this returns.

    The configuration says where it is kept: `admin: {certificates: DIRECTORY}`. It is still there after a
    restart.

    \b
    Example: bascule certificates put shop fullchain.pem privkey.pem
    """
    content = b"\n".join(_content(file) for file in files)
    path, address = f"/certificates/{quote(name, safe='')}", ask.where(admin)
    told = ask.ask(address, "PUT", path, content, timeout_s=timeout).body
    _say(told, as_json=as_json, quiet=quiet)


@app.command("remove")
def remove(
    name: Name,
    admin: options.Admin = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    timeout: options.Timeout = 10.0,
) -> None:
    """Take a certificate back that was handed over: clients are shown it no more.

    \b
    Example: bascule certificates remove shop
    """
    path, address = f"/certificates/{quote(name, safe='')}", ask.where(admin)
    told = ask.ask(address, "DELETE", path, timeout_s=timeout).body
    _say(told, as_json=as_json, quiet=quiet)


def _content(file: Path) -> bytes:
    if str(file) == "-":
        return sys.stdin.buffer.read(LARGEST_PEM + 1)
    try:
        with file.open("rb") as opened:
            return opened.read(LARGEST_PEM + 1)
    except OSError as error:
        raise BasculeError(f"{file}: {in_words(error)}") from error


def _say(told: dict[str, Any], *, as_json: bool, quiet: bool) -> None:
    if as_json:
        print(json.dumps(told, indent=2, ensure_ascii=False))
        return
    for warning in told["warnings"]:
        print(f"! {warning}", file=sys.stderr)
    if not quiet:
        print(_line(told | {"used_by": ", ".join(told["used_by"]) or "nobody"}), file=sys.stderr)


def _line(told: dict[str, Any]) -> str:
    names = ", ".join(told["names"][:3]) or told["serial"]
    where = told["name"] or told["file"]
    return f"{where}: {names} ({told['kind']}), {told['days_left']} days left, shown by {told['used_by']}"
