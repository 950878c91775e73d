"""One datagram to an endpoint and what comes back, on a socket of its own."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from bascule.health.check import CheckFailed, Target
from bascule.wording import in_words

LARGEST = 65_535

Receive = Callable[[], Awaitable[bytes]]


@asynccontextmanager
async def sent(target: Target, content: bytes) -> AsyncIterator[Receive]:
    """Sends `content`; within, each call waits for one more datagram of the endpoint, and of nobody else.

    Raises `CheckFailed` when the datagram cannot be sent, and when the endpoint's machine refuses it.
    """
    if target.host is None or target.port is None:
        raise CheckFailed(f"connect to {target}: datagrams are not sent to Unix sockets")
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in target.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as ours:

        async def receive() -> bytes:
            with _in_words_of(target):
                return await loop.sock_recv(ours, LARGEST)

        with _in_words_of(target):
            # Connected: the kernel drops what others send, and tells of refusals (ICMP).
            ours.connect((target.host, target.port))
            ours.send(content)
        yield receive


@contextmanager
def _in_words_of(target: Target) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CheckFailed(f"connect to {target}: {in_words(error)}") from error
