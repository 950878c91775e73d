"""HTTP/2 in the configuration: from clients, and which version endpoints speak."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, WrapSerializer

from bascule.config.section import Section
from bascule.config.values import OFF, ShortForm, Size, off_or, written_or_off

LEAST_WINDOW = 1 << 16
MOST_WINDOW = 1 << 30
MOST_STREAMS = 10_000


class Http2(Section):
    """HTTP/2 from clients: offered within TLS, with prior knowledge where there is none. The listener's
    limits and timeouts hold for each request; `keep_alive` for a connection without one."""

    title: ClassVar[str] = "`http2`"

    streams: Annotated[int, Field(strict=True, ge=1, le=MOST_STREAMS)] = 100
    """Requests that one connection may have at a time."""
    window: Annotated[Size, Field(ge=LEAST_WINDOW, le=MOST_WINDOW)] = LEAST_WINDOW
    """How much of a body a client may send ahead of the endpoint, 64KiB to 1GiB; for each request, and each
    is memory that a client can hold."""


def _http2(value: Any) -> Any:
    return {} if value is True or value == "on" else off_or("{streams: 100, window: 1MiB}")(value)


Http2OrOff = Annotated[
    Http2 | None,
    ShortForm(_http2, ({"const": "on"}, {"type": "boolean"}, OFF)),
    WrapSerializer(written_or_off),
]

Protocol = Literal["http1", "h2", "h2c"]
"""What endpoints speak; `h2` within TLS, `h2c` without."""
