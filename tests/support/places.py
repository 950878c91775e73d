"""Addresses for tests: free ones, ones that refuse, and whether anybody listens."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.raw import RawClient


def free_address() -> str:
    """An address that nobody listens on now."""
    with closed_port() as address:
        return address


@contextmanager
def closed_port() -> Iterator[str]:
    """An address that refuses connections: bound, so that nobody else gets it, but not listening."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        host, port = bound.getsockname()
        yield f"{host}:{port}"


@contextmanager
def taken_port() -> Iterator[str]:
    """An address that another program listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        host, port = listening.getsockname()
        yield f"{host}:{port}"


def refuses(address: str) -> bool:
    """Whether nobody listens at `ip:port` or `unix:/path`."""
    try:
        RawClient(address).close()
    except (ConnectionRefusedError, FileNotFoundError):
        return True
    except ConnectionResetError:
        # It was about to close: not any more the next time.
        return False
    return False
