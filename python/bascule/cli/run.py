"""`bascule run`: the balancer in the foreground."""

from typing import Annotated

import typer

from bascule.cli import file, options
from bascule.control import early


def command(
    path: options.File = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Reload when a file of the configuration changes.")
    ] = False,
    admin: options.Admin = None,
    quiet: options.Quiet = False,
) -> None:
    """Run the balancer in the foreground.

    Signals: TERM and INT drain for the grace time, a second one stops at once; QUIT drains without
    a limit; HUP reloads; USR1 opens the access log again; USR2 lets a successor take over.

    \b
    Example: bascule run bascule.yaml --watch
    """
    with early.signals() as signals:
        from bascule.cli.foreground import Manner, serve  # noqa: PLC0415 (keeps `--help` fast)
        from bascule.control.origin import FileOrigin  # noqa: PLC0415

        manner = Manner(admin=admin, watch_files=watch, quiet=quiet)
        serve(FileOrigin(file.found(path)), manner, signals)
