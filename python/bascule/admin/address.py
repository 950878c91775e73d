"""The admin address: what it is when nobody chose one, and how a program takes it for itself."""

import contextlib
import fcntl
import ipaddress
import os
import socket
import struct
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bascule.errors import BasculeError
from bascule.wording import in_words

BACKLOG = 64


@dataclass(frozen=True, slots=True)
class UnixAdmin:
    """A Unix socket that only its owner may use."""

    path: Path

    def __str__(self) -> str:
        return f"unix:{self.path}"


@dataclass(frozen=True, slots=True)
class TcpAdmin:
    """An address anybody who can reach it may use."""

    host: str
    port: int

    def is_local(self) -> bool:
        """Whether only programs on this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


AdminAddress = UnixAdmin | TcpAdmin


def parse(text: str) -> AdminAddress:
    """Reads `unix:/path`, `127.0.0.1:9000`, `[::1]:9000` or `:9000` (which is 127.0.0.1)."""
    if text.startswith("unix:"):
        return UnixAdmin(Path(text.removeprefix("unix:")))
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise BasculeError(f"'{text}' is not an admin address", "write unix:/path or 127.0.0.1:9000")
    return TcpAdmin(host.removeprefix("[").removesuffix("]") or "127.0.0.1", int(port))


def default(environment: Mapping[str, str], user: int) -> UnixAdmin:
    """`/run/bascule.sock` for root; for others in their runtime directory, or a name of their own in /tmp."""
    if user == 0:
        return UnixAdmin(Path("/run/bascule.sock"))
    if runtime := environment.get("XDG_RUNTIME_DIR"):
        return UnixAdmin(Path(runtime) / "bascule.sock")
    return UnixAdmin(Path(tempfile.gettempdir()) / f"bascule-{user}.sock")


class Claim:
    """A bound and listening socket. `release` takes the socket file away again."""

    def __init__(self, address: AdminAddress, listening: socket.socket) -> None:
        self.address = address
        self.socket = listening
        self._inode = address.path.stat().st_ino if isinstance(address, UnixAdmin) else None
        self.is_left = False
        """To a process after us: its file is not ours any more."""

    def release(self) -> None:
        self.socket.close()
        if isinstance(self.address, UnixAdmin) and not self.is_left:
            with contextlib.suppress(OSError):
                # A successor may have put its own socket there by now.
                if self.address.path.stat().st_ino == self._inode:
                    self.address.path.unlink()


def claim(address: AdminAddress, left: socket.socket | None = None) -> Claim:
    """Binds and listens, unless a process before us has `left` its socket of this address to us.

    Raises `BasculeError` when somebody else does so already.
    """
    if left is not None:
        left.setblocking(True)
        return Claim(address, left)
    try:
        if isinstance(address, UnixAdmin):
            return Claim(address, _bind_unix(address.path))
        listening = socket.create_server(
            (address.host, address.port),
            family=socket.AF_INET6 if ":" in address.host else socket.AF_INET,
            backlog=BACKLOG,
        )
    except OSError as error:
        raise BasculeError(
            f"cannot listen for admin requests on {address}: {in_words(error)}",
            "choose another address with `admin: {bind: ...}` in the file, or with --admin",
        ) from error
    port = listening.getsockname()[1]
    return Claim(TcpAdmin(address.host, port), listening)


def _bind_unix(path: Path) -> socket.socket:
    with _alone_in(path.parent):
        _remove_stale(path)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # The mode is there from the first moment: chmod after bind leaves a gap for others to connect.
        before = os.umask(0o177)
        try:
            listening.bind(str(path))
        except OSError:
            listening.close()
            raise
        finally:
            os.umask(before)
        listening.listen(BACKLOG)
        return listening


def peer_process(connected: socket.socket) -> int:
    """Who listens at the other end of a Unix socket; 0 for a process that we cannot see."""
    process: int = struct.unpack("3i", connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
    return process


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Two programs that start at once must not each remove the other's fresh socket as stale."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _remove_stale(path: Path) -> None:
    if not path.is_socket():
        if path.exists():
            raise BasculeError(
                f"cannot listen for admin requests on unix:{path}: a file that is not a socket is there",
                "move it away, or choose another path with `admin: {bind: ...}`",
            )
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knock:
        knock.settimeout(1.0)
        try:
            knock.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError as error:
            raise BasculeError(f"cannot tell whether unix:{path} is in use: {error}") from error
        process = peer_process(knock)
    raise BasculeError(
        f"another balancer listens on unix:{path} (process {process})",
        "stop it with `bascule stop`, or choose another path with `admin: {bind: ...}` or --admin",
    )
