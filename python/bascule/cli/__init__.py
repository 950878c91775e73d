"""The program: which commands there are, and what its exit codes mean.

One file per command, loaded when it is asked for: parse arguments, call one function, print.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from bascule.cli.exits import Exit, exit_code_of
from bascule.errors import BasculeError

COMMANDS = {
    "run": "Run the balancer in the foreground.",
    "proxy": "Run a balancer without a file.",
    "echo": "Run toy endpoints that answer with what they saw.",
    "demo": "Three toy endpoints, a balancer, traffic, and what happened.",
    "check": "Check a configuration and print every problem.",
    "plan": "Say what would change, in words.",
    "reload": "Let the running balancer read its configuration again.",
    "upgrade": "Let the installed version take over from the running one.",
    "status": "Show listeners, pools and endpoints, now.",
    "endpoint": "Show one endpoint, drain it, or take it out or in.",
    "certificates": "List certificates, hand one over, or take one back.",
    "wait": "Return when an endpoint is drained, up, down or ready.",
    "explain": "Say what would become of a request, and why.",
    "test": "Check where a configuration would send requests.",
    "stop": "Drain the running balancer and stop it.",
    "show": "Print a configuration as the balancer understands it.",
    "catalog": "List algorithms, matchers, checks and sources that exist.",
    "schema": "Print the JSON Schema of configuration files, for editors.",
    "version": "Print the version.",
}
"""Every command, by the name of its file, with what it is for."""

ALIASES = {
    "-t": ("check",),
    "-c": ("check",),
    "-v": ("version",),
    "-V": ("version", "-v"),
    "--version": ("version",),
}
"""What administrators type out of habit (nginx, HAProxy), as a first argument."""

EPILOG = """Exit codes: 0 ok, 1 what was checked is wrong, 2 usage, 3 the admin socket cannot be reached,
4 timed out. `bascule COMMAND --help` has an example for each command."""


class _Commands(TyperGroup):
    """Knows every command's name and summary without loading any of them."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        return TyperCommand(cmd_name, help=COMMANDS[cmd_name])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and _load(command.name or ""), rest


def main() -> None:
    """The entry point of the program."""
    sys.exit(answer(sys.argv[1:]))


def answer(arguments: Sequence[str]) -> int:
    """Runs one command line and gives its exit code. Errors are printed to standard error."""
    words = list(arguments)
    words[:1] = ALIASES.get(words[0], words[:1]) if words else ["--help"]
    try:
        _program().main(args=words, prog_name="bascule")
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else Exit.WRONG
    except BasculeError as error:
        print(f"bascule: {error}", file=sys.stderr)
        return exit_code_of(error)
    return Exit.OK


def _program() -> Any:
    app = typer.Typer(
        cls=_Commands, add_completion=False, rich_markup_mode=None, help="A load balancer.", epilog=EPILOG
    )

    # Without a callback typer would not make a group.
    @app.callback()
    def root() -> None:
        """Bascule, a load balancer."""

    return typer.main.get_command(app)


def _load(name: str) -> Any:
    module = import_module(f"bascule.cli.{name}")
    if isinstance(app := getattr(module, "app", None), typer.Typer):
        return typer.main.get_command(app)
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command(name)(module.command)
    return typer.main.get_command(alone)
