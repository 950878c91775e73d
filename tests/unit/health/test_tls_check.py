"""What a TLS check makes of handshakes and certificates."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.support.certificates import Authority, Issued
from tests.support.toy_endpoint import ToyEndpoint

from bascule.errors import BasculeError
from bascule.health.check import CheckFailed, Target
from bascule.health.checks.tls import TlsCheck
from bascule.plan.plan import PlannedAuthorities, PlannedPoolTls


@asynccontextmanager
async def serving(issued: Issued, folder: Path) -> AsyncIterator[int]:
    """A server that shows this certificate; its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.write(folder, "shown"))

    async def stay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(stay, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def trusting(ca: Path | None, name: str | None = None) -> PlannedPoolTls:
    authorities = None if ca is None else PlannedAuthorities((str(ca),))
    return PlannedPoolTls(authorities, name, None, ())


async def failure(port: int, tls: PlannedPoolTls | None, min_days: int | None = None) -> str:
    with pytest.raises(CheckFailed) as failed:
        await TlsCheck(min_days).run(Target("web", "x", host="127.0.0.1", port=port, tls=tls))
    return failed.value.reason


async def test_a_certificate_of_somebody_else_fails(tmp_path: Path) -> None:
    authority, other = Authority(), Authority("Other")
    async with serving(authority.issue("127.0.0.1"), tmp_path) as port:
        ours, theirs = authority.write(tmp_path), other.write(tmp_path, "other")
        await TlsCheck().run(Target("web", "x", host="127.0.0.1", port=port, tls=trusting(ours)))
        assert "its certificate is refused: " in await failure(port, trusting(theirs))
        assert "shop.example" in await failure(port, trusting(ours, "shop.example"))
        await TlsCheck().run(Target("web", "x", host="127.0.0.1", port=port, tls=trusting(None)))


async def test_a_certificate_that_ends_soon_fails_verified_or_not(tmp_path: Path) -> None:
    authority = Authority()
    async with serving(authority.issue("127.0.0.1", days=10.5), tmp_path) as port:
        for tls in (trusting(authority.write(tmp_path)), trusting(None)):
            target = Target("web", "x", host="127.0.0.1", port=port, tls=tls)
            await TlsCheck(min_days=5).run(target)
            said = await failure(port, tls, min_days=14)
            assert said.startswith("the certificate expires in ")
            assert said.endswith("wanted at least 14 days")


async def test_one_that_speaks_no_tls_fails() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()

    async with ToyEndpoint(refuse) as toy:
        found = Target.of("web", toy.found())
        assert found.port is not None
        assert (await failure(found.port, trusting(None))).startswith("TLS to 127.0.0.1:")
        assert (await failure(found.port, None)).endswith("is not spoken to over TLS")


def test_options_that_make_no_sense_are_refused() -> None:
    for options in ({"min_days": -1}, {"min_days": "14"}, {"ca": "x"}):
        with pytest.raises(BasculeError):
            TlsCheck.from_options(options)
