"""`bascule test`: whether a configuration sends requests where a file expects them."""

import sys
from pathlib import Path
from textwrap import indent
from typing import Annotated

import typer

from bascule.cli import options
from bascule.cli.exits import Exit


def command(
    tests: Annotated[
        Path, typer.Argument(metavar="FILE", help="What is expected, in YAML.", show_default=False)
    ],
    path: Annotated[
        Path | None,
        typer.Option("--file", metavar="FILE", help="The configuration; default: what the tests name."),
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Check where a configuration would send requests. No socket is opened and nothing is sent.

    The file holds a list, `tests`, of {request, headers, client, listener, down, expect}; `expect` has some
    of listener, route, pool, pools, endpoint, endpoints, status and location. Exit code 1 when something is
    not as expected.

    \b
    Example: bascule test tests.yaml --file bascule.yaml
    """
    from bascule.testing.expected import failures, read  # noqa: PLC0415 (keeps `--help` fast)
    from bascule.testing.rehearsal import Rehearsal  # noqa: PLC0415

    expectations, places = read(tests)
    rehearsal = Rehearsal.of_file(path or tests.parent / expectations.config)
    outcomes = list(failures(expectations, places, rehearsal))
    failed = [it for it in outcomes if it is not None]
    for problem, why in failed:
        print(problem, file=sys.stderr)
        print(indent(why, "      "), end="\n" if why else "", file=sys.stderr)
    if not quiet or failed:
        print(f"{tests}: {len(outcomes) - len(failed)} as expected, {len(failed)} not", file=sys.stderr)
    if failed:
        raise typer.Exit(Exit.WRONG)
