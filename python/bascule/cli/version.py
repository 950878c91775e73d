"""`bascule version`: what this is, and with `-v` what it is made of."""

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

import bascule

MADE_OF = (
    "dnspython",
    "h11",
    "pydantic",
    "regex",
    "ruamel.yaml",
    "starlette",
    "structlog",
    "typer",
    "uvicorn",
)


def command(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Also what it is made of.")] = False,
) -> None:
    """Print the version.

    Also: bascule -v, bascule -V (verbose), bascule --version.

    \b
    Example: bascule version -v
    """
    print(f"bascule {bascule.__version__}")
    if verbose:
        print("\n".join(_made_of()))


def _made_of() -> list[str]:
    from bascule.contract import CONTRACT_VERSION  # noqa: PLC0415 (keeps `bascule version` fast)
    from bascule.errors import BasculeError  # noqa: PLC0415
    from bascule.plane import embedded  # noqa: PLC0415

    try:
        embedded.catalog()
        plane = "built in"
    except BasculeError as error:
        plane = error.message
    lines = [
        f"contract    {CONTRACT_VERSION}",
        f"data plane  {plane}",
        f"python      {platform.python_version()}",
        f"system      {platform.system()} {platform.release()} {platform.machine()}",
    ]
    for name in MADE_OF:
        try:
            lines.append(f"{name:<11} {version(name)}")
        except PackageNotFoundError:
            lines.append(f"{name:<11} not installed")
    return lines
