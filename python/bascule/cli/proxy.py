"""`bascule proxy`: a balancer without a file."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from bascule.cli import addresses, options
from bascule.control import early

if TYPE_CHECKING:
    from bascule.config.model import Config


def command(  # noqa: PLR0913, PLR0917 (each is an option of the command line)
    bind: Annotated[str, typer.Argument(metavar="ADDRESS", help="Where to accept: :8080 is all addresses.")],
    to: Annotated[
        list[str],
        typer.Option(
            "--to",
            metavar="ADDRESS",
            help="An endpoint, again for more: :9001 is 127.0.0.1, :9001-9003 three.",
        ),
    ],
    check: Annotated[
        str | None,
        typer.Option(
            "--check", metavar="PATH", help="Ask each endpoint for this path; or `tcp`.", show_default=False
        ),
    ] = None,
    algorithm: Annotated[
        str, typer.Option("--algorithm", metavar="NAME", help="See `bascule catalog`.")
    ] = "fastest",
    access_log: Annotated[
        str, typer.Option("--access-log", metavar="FORMAT", help="off, json or combined.")
    ] = "off",
    tls: Annotated[
        bool,
        typer.Option("--tls", help="Clients speak TLS, with a certificate made on the spot (development)."),
    ] = False,
    admin: options.Admin = None,
    quiet: options.Quiet = False,
) -> None:
    """Run a balancer without a file.

    \b
    Example: bascule proxy :8080 --to :9001 --to :9002 --check /healthz --algorithm two_choices
    """
    with early.signals() as signals:
        from bascule.cli.foreground import Manner, serve  # noqa: PLC0415 (keeps `--help` fast)
        from bascule.control.origin import FixedOrigin  # noqa: PLC0415

        written = configuration(bind, to, check=check, algorithm=algorithm, access_log=access_log, tls=tls)
        serve(FixedOrigin("bascule proxy", typed(written)), Manner(admin=admin, quiet=quiet), signals)


def configuration(  # noqa: PLR0913 (each is an option of the command line)
    bind: str,
    to: list[str],
    *,
    check: str | None,
    algorithm: str,
    access_log: str = "off",
    tls: bool = False,
) -> dict[str, object]:
    """The configuration that such a command line stands for. Raises `UsageWrong` for what is no address."""
    pool: dict[str, object] = {
        "algorithm": algorithm,
        "endpoints": [endpoint for each in to for endpoint in addresses.endpoints(each)],
    }
    if check is not None:
        pool["check"] = check
    listener: dict[str, object] = {"bind": addresses.listener(bind), "pool": "endpoints"}
    if tls:
        listener["tls"] = {"self_signed": True}
    return {
        "access_log": access_log,
        "listeners": {"proxy": listener},
        "pools": {"endpoints": pool},
    }


def typed(written: dict[str, object]) -> "Config":
    """The same as a model. Raises `ConfigRefused`."""
    from bascule.config.load import Text  # noqa: PLC0415 (keeps `--help` fast)
    from bascule.config.parse import parse  # noqa: PLC0415

    return parse(Text.of(json.dumps(written, indent=1), "command line", {}))
