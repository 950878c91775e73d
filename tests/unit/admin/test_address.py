"""The admin address: how it reads, and who may have it."""

import os
import socket
import stat
from pathlib import Path

import pytest

from bascule.admin.address import TcpAdmin, UnixAdmin, claim, default, parse
from bascule.errors import BasculeError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("unix:/run/a.sock", UnixAdmin(Path("/run/a.sock"))),
        ("127.0.0.1:9000", TcpAdmin("127.0.0.1", 9000)),
        (":9000", TcpAdmin("127.0.0.1", 9000)),
        ("[::1]:9000", TcpAdmin("::1", 9000)),
    ],
)
def test_an_address_reads_as_it_is_written(text: str, address: object) -> None:
    assert parse(text) == address


@pytest.mark.parametrize(
    "text", ["", "9000", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:9x", "127.0.0.1:９"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(BasculeError, match="is not an admin address"):
        parse(text)


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
    ],
)
def test_only_loopback_addresses_are_local(host: str, local: bool) -> None:
    assert TcpAdmin(host, 9000).is_local() is local


def test_each_user_has_a_default_of_their_own() -> None:
    assert default({"XDG_RUNTIME_DIR": "/run/user/0"}, 0).path == Path("/run/bascule.sock")
    assert default({"XDG_RUNTIME_DIR": "/run/user/7"}, 7).path == Path("/run/user/7/bascule.sock")
    assert default({}, 7).path.name == "bascule-7.sock"


def test_only_the_owner_may_use_the_socket(tmp_path: Path) -> None:
    taken = claim(UnixAdmin(tmp_path / "a.sock"))
    assert stat.S_IMODE((tmp_path / "a.sock").stat().st_mode) == 0o600
    taken.release()
    assert not (tmp_path / "a.sock").exists()


def test_the_socket_of_a_dead_balancer_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    claim(UnixAdmin(path)).release()


def test_the_socket_of_a_living_balancer_is_left_alone_and_its_process_named(tmp_path: Path) -> None:
    living = claim(UnixAdmin(tmp_path / "a.sock"))
    with pytest.raises(BasculeError, match=rf"another balancer listens .* \(process {os.getpid()}\)"):
        claim(UnixAdmin(tmp_path / "a.sock"))
    assert (tmp_path / "a.sock").exists()
    living.release()


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.sock").write_text("precious")
    with pytest.raises(BasculeError, match="a file that is not a socket"):
        claim(UnixAdmin(tmp_path / "a.sock"))
    assert (tmp_path / "a.sock").read_text() == "precious"


def test_the_socket_of_a_successor_outlives_its_predecessor(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    first = claim(UnixAdmin(path))
    path.rename(tmp_path / "moved.sock")
    second = claim(UnixAdmin(path))
    first.release()
    assert path.exists()
    second.release()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BasculeError, match=r"cannot listen for admin requests on unix:.*no such file"):
        claim(UnixAdmin(tmp_path / "missing" / "a.sock"))


def test_port_zero_becomes_a_real_port() -> None:
    taken = claim(TcpAdmin("127.0.0.1", 0))
    assert isinstance(taken.address, TcpAdmin) and taken.address.port > 0
    with pytest.raises(BasculeError, match=r"choose another address|Address already in use"):
        claim(taken.address)
    taken.release()
