"""Trials with connections that do nothing: the memory each takes, and the CPU while all are silent."""

import resource
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench import measure
from bench.load import Failed, pinned
from bench.measure import BALANCER_CPU, LOAD_CPU
from bench.peers import running
from bench.trial import Figures, Lab, Trial

WARM_CONNECTIONS = 64
SETTLE_SECONDS = 2
BODY_BYTES = 1024
OTHER_FILES = 500
REQUEST = (
    b"GET / HTTP/1.1\r\nHost: lab.test\r\nUser-Agent: Mozilla/5.0 (X11)\r\nAccept: text/html,*/*;q=0.8\r\n"
    b"Accept-Language: en\r\nAccept-Encoding: gzip, br\r\nCookie: sid=a1b2c3d4\r\n\r\n"
)


def idle(lab: Lab, trial: Trial) -> Figures:
    """Opens the connections of the load, makes one request on each, and then only watches.

    Where fewer files may be open than they need, there are fewer connections, and as many for every target.
    """
    with _all_files() as limit, running(trial.target, trial.wanted) as balancer, pinned(LOAD_CPU):
        _close(_open(balancer.port, WARM_CONNECTIONS, trial.load.tls))
        time.sleep(0.5)
        empty = measure.memory(balancer.pid)
        count = affordable(trial.load.connections, limit)
        clients = _open(balancer.port, count, trial.load.tls)
        time.sleep(SETTLE_SECONDS)
        full = measure.memory(balancer.pid)
        measure.wait_until_quiet(lab.patience)
        before, cores, began = measure.spent(balancer.pid).total, measure.cores(), time.monotonic()
        time.sleep(trial.seconds)
        spent, took = measure.spent(balancer.pid).total - before, time.monotonic() - began
        lost = sum(not _is_open(one) for one in clients)
        ours = {BALANCER_CPU: spent, LOAD_CPU: 0.0}
        foreign = measure.foreign_percent(cores, measure.cores(), ours, took)
        _close(clients)
    return {
        "connections": count,
        "empty_mb": empty / 1e6,
        "full_mb": full / 1e6,
        "bytes_per_connection": (full - empty) / count,
        "idle_cpu_percent": 100 * spent / took,
        "errors": lost,
        "foreign_percent": foreign,
    }


def affordable(wanted: int, limit: int) -> int:
    """How many client connections a balancer may hold when it may have `limit` files open.

    Bascule keeps half of them for connections to endpoints, and a few are the program's own.
    """
    return wanted if limit < 0 else min(wanted, limit // 2 - OTHER_FILES)


@contextmanager
def _all_files() -> Iterator[int]:
    """Raises the limit on open files as far as it goes, here and in what is started, and gives it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield hard
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _open(port: int, count: int, tls: bool) -> list[socket.socket]:
    context = _trusting() if tls else None
    opened: list[socket.socket] = []
    try:
        opened.extend(_connect(port, context) for _ in range(count))
    except OSError as error:
        raise Failed(f"connection {len(opened) + 1} of {count} got no answer: {error}") from error
    return opened


def _trusting() -> ssl.SSLContext:
    """What is measured is the other end."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _connect(port: int, context: ssl.SSLContext | None) -> socket.socket:
    one = socket.create_connection(("127.0.0.1", port), 5)
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if context is not None:
        one = context.wrap_socket(one, server_hostname="lab.test")
    one.sendall(REQUEST)
    received = b""
    while len(received.partition(b"\r\n\r\n")[2]) < BODY_BYTES:
        part = one.recv(8192)
        if not part:
            raise Failed("the balancer closed a connection during its first request")
        received += part
    return one


def _is_open(one: socket.socket) -> bool:
    one.setblocking(False)
    try:
        return bool(one.recv(1))
    except (BlockingIOError, ssl.SSLWantReadError):
        return True
    except OSError:
        return False


def _close(clients: list[socket.socket]) -> None:
    for one in clients:
        one.close()
