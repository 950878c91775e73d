"""A client, a balancer and an endpoint, each in a network of its own, with cables between them.

A socket belongs to the network in which it was made, whoever uses it afterwards: tests make theirs in each.
"""

import ctypes
import itertools
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.processes import tool

_NEW_NETWORK = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)
_COUNT = itertools.count()

CLIENTS = ("10.77.1.2", "10.77.1.3", "fd77:1::2", "fd77:1::3")
"""Addresses of the client: two of each family."""
BALANCER = ("10.77.1.1", "fd77:1::1")
"""Where clients find the balancer."""
ENDPOINT = ("10.77.2.2", "fd77:2::2")


class Networks:
    """The three networks, of names that nobody else uses."""

    def __init__(self) -> None:
        which = f"bascule-{os.getpid()}-{next(_COUNT)}"
        self.client, self.balancer, self.endpoint = (f"{which}-{part}" for part in "cbe")

    @contextmanager
    def inside(self, network: str) -> Iterator[None]:
        """Sockets and threads that are made here and now belong to that network."""
        with Path("/proc/thread-self/ns/net").open() as before, Path(f"/run/netns/{network}").open() as there:
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(before.fileno())


@contextmanager
def three_networks() -> Iterator[Networks]:
    """With addresses, and nothing that transparent connections need besides. Skips where not root."""
    if os.geteuid() != 0:
        pytest.skip("networks of their own can be made by root only")
    networks = Networks()
    names = (networks.client, networks.balancer, networks.endpoint)
    try:
        for name in names:
            ip(f"netns add {name}")
            ip("link set lo up", name)
        _cable(networks.client, networks.balancer, "clients")
        _cable(networks.balancer, networks.endpoint, "endpoints")
        # In this order, so that an address of its own is the source of what the client sends first.
        for address in reversed(CLIENTS):
            ip(f"address add {_with_prefix(address)} dev clients", networks.client)
        for address in (*BALANCER, "10.77.2.1", "fd77:2::1"):
            device = "clients" if address in BALANCER else "endpoints"
            ip(f"address add {_with_prefix(address)} dev {device}", networks.balancer)
        for address in ENDPOINT:
            ip(f"address add {_with_prefix(address)} dev endpoints", networks.endpoint)
        ip("route add default via 10.77.2.1", networks.endpoint)
        ip("-6 route add default via fd77:2::1", networks.endpoint)
        yield networks
    finally:
        for name in names:
            subprocess.run([tool("ip"), "netns", "delete", name], capture_output=True, check=False)


def ip(words: str, network: str | None = None) -> None:
    """Runs `ip`, in one of the networks."""
    within = [] if network is None else ["-n", network]
    command = [tool("ip"), *within, *words.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {words}: {done.stderr}"


def _cable(one: str, other: str, name: str) -> None:
    ip(f"link add {name} netns {one} type veth peer name {name} netns {other}")
    for network in (one, other):
        ip(f"link set {name} up", network)


def _with_prefix(address: str) -> str:
    # Nobody else can have it: there is nothing to wait for.
    return f"{address}/64 nodad" if ":" in address else f"{address}/24"


def _enter(descriptor: int) -> None:
    if _LIBC.setns(descriptor, _NEW_NETWORK) != 0:
        raise OSError(ctypes.get_errno(), "setns")
