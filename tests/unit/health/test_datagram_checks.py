"""Checks that ask with datagrams: UDP, and DNS, which also asks over TCP."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

import dns.flags
import dns.message
import pytest
from tests.support.places import closed_port
from tests.support.toy_dns import ToyDns

from bascule.health.check import CheckFailed, Target
from bascule.health.checks.dns import DnsCheck
from bascule.health.checks.udp import UdpCheck

Answer = Callable[[bytes], bytes | None]


class _Peer(asyncio.DatagramProtocol):
    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if (answer := self._answer(data)) is not None:
            self._transport.sendto(answer, addr)


@asynccontextmanager
async def peer(answer: Answer) -> AsyncIterator[Target]:
    """An endpoint that answers datagrams."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Peer(answer), ("127.0.0.1", 0))
    try:
        host, port = transport.get_extra_info("sockname")
        yield Target("dns", "x", host=host, port=port)
    finally:
        transport.close()


def refusing() -> Target:
    with closed_port() as address:
        return at(address)


def at(address: str) -> Target:
    host, _, port = address.rpartition(":")
    return Target("dns", "x", host=host, port=int(port))


async def udp_failure(target: Target, **options: object) -> str:
    with pytest.raises(CheckFailed) as failed:
        await UdpCheck.from_options({"send": "ping", **options}).run(target)
    return failed.value.reason


async def test_any_answer_passes_unless_one_is_expected() -> None:
    async with peer(lambda asked: asked.upper()) as target:
        await UdpCheck.from_options({"send": "ping"}).run(target)
        await UdpCheck.from_options({"send": "ping", "expect": {"regex": "^PING$"}}).run(target)
        assert await udp_failure(target, expect="PONG") == f"{target} answers 'PING', wanted 'PONG'"


async def test_silence_is_a_failure_unless_it_is_said_otherwise() -> None:
    async with peer(lambda _: None) as target:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await UdpCheck.from_options({"send": "ping"}).run(target)
        await UdpCheck.from_options({"send": "ping", "silence_ms": 20}).run(target)


@pytest.mark.parametrize("options", [{}, {"silence_ms": 5_000}], ids=["silence fails", "silence passes"])
async def test_a_refusal_fails_at_once(options: dict[str, object]) -> None:
    target = refusing()
    assert await udp_failure(target, **options) == f"connect to {target}: connection refused"


async def dns_failure(server: ToyDns, **options: object) -> str:
    with pytest.raises(CheckFailed) as failed:
        await ask_dns(server, **options)
    return failed.value.reason


async def ask_dns(server: ToyDns, **options: object) -> None:
    await DnsCheck.from_options({"name": "app.example", **options}).run(at(server.nameserver))


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_name_server_passes_when_it_has_the_records(transport: str) -> None:
    async with ToyDns() as server:
        server.set("app.example", "A", "192.0.2.1", "192.0.2.2")
        await ask_dns(server, transport=transport)
        await ask_dns(server, transport=transport, expect=["192.0.2.2"])
        assert {it[2] for it in server.asked} == {transport}
        said = await dns_failure(server, transport=transport, expect=["192.0.2.9"])
        assert said == "app.example A is 192.0.2.1, 192.0.2.2, wanted 192.0.2.9"
        assert await dns_failure(server, transport=transport, type="AAAA") == "app.example AAAA: no records"
        server.failure = "SERVFAIL"
        assert await dns_failure(server, transport=transport) == "app.example A: SERVFAIL"


async def test_a_name_is_expected_with_or_without_its_final_dot() -> None:
    async with ToyDns() as server:
        server.set("app.example", "MX", "10 Mail.example.")
        await ask_dns(server, type="mx", expect=["10 mail.example"])


async def test_an_answer_that_was_cut_off_is_asked_for_over_tcp() -> None:
    async with ToyDns() as server:
        server.set("app.example", "TXT", *(f'"{at:0>200}"' for at in range(20)))
        await ask_dns(server, type="TXT")
        assert [it[2] for it in server.asked] == ["udp", "tcp"]


async def test_an_answer_to_another_question_is_not_taken() -> None:
    def forge(asked: bytes) -> bytes:
        answer = dns.message.make_response(dns.message.from_wire(asked))
        answer.id ^= 1
        return answer.to_wire()

    async with peer(forge) as target:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await DnsCheck.from_options({"name": "app.example"}).run(target)
