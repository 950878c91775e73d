"""`bascule endpoint`: one endpoint, and what an operator wants of it."""

import json
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from bascule.cli import ask, named, options
from bascule.cli.exits import UsageWrong
from bascule.health.duty import Duty


def command(  # noqa: PLR0913, PLR0917 (each is an argument or option of the command line)
    name: options.Endpoint,
    state: Annotated[
        Duty | None,
        typer.Argument(metavar="STATE", help="ready, drain or maintenance.", show_default=False),
    ] = None,
    weight: Annotated[
        str | None,
        typer.Option(
            "--weight",
            metavar="N",
            help="0 is no new work; `default` is what is configured.",
            show_default=False,
        ),
    ] = None,
    admin: options.Admin = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    timeout: options.Timeout = 10.0,
) -> None:
    """Show one endpoint, or change what it may be given. Without a state and weight nothing changes.

    `drain` gives it no new work: its sessions stay, and what it has may finish. `maintenance` gives it
    nothing at all, and its checks pause. `ready` takes either back. What is set survives a reload, and is
    forgotten when the balancer or the endpoint goes.

    \b
    Example: bascule endpoint site/10.0.0.1:8000 drain
    """
    wanted: dict[str, object] = {}
    if state is not None:
        wanted["state"] = state.value
    if weight is not None:
        wanted["weight"] = _weight(weight)
    path, address = named.state_of(name), ask.where(admin)
    if wanted:
        answer = ask.ask(address, "POST", path, wanted, timeout_s=timeout)
    else:
        answer = ask.ask(address, "GET", path, timeout_s=timeout)
    if as_json:
        print(json.dumps(answer.body, indent=2, ensure_ascii=False))
    elif not wanted:
        print("\n".join(_lines(answer.body)))
    elif not quiet:
        print(named.in_short(answer.body), file=sys.stderr)


def _weight(written: str) -> int | None:
    if written == "default":
        return None
    if not (written.isascii() and written.isdigit()):
        raise UsageWrong(f"'{written}' is not a weight", "write a number from 0, or default")
    return int(written)


def _lines(endpoint: dict[str, Any]) -> Iterator[str]:
    from bascule.cli.status import age, latency  # noqa: PLC0415 (keeps `--help` fast)

    operator, agent, load = endpoint["operator"], endpoint["agent"], endpoint["load"]
    yield named.in_short(endpoint)
    weight = "the default" if operator["weight"] is None else operator["weight"]
    yield f"  operator   {operator['state']}, weight {weight}"
    if agent is not None:
        up = "up" if agent["up"] else "down"
        yield f"  agent      {agent['state']}, {up}, {agent['weight_percent']}%{_problem(agent)}"
    if load is not None:
        share = "nothing yet" if load["permille"] is None else f"{load['permille'] / 10:g}%"
        yield f"  load       {share}{_problem(load)}"
    yield f"  weight     {endpoint['weight']} in force"
    limit = "none" if endpoint["limit"] is None else endpoint["limit"]
    yield f"  limit      {limit}, pace {latency(endpoint['pace_us'])}"
    yield f"  failures   {endpoint['failures']}, ejections {endpoint['ejections']}"
    if endpoint["changed_s_ago"] is not None:
        yield f"  check      for {age(endpoint['changed_s_ago'])}, last {age(endpoint['checked_s_ago'])} ago"


def _problem(report: dict[str, Any]) -> str:
    return "" if report["problem"] is None else f" (no usable answer now: {report['problem']})"
