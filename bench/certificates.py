"""What many certificates cost: start, reload, memory, and a handshake, beside a balancer that has few.

    .venv/bin/python -m bench.certificates [COUNT]

Both balancers run at the same time with one thread each, and are asked in turn, so that whatever else the
machine does falls on both. Everything but memory is CPU time.
"""

import random
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.certificates import Authority, make_key

from bench.measure import spent

FEW = 10
ROUNDS, HANDSHAKES = 9, 300
PROGRAM = (sys.executable, "-P", "-m", "bascule")


@dataclass(frozen=True)
class Running:
    """A balancer with so many certificates."""

    count: int
    folder: Path
    pid: int
    port: int
    start_s: float
    """CPU seconds."""

    def rss_mb(self) -> float:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024

    def plane_s(self) -> float:
        """CPU seconds of the thread that serves clients, from a clock of nanoseconds."""
        threads = Path(f"/proc/{self.pid}/task").iterdir()
        plane = next(it for it in threads if (it / "comm").read_text().strip() == "bascule-0")
        return int((plane / "schedstat").read_text().split()[0]) / 1e9

    def reload_s(self) -> float:
        before = spent(self.pid).total
        subprocess.run([*PROGRAM, "reload", "-q"], cwd=self.folder, check=True)
        return spent(self.pid).total - before


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    authority = Authority()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=authority.pem)
    with ExitStack() as ending:
        both = [ending.enter_context(running(authority, it)) for it in (FEW, count)]
        for each in both:
            print(f"{each.count:>6} certificates: start {each.start_s:.1f} s, {each.rss_mb():.0f} MB")
        # What was written less than two seconds ago is read again.
        time.sleep(3)
        for each in both:
            unchanged = each.reload_s()
            write(authority, each.folder / "certs", 1)
            changed = each.reload_s()
            print(f"{each.count:>6}: CPU of a reload {unchanged:.2f} s, with one of them new {changed:.2f} s")
        for each in both:
            before = spent(each.pid).total
            time.sleep(20)
            print(f"{each.count:>6}: CPU while nothing happens {(spent(each.pid).total - before) * 5:.1f} %")
        per_handshake(context, both)


def per_handshake(context: ssl.SSLContext, both: list[Running]) -> None:
    took: dict[int, list[float]] = {each.count: [] for each in both}
    chance = random.Random(1)
    for _ in range(ROUNDS):
        for each in both:
            before = each.plane_s()
            for _ in range(HANDSHAKES):
                shake_hands(context, each.port, f"n{chance.randrange(each.count)}.test")
            took[each.count].append((each.plane_s() - before) / HANDSHAKES * 1e6)
    for count, figures in took.items():
        print(f"{count:>6}: CPU of a handshake {statistics.median(figures):.0f} µs (best {min(figures):.0f})")
    few, many = took.values()
    each_round = [more / less for less, more in zip(few, many, strict=True)]
    print(f"ratio {statistics.median(each_round):.3f}, of the best rounds {min(many) / min(few):.3f}")


def shake_hands(context: ssl.SSLContext, port: int, name: str) -> None:
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        context.wrap_socket(plain, server_hostname=name) as client,
    ):
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 ")


def write(authority: Authority, folder: Path, count: int) -> None:
    folder.mkdir(exist_ok=True)
    key = make_key("ecdsa")
    for number in range(count):
        authority.issue(f"n{number}.test", key=key).write(folder, f"c{number}")


@contextmanager
def running(authority: Authority, count: int) -> Iterator[Running]:
    with tempfile.TemporaryDirectory(prefix="bench-") as name, socket.socket() as free:
        folder = Path(name)
        write(authority, folder / "certs", count)
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        (folder / "bascule.yaml").write_text(
            f"threads: 1\nadmin: {{bind: 'unix:{folder}/admin.sock'}}\naccess_log: off\n"
            f"listeners: {{web: {{bind: '127.0.0.1:{port}', tls: {{certificates: certs/}},"
            " routes: [{respond: {status: 200}}]}}\n"
        )
        process = subprocess.Popen([*PROGRAM, "run"], cwd=folder, stderr=subprocess.PIPE, text=True)
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if "  admin  " in line:
                    break
            yield Running(count, folder, process.pid, port, spent(process.pid).total)
        finally:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()
