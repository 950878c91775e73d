"""Layer 4 in the configuration: what listeners carry that is not HTTP."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from bascule.config.section import Section
from bascule.config.values import OFF, is_off, read_positive_duration
from bascule.units import format_duration

Carried = Literal["http", "tcp", "udp"]
"""What a listener carries."""

MOST_FLOWS = 1_000_000


class Udp(Section):
    """How datagrams become flows. A flow is what one client address says to one address of the listener."""

    title: ClassVar[str] = "`udp`"

    responses: Annotated[int, Field(strict=True, ge=0, le=1_000_000)] | None = None
    """After so many answers a flow has ended: 1 for DNS, 0 where nobody answers (syslog). By default only
    silence ends it."""
    flows: Annotated[int, Field(strict=True, ge=1, le=MOST_FLOWS)] = 65_536
    """Flows at a time, per thread; at the limit the one that was silent for longest is given up."""
    quic: bool = False
    """They carry QUIC (HTTP/3): a client stays on its endpoint when its address changes."""


def _probe(value: Any) -> int:
    return 0 if is_off(value, "60s") else read_positive_duration(value)


Probe = Annotated[
    int,
    BeforeValidator(_probe),
    PlainSerializer(lambda value: "off" if value == 0 else format_duration(value)),
    WithJsonSchema({"anyOf": [{"type": "string", "examples": ["60s"]}, OFF]}),
]
"""Milliseconds; 0 is `off`, which is not the same as nothing."""
