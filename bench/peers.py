"""The balancers that are compared: how each is started on a core of its own, and stopped."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.datagrams import receives
from bench.encrypted import BOTH, CERTIFICATE, KEY
from bench.load import BUILT, Failed, pinned
from bench.measure import BALANCER_CPU
from bench.wanted import Wanted

CONFIGS = Path(__file__).parent / "configs"
START_SECONDS = 20
STOP_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Target:
    """A balancer that can be measured."""

    name: str
    program: str
    port: int
    arguments: tuple[str, ...]
    """`@FOLDER@` is its scratch folder, `@CONFIG@` its configuration, `@PORT@` where it shall accept."""
    config: str = ""
    """The template, in bench/configs."""
    udp_config: str = ""
    """The same for datagrams; none: it does not carry them."""
    endpoint: str = ""
    """How the template writes an endpoint: `{host}`, `{port}` and `{number}` are filled in."""
    tls_bind: str = ""
    """What makes a bind speak TLS: it stands for `@TLS_BIND@` where that is wanted."""
    tls: str = ""
    """The same for `@TLS@`. `@CERTIFICATE@`, `@KEY@` and `@BOTH@` are files."""
    tcp_config: str = ""
    """The template where connections are carried as they are. `@TCP@` stands for `tcp` in it."""
    tcp: str = ""
    version: tuple[str, ...] = ()
    """Arguments that make it print its version."""
    optional: bool = False
    """Left out, with a word, where it is not installed."""

    def installed(self) -> bool:
        return shutil.which(self.program, path=_path()) is not None


@dataclass(frozen=True, slots=True)
class Running:
    """A balancer that accepts connections."""

    pid: int
    port: int
    folder: Path


ENVOY_TLS = (
    "transport_socket: {name: envoy.transport_sockets.tls, typed_config: "
    '{"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, '
    "disable_stateless_session_resumption: true, disable_stateful_session_resumption: true, "
    "common_tls_context: {alpn_protocols: [h2, http/1.1], "
    "tls_params: {tls_maximum_protocol_version: TLSv1_3}, "
    "tls_certificates: [{certificate_chain: {filename: @CERTIFICATE@}, private_key: {filename: @KEY@}}]}}}"
)

TARGETS = (
    Target(
        name="nginx",
        program="nginx",
        port=18110,
        arguments=("-p", "@FOLDER@", "-c", "@CONFIG@"),
        config="nginx.conf",
        udp_config="nginx-udp.conf",
        endpoint="server {host}:{port};",
        tls_bind="ssl http2",
        tls="ssl_certificate @CERTIFICATE@; ssl_certificate_key @KEY@;",
        tcp_config="nginx-stream.conf",
        version=("-v",),
    ),
    Target(
        name="nginx-128k",
        program="nginx",
        port=18160,
        arguments=("-p", "@FOLDER@", "-c", "@CONFIG@"),
        endpoint="server {host}:{port};",
        tcp_config="nginx-stream.conf",
        tcp="proxy_buffer_size 128k;",
        version=("-v",),
    ),
    Target(
        name="haproxy",
        program="haproxy",
        port=18120,
        arguments=("-db", "-f", "@CONFIG@"),
        config="haproxy.cfg",
        endpoint="server s{number} {host}:{port} pool-max-conn 256",
        tls_bind="ssl crt @BOTH@ alpn h2,http/1.1",
        tcp_config="haproxy-tcp.cfg",
        version=("-v",),
    ),
    Target(
        name="haproxy-splice",
        program="haproxy",
        port=18170,
        arguments=("-db", "-f", "@CONFIG@"),
        endpoint="server s{number} {host}:{port}",
        tcp_config="haproxy-tcp.cfg",
        tcp="option splice-auto",
        version=("-v",),
    ),
    Target(
        name="envoy",
        program=str(BUILT / "envoy" / "envoy" / "_bin" / "envoy"),
        port=18130,
        arguments=("-c", "@CONFIG@", "--concurrency", "1", "-l", "critical", "--disable-hot-restart"),
        config="envoy.yaml",
        endpoint="- endpoint: {{address: {{socket_address: {{address: {host}, port_value: {port}}}}}}}",
        tls=ENVOY_TLS,
        version=("--version",),
        optional=True,
    ),
    Target(
        name="floor",
        program=str(BUILT / "floor"),
        port=18140,
        arguments=("@PORT@", "@ENDPOINTS@"),
    ),
    Target(
        name="bascule",
        program=str(Path(sys.executable).parent / "bascule"),
        port=18150,
        arguments=("run", "--quiet", "--admin", "unix:@FOLDER@/admin.sock", str(CONFIGS / "bascule.py")),
        version=("version",),
    ),
)


@contextmanager
def running(target: Target, wanted: Wanted) -> Iterator[Running]:
    """Starts a balancer and waits until it accepts. Whatever happens, nothing of it is left at the end."""
    folder = BUILT / "run" / target.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if _serves(target, wanted):
        raise Failed(f"port {target.port} is taken: does another benchmark run?")
    command = _command(target, wanted, folder)
    surroundings = {**os.environ, "PATH": _path(), **_for_bascule(target, wanted, folder)}
    with (folder / "output").open("w") as output, pinned(BALANCER_CPU):
        started = subprocess.Popen(
            command, env=surroundings, cwd=folder, stdout=output, stderr=output, process_group=0
        )
    try:
        _wait_until_serving(started, target, wanted, folder)
        yield Running(started.pid, target.port, folder)
    finally:
        _stop(started)


def version(target: Target) -> str:
    """What the program says about its version, in a line."""
    command = [target.program, *target.version]
    said = subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": _path()})
    return next(iter((said.stdout + said.stderr).strip().splitlines()), "")


def _command(target: Target, wanted: Wanted, folder: Path) -> list[str]:
    template = target.config
    if wanted.udp:
        template = target.udp_config
    elif wanted.tcp:
        template = target.tcp_config
    config = folder / template
    if template:
        config.write_text(render((CONFIGS / template).read_text(), target, wanted, folder))
    # Only the floor is told its endpoints on the command line, each as an argument.
    listed = [
        part for it in target.arguments for part in (wanted.endpoints if it == "@ENDPOINTS@" else (it,))
    ]
    filled = [
        it.replace("@FOLDER@", str(folder))
        .replace("@CONFIG@", str(config))
        .replace("@PORT@", str(target.port))
        for it in listed
    ]
    return [target.program, *filled]


def render(template: str, target: Target, wanted: Wanted, folder: Path) -> str:
    """Fills in a configuration template. A line with `@ENDPOINTS@` becomes one line for each of them."""
    lines = []
    for line in template.splitlines():
        before = line.removesuffix("@ENDPOINTS@")
        if before == line:
            lines.append(line)
            continue
        for number, address in enumerate(wanted.endpoints):
            host, _, port = address.rpartition(":")
            lines.append(before + target.endpoint.format(host=host, port=port, number=number))
    values: Mapping[str, object] = {
        "PORT": target.port,
        "FOLDER": folder,
        "ACCESS_LOG": folder / "access.log combined" if wanted.access_log else "off",
        "RESPONSES": "" if wanted.responses is None else f"proxy_responses {wanted.responses};",
        "IDLE": max(256, 4 * len(wanted.endpoints)),
        "CERTIFICATE": CERTIFICATE,
        "KEY": KEY,
        "BOTH": BOTH,
    }
    text = "\n".join(lines) + "\n"
    text = text.replace("@TLS_BIND@", target.tls_bind if wanted.tls else "")
    text = text.replace("@TLS@", target.tls if wanted.tls else "")
    text = text.replace("@TCP@", target.tcp)
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    return text


def _for_bascule(target: Target, wanted: Wanted, folder: Path) -> Mapping[str, str]:
    log = str(folder / "access.log") if wanted.access_log else None
    files = {"certificate": str(CERTIFICATE), "key": str(KEY)} if wanted.tls else None
    told = {**asdict(wanted), "access_log": log, "port": target.port, "tls": files}
    return {"BENCH_WANTED": json.dumps(told), "BENCH_FOLDER": str(folder)}


def _wait_until_serving(
    started: "subprocess.Popen[bytes]", target: Target, wanted: Wanted, folder: Path
) -> None:
    wait_for(lambda: started.poll() is not None or _serves(target, wanted), START_SECONDS)
    if started.poll() is not None or not _serves(target, wanted):
        said = (folder / "output").read_text()[-1500:].strip()
        raise Failed(f"{target.name} does not start: {said}")


def wait_for(holds: Callable[[], bool], seconds: float) -> bool:
    """Asks again and again; says whether it came to hold in time."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def _serves(target: Target, wanted: Wanted) -> bool:
    if wanted.udp:
        return receives(target.port)
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", target.port)) == 0


def _stop(started: "subprocess.Popen[bytes]") -> None:
    started.terminate()
    with suppress(subprocess.TimeoutExpired):
        started.wait(STOP_SECONDS)
    # It leads a group of its own, so this reaches workers that outlived it, and nobody else.
    with suppress(ProcessLookupError):
        os.killpg(started.pid, signal.SIGKILL)
    started.wait()


def _path() -> str:
    # Debian keeps the servers where the PATH of a plain user does not lead.
    return os.environ.get("PATH", "") + ":/usr/sbin"
