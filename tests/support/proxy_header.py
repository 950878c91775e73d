"""PROXY headers as tests write and read them: by the specification, and not by our code."""

import ipaddress
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.support.strict import Stream

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
ALPN, AUTHORITY, CRC32C, UNIQUE_ID, SSL, SSL_CN = 0x01, 0x02, 0x03, 0x05, 0x20, 0x22

Address = tuple[str, int]


@dataclass(frozen=True)
class Header:
    """What a header said. A connection that is for nobody has no addresses."""

    version: int
    source: Address | None = None
    destination: Address | None = None
    tlvs: Mapping[int, bytes] = field(default_factory=dict)


def v1(source: Address, destination: Address = ("192.0.2.1", 443)) -> bytes:
    family = "TCP6" if ":" in source[0] else "TCP4"
    return f"PROXY {family} {source[0]} {destination[0]} {source[1]} {destination[1]}\r\n".encode()


def v2(
    source: Address | None,
    destination: Address = ("192.0.2.1", 443),
    tlvs: Mapping[int, bytes] | None = None,
) -> bytes:
    """LOCAL without a source."""
    if source is None:
        return SIGNATURE + b"\x20\x00\x00\x00"
    addresses = [ipaddress.ip_address(address) for address, _ in (source, destination)]
    content = b"".join(address.packed for address in addresses)
    content += struct.pack(">HH", source[1], destination[1])
    for kind, value in (tlvs or {}).items():
        content += struct.pack(">BH", kind, len(value)) + value
    family = 0x11 if addresses[0].version == 4 else 0x21
    return SIGNATURE + struct.pack(">BBH", 0x21, family, len(content)) + content


def read_header(stream: Stream) -> Header:
    """The header that the stream begins with; whatever else it begins with fails."""
    if stream.exactly(1) == b"P":
        return _read_line(stream.line())
    assert stream.exactly(11) == SIGNATURE[1:]
    command, family, length = struct.unpack(">BBH", stream.exactly(4))
    content = stream.exactly(length)
    if command == 0x20 or family == 0:
        return Header(2)
    size = {0x11: 4, 0x21: 16}[family]
    source, destination = (str(ipaddress.ip_address(content[at : at + size])) for at in (0, size))
    ports = struct.unpack(">HH", content[2 * size : 2 * size + 4])
    return Header(2, (source, ports[0]), (destination, ports[1]), _tlvs(content[2 * size + 4 :]))


def _read_line(line: bytes) -> Header:
    words = line.decode().split(" ")
    if words[:2] == ["ROXY", "UNKNOWN"]:
        return Header(1)
    _, _, source, destination, source_port, port = words
    return Header(1, (source, int(source_port)), (destination, int(port)))


def _tlvs(content: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while content:
        kind, length = struct.unpack(">BH", content[:3])
        assert kind not in found, "each is told once"
        found[kind], content = content[3 : 3 + length], content[3 + length :]
    return found
