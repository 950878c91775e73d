"""Checks of a pool that announces clients begin with a header that names none of them."""

import asyncio
from pathlib import Path

import pytest
from tests.support.certificates import Authority
from tests.support.endpoints import OK, Conversation, ScriptedEndpoint
from tests.support.proxy_header import Header, read_header
from tests.support.secure_endpoint import SecureEndpoint

from bascule import contract
from bascule.health.check import Target
from bascule.health.checks.http import HttpCheck
from bascule.health.checks.tcp import TcpCheck
from bascule.plan.plan import PlannedPoolTls

VERSIONS = pytest.mark.parametrize("version", ["v1", "v2"])


class Told:
    """A script that reads a header, then a request."""

    def __init__(self) -> None:
        self.headers: list[Header] = []
        self.peers: list[tuple[str, int]] = []

    def __call__(self, conversation: Conversation) -> None:
        if conversation.socket.family.name == "AF_INET":
            self.peers.append(conversation.socket.getpeername())
        self.headers.append(read_header(conversation.stream))
        conversation.read()
        conversation.send(OK)


def target(endpoint: ScriptedEndpoint, version: contract.ProxyVersion) -> Target:
    host, _, port = endpoint.name.rpartition(":")
    return Target("site", endpoint.name, host=host, port=int(port), announce=version)


@VERSIONS
async def test_the_header_comes_before_the_request(version: contract.ProxyVersion) -> None:
    told = Told()
    with ScriptedEndpoint(told) as endpoint:
        await HttpCheck("/").run(target(endpoint, version))
        endpoint.wait_requests(1)
        # Version 1 has no word for it that every server takes.
        to = (endpoint.name.rpartition(":")[0], int(endpoint.name.rpartition(":")[2]))
        expected = Header(1, told.peers[0], to) if version == "v1" else Header(2)
    assert told.headers == [expected]


@VERSIONS
async def test_a_check_that_only_connects_says_it_too(version: contract.ProxyVersion) -> None:
    told = Told()
    with ScriptedEndpoint(told) as endpoint:
        await TcpCheck().run(target(endpoint, version))
        # The connection is closed by the event loop.
        await asyncio.to_thread(endpoint.wait_conversations(1)[0].wait_end)
    assert [it.version for it in told.headers] == [int(version[1])]


@VERSIONS
async def test_a_unix_socket_has_no_addresses_to_tell(version: contract.ProxyVersion, tmp_path: Path) -> None:
    told = Told()
    with ScriptedEndpoint(told, path=tmp_path / "s") as endpoint:
        await HttpCheck("/").run(Target("site", "s", path=endpoint.name, announce=version))
    assert told.headers == [Header(int(version[1]))]


@VERSIONS
async def test_the_header_comes_before_tls(version: contract.ProxyVersion, tmp_path: Path) -> None:
    issued = Authority().issue("a.test")
    with SecureEndpoint(issued, tmp_path, announced=True) as endpoint:
        host, _, port = endpoint.address.rpartition(":")
        tls = PlannedPoolTls(None, "a.test", None, ("http/1.1",))
        secure = Target("site", "s", host=host, port=int(port), tls=tls, announce=version)
        await HttpCheck("/").run(secure)
        assert [it.version for it in endpoint.headers] == [int(version[1])]
