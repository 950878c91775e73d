"""What a balancer is asked to do, and what its clients ask of it, in one trial."""

from collections.abc import Mapping
from dataclasses import dataclass, field

FIRST_PORT = 19601
PORTS = 4
HOSTS = 250


def addresses(count: int) -> tuple[str, ...]:
    """The first `count` addresses of the origin, at most 1,000: each is an endpoint of its own."""
    every = [f"127.0.0.{host}:{FIRST_PORT + port}" for host in range(1, HOSTS + 1) for port in range(PORTS)]
    if not 1 <= count <= len(every):
        raise ValueError(f"the origin has {len(every)} addresses, not {count}")
    return tuple(every[:count])


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a balancer is asked to do. Only Bascule is asked for more than endpoints, a log and TLS."""

    endpoints: tuple[str, ...] = field(default_factory=lambda: addresses(PORTS))
    """`ip:port` each."""
    access_log: bool = False
    """Written to a file, in the combined format."""
    algorithm: str = "round_robin"
    routes_by: str = ""
    """`host` (h0.test, h1.test …), `path` (/p0/, /p1/ …), or all traffic by one route."""
    routes: int = 1
    tls: bool = False
    """Whether clients speak TLS: a P-256 certificate, HTTP/2 and HTTP/1.1 offered, no resumption."""
    udp: bool = False
    """Whether clients send datagrams, which are carried as they are."""
    responses: int | None = None
    """Answers to each datagram; after them a flow has ended."""
    tcp: bool = False
    """Whether connections are carried as they are (layer 4): nothing of HTTP is looked at."""
    blockable: bool = False
    """Whether Python can be made to stand still (configs/bascule.py)."""


@dataclass(frozen=True, slots=True)
class Load:
    """What the clients do: `connections` of them, each with one request at a time."""

    connections: int = 64
    fresh: bool = False
    """A new connection for each request."""
    path: str = "/"
    """`/big` is 10 MB, all else 1 KiB. `%` becomes a number below `variants`, as it does in `host`."""
    host: str = "lab.test"
    variants: int = 1
    tls: bool = False
    streams: int = 0
    """HTTP/2 with so many requests at a time on each connection; 0 is HTTP/1.1."""
    datagrams: int = 0
    """UDP with so many datagrams at a time from each client; 0 is TCP."""
    datagram_bytes: int = 64

    def arguments(self) -> list[str]:
        """As c/load.c takes them."""
        options: Mapping[str, object] = {
            "-c": self.connections,
            "-P": self.path,
            "-h": self.host,
            "-n": self.variants,
        }
        listed = [text for name, value in options.items() for text in (name, str(value))]
        return [*listed, *(["-k"] if self.fresh else [])]
