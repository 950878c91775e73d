"""A name server on a real socket, UDP and TCP, that answers as a test says."""

import asyncio
import socket
from types import TracebackType
from typing import Self, cast

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

LARGEST_DATAGRAM = 1232


class ToyDns:
    """Serves a few names on a free port of 127.0.0.1 for as long as the `async with` lasts."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []
        """Name, type and "udp" or "tcp" of every question."""
        self.failure: str | None = None
        """Every answer is this code, "SERVFAIL" for example; or there is none: "SILENCE"."""
        self.deaf_to: set[str] = set()
        """Types of question that are never answered."""
        self._records: dict[tuple[str, str], dns.rrset.RRset] = {}
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None
        self._port = 0

    @property
    def nameserver(self) -> str:
        """As the option `nameservers` takes it."""
        return f"127.0.0.1:{self._port}"

    def set(self, name: str, kind: str, *values: str, ttl: int = 60) -> None:
        """From now on the records of that type; without values, none."""
        self._records.pop((name, kind), None)
        if values:
            self._records[name, kind] = dns.rrset.from_text(f"{name}.", ttl, "IN", kind, *values)

    def forget(self, name: str) -> None:
        """From now on the name does not exist."""
        for key in [it for it in self._records if it[0] == name]:
            del self._records[key]

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for _ in range(20):
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            udp.bind(("127.0.0.1", 0))
            self._port = udp.getsockname()[1]
            try:
                self._tcp = await asyncio.start_server(self._serve_tcp, "127.0.0.1", self._port)
            except OSError:
                # Somebody has the same number for TCP; take another.
                udp.close()
                continue
            self._udp, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=udp)
            return self
        raise OSError("no port is free for both UDP and TCP")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._udp is not None
        assert self._tcp is not None
        self._udp.close()
        self._tcp.close()
        await self._tcp.wait_closed()
        await asyncio.sleep(0)

    def answer(self, wire: bytes, transport: str) -> bytes | None:
        """The bytes that answer this question, if any."""
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind, transport))
        if self.failure == "SILENCE" or kind in self.deaf_to:
            return None
        response = dns.message.make_response(query)
        if self.failure is not None:
            response.set_rcode(dns.rcode.from_text(self.failure))
        else:
            self._fill(response, name, kind)
        whole = response.to_wire(max_size=65535)
        if transport == "tcp" or len(whole) <= LARGEST_DATAGRAM:
            return whole
        cut = dns.message.make_response(query)
        cut.flags |= dns.flags.TC
        return cut.to_wire()

    def _fill(self, response: dns.message.Message, name: str, kind: str) -> None:
        for _ in range(20):
            if (name, kind) in self._records:
                response.answer.append(self._records[name, kind])
                return
            alias = self._records.get((name, "CNAME"))
            if alias is None:
                break
            if alias not in response.answer:
                response.answer.append(alias)
            name = alias[0].target.to_text(omit_final_dot=True)
        if not any(known == name for known, _ in self._records):
            response.set_rcode(dns.rcode.NXDOMAIN)

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = int.from_bytes(await reader.readexactly(2), "big")
        answer = self.answer(await reader.readexactly(length), "tcp")
        if answer is not None:
            writer.write(len(answer).to_bytes(2, "big") + answer)
            await writer.drain()
        writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, toy: ToyDns) -> None:
        self._toy = toy

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # asyncio's own datagram transport is not a subclass of the class that describes it.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = self._toy.answer(data, "udp")
        if answer is not None:
            self._transport.sendto(answer, addr)
