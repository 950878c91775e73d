"""`bascule show config`: a configuration as the balancer understands it."""

import io
from typing import Annotated, Any

import typer

from bascule.cli import ask, file, options

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)


@app.callback()
def root() -> None:
    """Print a configuration as the balancer understands it.

    \b
    Example: bascule show config --effective
    """


@app.command("config")
def config(
    path: options.File = None,
    effective: Annotated[bool, typer.Option("--effective", help="With every default filled in.")] = False,
    running: Annotated[
        bool, typer.Option("--running", help="Of the running balancer, with every default.")
    ] = False,
    admin: options.Admin = None,
    timeout: options.Timeout = 10.0,
) -> None:
    """Print a configuration with its includes and variables resolved, as YAML.

    \b
    Example: bascule show config bascule.yaml --effective
    """
    if running:
        print(as_yaml(ask.ask(ask.where(admin), "GET", "/config", timeout_s=timeout).body), end="")
        return
    from bascule.config import effective as defaults  # noqa: PLC0415 (keeps `--help` fast)
    from bascule.config.load import load  # noqa: PLC0415
    from bascule.config.parse import parse  # noqa: PLC0415

    parsed = parse(load(file.found(path)))
    document = (
        defaults.effective(parsed)
        if effective
        else parsed.model_dump(mode="json", by_alias=True, exclude_unset=True)
    )
    print(as_yaml(document), end="")


def as_yaml(document: dict[str, Any]) -> str:
    """YAML that `bascule run` reads back as the same."""
    from ruamel.yaml import YAML  # noqa: PLC0415 (keeps `--help` fast)

    writer, text = YAML(), io.StringIO()
    writer.width = 1000
    writer.dump(document, text)
    # What looks like a variable is text by now, and must not be filled in when it is read again.
    return text.getvalue().replace("${", "$${")
