"""`bascule explain`: what would become of a request, and why; nothing is sent."""

import asyncio
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bascule.cli import ask, options
from bascule.cli.exits import UsageWrong

if TYPE_CHECKING:
    from bascule import contract
    from bascule.admin.address import AdminAddress
    from bascule.plan.asked import Asked


def command(  # noqa: PLR0913, PLR0917 (each is an argument or option of the command line)
    words: Annotated[
        list[str], typer.Argument(metavar="[METHOD] URL", help="GET unless it is said.", show_default=False)
    ],
    header: Annotated[
        list[str] | None,
        typer.Option("--header", "-H", metavar="HEADER", help="'Name: value'; again for more."),
    ] = None,
    client: Annotated[str, typer.Option("--client", metavar="ADDRESS", help="Where it comes from.")] = (
        "127.0.0.1"
    ),
    listener: Annotated[
        str | None, typer.Option("--listener", metavar="NAME", help="Default: by the URL's port and scheme.")
    ] = None,
    path: Annotated[
        Path | None,
        typer.Option("--file", metavar="FILE", help="Ask this configuration, not the running balancer."),
    ] = None,
    admin: options.Admin = None,
    as_json: options.AsJson = False,
    timeout: options.Timeout = 10.0,
) -> None:
    """Say which route, pool and endpoint a request would get, and why. Sends nothing.

    The running balancer answers as things are now: health, requests in flight, sessions. With --file a
    configuration answers as if it had just started.

    \b
    Example: bascule explain GET https://shop.example/cart -H 'Cookie: bascule=…'
    """
    from bascule.contract import codec  # noqa: PLC0415 (keeps `--help` fast)
    from bascule.observe.explained import in_lines  # noqa: PLC0415
    from bascule.plan.asked import Asked  # noqa: PLC0415

    if len(words) > 2:
        raise UsageWrong(f"a method and a URL are wanted, not {len(words)} words", "quote the URL")
    method, url = words if len(words) == 2 else ("GET", words[0])
    asked = Asked(method, url, tuple(header or ()), client, listener)
    question, explanation = (
        _of_file(asked, path) if path is not None else _of_balancer(asked, ask.where(admin), timeout)
    )
    if as_json:
        print(json.dumps(json.loads(codec.encode(explanation)), indent=2, ensure_ascii=False))
    else:
        print("\n".join(in_lines(question, explanation)))


def _of_file(asked: "Asked", path: Path) -> "tuple[contract.Question, contract.Explanation]":
    from bascule.contract import codec  # noqa: PLC0415 (keeps `--help` fast)
    from bascule.control.composing import composed, prepared  # noqa: PLC0415
    from bascule.plan.asked import question  # noqa: PLC0415
    from bascule.plane import embedded  # noqa: PLC0415

    plan = prepared(path).plan
    asking = question(asked, plan.listeners, plan.tls, int(time.time()))
    snapshot = codec.encode(asyncio.run(composed(plan)))
    return asking, embedded.explain(snapshot, asking)


def _of_balancer(
    asked: "Asked", address: "AdminAddress", timeout_s: float
) -> "tuple[contract.Question, contract.Explanation]":
    from bascule import contract  # noqa: PLC0415 (keeps `--help` fast)
    from bascule.contract import codec  # noqa: PLC0415

    answer = ask.ask(address, "POST", "/explain", asdict(asked), timeout_s=timeout_s).body
    question, explanation = (json.dumps(answer[key]).encode() for key in ("question", "explanation"))
    return codec.decode(contract.Question, question), codec.decode(contract.Explanation, explanation)
