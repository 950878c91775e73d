"""Arguments and options that several commands share, so that they read the same everywhere."""

from pathlib import Path
from typing import Annotated

import typer

File = Annotated[
    Path | None,
    typer.Argument(
        metavar="FILE",
        help="Default: bascule.yaml, bascule.yml or bascule.py in the current directory.",
        show_default=False,
    ),
]

Endpoint = Annotated[
    str,
    typer.Argument(
        metavar="POOL/ADDRESS",
        help="By id or address: site/10.0.0.1:8000, site/unix:/run/app.sock.",
        show_default=False,
    ),
]

Admin = Annotated[
    str | None,
    typer.Option(
        "--admin",
        metavar="ADDRESS",
        help="unix:/path or 127.0.0.1:9000. Default: BASCULE_ADMIN, the file here, or the user's socket.",
        show_default=False,
    ),
]

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing when all is well.")]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]

Timeout = Annotated[float, typer.Option("--timeout", metavar="SECONDS", min=0.001, help="Then exit code 4.")]
