"""What a check is: it is given a target, and returns, or fails with a reason in words."""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol, Self

from bascule.contract import ProxyVersion, TcpAddress
from bascule.plan.found import FoundEndpoint
from bascule.plan.plan import PlannedPoolTls
from bascule.wording import in_one_line, in_words


class CheckFailed(Exception):  # noqa: N818 (an outcome, not an error of ours)
    """The endpoint did not pass. `reason` is one printable line that names what was wanted."""

    def __init__(self, reason: str) -> None:
        self.reason = in_one_line(reason)
        super().__init__(self.reason)


@dataclass(frozen=True, slots=True)
class Target:
    """One endpoint, as a check sees it. Either `host` and `port` are there, or `path`."""

    pool: str
    """The pool it is checked for."""
    id: str
    """The endpoint's id within the pool."""
    name: str | None = None
    """The name it was found by, without port; `None` when it was written as an address."""
    host: str | None = None
    """IP address, without brackets."""
    port: int | None = None
    """1 to 65535."""
    path: str | None = None
    """Of its Unix socket."""
    tls: PlannedPoolTls | None = None
    """How TLS is spoken to it; `None`: it is not."""
    announce: ProxyVersion | None = None
    """The PROXY header that connections begin with; `None`: none."""

    @classmethod
    def of(
        cls,
        pool: str,
        endpoint: FoundEndpoint,
        tls: PlannedPoolTls | None = None,
        announce: ProxyVersion | None = None,
    ) -> Self:
        """The target that `endpoint` is when it is checked for `pool`."""
        if isinstance(endpoint.address, TcpAddress):
            host, _, port = endpoint.address.address.rpartition(":")
            return cls(pool, endpoint.id, endpoint.host, host.strip("[]"), int(port), None, tls, announce)
        return cls(pool, endpoint.id, endpoint.host, None, None, endpoint.address.path, tls, announce)

    def at_port(self, port: int) -> Self:
        """Another port of the same machine. Raises `CheckFailed` when the address does not tell which."""
        if self.host is None:
            raise CheckFailed(
                f"{self} has no other ports: a Unix socket is no machine; remove the check's port"
            )
        return replace(self, port=port)

    def __str__(self) -> str:
        """`10.0.0.1:8000`, `[::1]:8000` or `unix:/path`."""
        if self.path is not None:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if self.host and ":" in self.host else f"{self.host}:{self.port}"

    async def connect(self, alpn: str = "http/1.1") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """An open connection, which the caller closes. Raises `CheckFailed` when there is none to be had.

        `alpn` is what we say we speak where the pool has TLS; the endpoint may not have agreed.
        """
        try:
            if self.tls is not None:
                return await self._connect_securely(self.tls, alpn)
            return await self._connect_plainly()
        except OSError as error:
            raise CheckFailed(f"connect to {self}: {in_words(error)}") from error

    async def _connect_plainly(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.path is not None:
            reader, writer = await asyncio.open_unix_connection(self.path)
        else:
            reader, writer = await asyncio.open_connection(self.host, self.port)
        if self.announce is not None:
            from bascule.health.announced import header  # noqa: PLC0415 (few pools announce clients)

            writer.write(header(self.announce, writer.get_extra_info("socket")))
        return reader, writer

    async def _connect_securely(
        self, planned: PlannedPoolTls, alpn: str
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        from bascule.certificates.fault import CertificateRefused  # noqa: PLC0415 (few pools speak TLS)
        from bascule.health.secure import secure  # noqa: PLC0415

        try:
            tls = secure(planned, alpn)
            context, name = tls.context, tls.server_name or self.host or "localhost"
            if self.announce is not None:
                return await self._secured_behind_a_header(context, name)
            if self.path is not None:
                return await asyncio.open_unix_connection(self.path, ssl=context, server_hostname=name)
            return await asyncio.open_connection(self.host, self.port, ssl=context, server_hostname=name)
        except CertificateRefused as refused:
            raise CheckFailed(str(refused)) from refused
        except ssl.SSLCertVerificationError as error:
            raise CheckFailed(f"TLS to {self}: its certificate is refused: {error.verify_message}") from error
        except ssl.SSLError as error:
            raise CheckFailed(f"TLS to {self}: {error.reason or error}") from error

    async def _secured_behind_a_header(
        self, context: ssl.SSLContext, name: str
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await self._connect_plainly()
        try:
            await writer.start_tls(context, server_hostname=name)
        except BaseException:
            writer.transport.abort()
            raise
        return reader, writer


class Check(Protocol):
    """One way to find out whether an endpoint works.

    The prober calls `run` again and again, for many targets at the same time, and cancels it when it takes
    too long: it must keep no state between runs and close what it opens even then.
    """

    name: ClassVar[str]
    """As configurations write it."""

    @classmethod
    def from_options(cls, options: Mapping[str, object]) -> Self:
        """The check that a plan asks for. Raises `BasculeError` when it makes no sense."""
        ...

    async def run(self, target: Target) -> None:
        """Returns when the endpoint passed, else raises `CheckFailed`; needs no time limit of its own."""
        ...
