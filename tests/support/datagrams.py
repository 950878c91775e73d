"""UDP in tests: endpoints that answer as they are told, clients, and listeners that carry datagrams."""

import socket
import threading
from collections.abc import Callable, Iterable
from typing import Any, Self

from tests.support.eventually import PATIENCE, eventually
from tests.support.plane import client_limits, client_timeouts, forwarded

from bascule import contract

Address = tuple[str, int]
Answer = Callable[[bytes], Iterable[bytes]]
"""What an endpoint answers to a datagram."""
LONGEST = 65_536


def echo(datagram: bytes) -> Iterable[bytes]:
    return (datagram,)


class UdpEndpoint:
    """Answers datagrams, in a thread of its own, from the start of the `with` to its end."""

    def __init__(self, answer: Answer = echo, host: str = "127.0.0.1", port: int = 0) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._socket.bind((host, port))
        self._answer = answer
        self.heard: list[tuple[bytes, Address]] = []
        """Every datagram and the address that it came from, in order."""
        self.port: int = self._socket.getsockname()[1]
        self.name = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        self._stopping = False
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        self.say(b"", self._socket.getsockname()[:2])
        self._thread.join()
        self._socket.close()

    def say(self, datagram: bytes, to: Address) -> None:
        """Sends what nobody has asked for."""
        self._socket.sendto(datagram, to)

    def wait_heard(self, count: int) -> list[tuple[bytes, Address]]:
        """What came, once so much has come."""
        eventually(lambda: len(self.heard) >= count, lambda: f"{count} datagrams: {self.heard}")
        return self.heard

    def _run(self) -> None:
        while True:
            datagram, sender = self._socket.recvfrom(LONGEST)
            if self._stopping:
                return
            self.heard.append((datagram, sender[:2]))
            for answer in self._answer(datagram):
                self._socket.sendto(answer, sender)


class UdpClient:
    """A socket that is connected to a listener: it hears nobody else."""

    def __init__(self, to: str, host: str | None = None, port: int = 0) -> None:
        server, _, number = to.rpartition(":")
        server = server.strip("[]")
        self._socket = socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._socket.settimeout(PATIENCE)
        if host is not None or port:
            self._socket.bind((host or "127.0.0.1", port))
        self._socket.connect((server, int(number)))
        self.port: int = self._socket.getsockname()[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, *datagrams: bytes) -> None:
        for datagram in datagrams:
            self._socket.send(datagram)

    def receive(self) -> bytes:
        """The next datagram. Raises `TimeoutError` when none comes."""
        return self._socket.recv(LONGEST)

    def ask(self, datagram: bytes) -> bytes:
        self.send(datagram)
        return self.receive()

    def has_nothing(self) -> bool:
        """Whether nothing waits to be received. Says nothing of what is still to come."""
        self._socket.setblocking(False)
        try:
            self._socket.recv(LONGEST)
        except BlockingIOError:
            return True
        finally:
            self._socket.settimeout(PATIENCE)
        return False


def flow_route(
    to: str = "site", *, id: str = "all", idle_ms: int = 60_000, **others: Any
) -> contract.FlowRoute:
    """A route of flows to a pool, by its id. `others` are fields of the contract."""
    fields: dict[str, Any] = {
        "server_names": (),
        "alpn": (),
        "clients": (),
        "limits": (),
        "priority": 5,
        "total_ms": None,
        **others,
    }
    return contract.FlowRoute(id=id, pool=to, idle_ms=idle_ms, **fields)


def udp_listener(
    *routes: contract.FlowRoute, id: str = "web", bind: str = "127.0.0.1:0", **udp: Any
) -> contract.Listener:
    """A listener of datagrams; without routes all goes to the pool "site". `udp`: how flows are made."""
    return contract.Listener(
        id=id,
        binds=(contract.UdpBind(bind),),
        routes=(),
        timeouts=client_timeouts(),
        limits=client_limits(),
        forwarded=forwarded(),
        carries="udp",
        flows=contract.Flows(routes=routes or (flow_route(),), udp=contract.Udp(**udp)),
    )


def dropped(stats: contract.Stats) -> dict[str, int]:
    """Datagrams of all listeners that were dropped, by why."""
    return {one.reason: one.count for listener in stats.listeners for one in listener.datagrams.dropped}
