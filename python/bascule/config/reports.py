"""What endpoints say of themselves when they are asked: their agents, and their load."""

from typing import Annotated, Any, ClassVar

from pydantic import Field, StrictStr

from bascule.config.addresses import IpAddress, read_host_and_port
from bascule.config.http_values import Target
from bascule.config.section import Section, alternative
from bascule.config.values import Duration, ShortForm, off_or

SECOND = 1000


class Agent(Section):
    """A program beside each endpoint that says how it is doing, in HAProxy's agent-check words."""

    title: ClassVar[str] = "an agent"

    port: Annotated[int, Field(strict=True, ge=1, le=65535, examples=[9707])]
    """Where it listens."""
    host: IpAddress | None = alternative()
    """The address of one agent that speaks for all; by default it is that of each endpoint."""
    every: Duration = 2 * SECOND
    """Between the starts of two questions."""
    timeout: Duration = 1 * SECOND
    """An agent that takes longer has said nothing, and what it said before still counts."""
    send: StrictStr | None = alternative(min_length=1)
    """What it is sent first, for agents that wait for it; in double quotes `\\n` ends a line."""


class LoadUrl(Section):
    """A path on each endpoint that tells its load, as an ORCA report in JSON or text."""

    title: ClassVar[str] = "a load URL"

    path: Annotated[Target, Field(examples=["/load"])]
    """What is asked for."""
    every: Duration = 2 * SECOND
    """Between the starts of two questions."""
    timeout: Duration = 1 * SECOND
    """An endpoint that takes longer has said nothing."""


def _agent(value: Any) -> Any:
    value = off_or("its port")(value)
    if isinstance(value, str):
        host, port = read_host_and_port(value)
        return {"host": host, "port": port}
    return {"port": value} if type(value) is int else value


def _load(value: Any) -> Any:
    value = off_or("a path such as /load")(value)
    return {"path": value} if isinstance(value, str) else value


AgentOrOff = Annotated[Agent | None, ShortForm(_agent, ({"type": ["integer", "string"]},))]
LoadUrlOrOff = Annotated[LoadUrl | None, ShortForm(_load, ({"type": "string"},))]
