"""`bascule check`: steps 1 to 3 of a configuration's life, and every problem they find."""

import sys
from typing import Annotated

import typer

from bascule.cli import file, options
from bascule.cli.exits import Exit


def command(
    path: options.File = None,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings are errors.")] = False,
) -> None:
    """Check a configuration and print every problem. Exit code 1 when there is an error.

    Also: bascule -t FILE, bascule -c FILE.

    \b
    Example: bascule check bascule.yaml --json
    """
    from bascule.config import problems  # noqa: PLC0415 (keeps `--help` fast)
    from bascule.control.origin import FileOrigin  # noqa: PLC0415
    from bascule.control.reload import prepare  # noqa: PLC0415
    from bascule.plane import embedded  # noqa: PLC0415

    named = file.found(path)
    found: tuple[problems.Problem, ...]
    summary = ""
    try:
        prepared = prepare(FileOrigin(named), embedded.catalog())
    except problems.ConfigRefused as refused:
        found = refused.problems
    else:
        found = prepared.warnings
        listeners, pools = len(prepared.plan.listeners), len(prepared.plan.pools)
        summary = f"{named}: valid ({_count(listeners, 'listener')}, {_count(pools, 'pool')})"

    wrong = any(strict or problem.severity == "error" for problem in found)
    if as_json:
        print(problems.as_json(found))
    elif found and not (quiet and not wrong):
        print(problems.render(found), file=sys.stderr)
    if wrong:
        raise typer.Exit(Exit.WRONG)
    if not quiet and not as_json:
        print(summary, file=sys.stderr)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
