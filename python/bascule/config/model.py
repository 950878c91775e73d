"""The operator's model: everything that a configuration may say. Its field docs are the reference."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    Field,
    PlainSerializer,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    StrictStr,
    WrapSerializer,
    model_validator,
)

from bascule.config.acme import Acme, ExternalAccount
from bascule.config.addresses import AskedOn, BindAddress, SocketPath, read_mode
from bascule.config.check_kinds import Answer, Content, DnsQuestion, TcpQuestion, TlsQuestion, UdpQuestion
from bascule.config.checks import Check, Expect
from bascule.config.database_checks import MysqlQuestion, PostgresQuestion, RedisQuestion
from bascule.config.flows import Carried, Probe, Udp
from bascule.config.http2 import Http2, Http2OrOff
from bascule.config.http_values import Network
from bascule.config.keys import KeyBy
from bascule.config.places import Places
from bascule.config.pools import (
    Algorithm,
    DnsSource,
    Endpoint,
    FileSource,
    IdleConnections,
    OtherSource,
    Pool,
    Source,
    SrvSource,
    Subset,
)
from bascule.config.problems import Mistake
from bascule.config.protection import Ejection, Hedge, Queue, Retries
from bascule.config.proxy_protocol import Announce, Announced, AnnouncedOrOff
from bascule.config.rate_limits import RateLimit, RateLimits
from bascule.config.reports import Agent, LoadUrl
from bascule.config.routes import (
    CertificateTest,
    HeaderEdits,
    Match,
    Mirror,
    PathTest,
    PrefixChange,
    Redirect,
    Respond,
    Rewrite,
    Route,
    RouteTimeouts,
    ValueTest,
)
from bascule.config.section import Section, alternative
from bascule.config.sessions import Sessions
from bascule.config.stores import OneStore, Store
from bascule.config.tls import (
    CertificateFile,
    ClientCertificates,
    FilePath,
    Hsts,
    HstsOrOff,
    HttpsPort,
    ListenerTls,
    PoolTls,
    TicketKey,
    Tickets,
)
from bascule.config.values import (
    CountOrNone,
    Duration,
    DurationOrNone,
    DurationOrZero,
    Name,
    NotEmpty,
    ShortForm,
    Size,
    SizeOrNone,
    one_or_list,
)

SECOND = 1000
KIB = 1024
_TEXT = {"type": "string"}

__all__ = [
    "AccessLog",
    "Acme",
    "Admin",
    "Agent",
    "Algorithm",
    "Announce",
    "Announced",
    "Answer",
    "Bind",
    "CertificateFile",
    "CertificateTest",
    "Check",
    "ClientCertificates",
    "ClientLimits",
    "ClientTimeouts",
    "Config",
    "Content",
    "DnsQuestion",
    "DnsSource",
    "Ejection",
    "Endpoint",
    "Expect",
    "ExternalAccount",
    "FileSource",
    "Forwarded",
    "HeaderEdits",
    "Hedge",
    "Hsts",
    "Http2",
    "IdleConnections",
    "KeyBy",
    "Listener",
    "ListenerTls",
    "LoadUrl",
    "Match",
    "Mirror",
    "MysqlQuestion",
    "OtherSource",
    "PathTest",
    "Pool",
    "PoolTls",
    "PostgresQuestion",
    "PrefixChange",
    "Queue",
    "RateLimit",
    "Redirect",
    "RedisQuestion",
    "Respond",
    "Retries",
    "Rewrite",
    "Route",
    "RouteTimeouts",
    "Sessions",
    "Source",
    "SrvSource",
    "Stop",
    "Store",
    "Subset",
    "TcpQuestion",
    "TicketKey",
    "Tickets",
    "TlsQuestion",
    "Udp",
    "UdpQuestion",
    "ValueTest",
]


class Bind(Section):
    """An address to accept on. Has one of `address` and `unix`."""

    title: ClassVar[str] = "an address to accept on"

    address: BindAddress | None = alternative()
    """`ip:port`, IPv6 in brackets; `:port` accepts on all addresses, IPv4 and IPv6 (as `[::]:port` does).
    Port 0 lets the system choose; `:5000-5009` is ten ports."""
    unix: SocketPath | None = alternative()
    """The absolute path of a Unix socket."""
    mode: Annotated[
        int | None,
        ShortForm(
            lambda it: it if it is None else read_mode(it),
            ({"type": "string", "pattern": "^(0o?)?[0-7]{3}$"},),
        ),
        PlainSerializer(lambda mode: f"{mode:o}"),
    ] = alternative()
    """Permission bits of the Unix socket, in quotes; "660" by default."""

    @model_validator(mode="after")
    def _is_one_of_two(self) -> "Bind":
        if (self.address is None) == (self.unix is None):
            raise Mistake("a bind has one of `address` and `unix`", "write bind: 127.0.0.1:8080")
        if self.mode is not None and self.unix is None:
            raise Mistake("`mode` belongs to a Unix socket", "remove it")
        return self


def _bind(value: Any) -> Any:
    if isinstance(value, str) and value.startswith("unix:"):
        return {"unix": value.removeprefix("unix:")}
    return value if isinstance(value, dict | Bind) else {"address": value}


class ClientTimeouts(Section):
    """How long a client may take."""

    title: ClassVar[str] = "the timeouts of a listener"

    head: Duration = 10 * SECOND
    """From the first byte of a request (or the connect) to the end of its head; then 408."""
    body: Duration = 60 * SECOND
    """Between two reads of a request body; then 408."""
    keep_alive: Duration = 75 * SECOND
    """Idle between two requests; then the connection is closed."""
    send: Duration = 60 * SECOND
    """Between two successful writes to the client; then the connection is closed."""
    idle: Duration | None = alternative()
    """For TCP and UDP: silence in both directions after which a flow is closed; 1h for TCP, 30s for UDP by
    default."""
    total: DurationOrNone = alternative()
    """For TCP and UDP: the whole of a flow. By default it may last for ever."""


class ClientLimits(Section):
    """How much a client may send."""

    title: ClassVar[str] = "the limits of a listener"

    head: Size = 64 * KIB
    """Request line and headers together; then 431."""
    headers: Annotated[int, Field(strict=True, ge=1, le=256)] = 100
    """Number of headers; then 431."""
    target: Size = 8 * KIB
    """Length of the request target; then 414."""
    body: SizeOrNone = None
    """Length of a request body; then 413. Bodies are streamed, so large ones cost no memory."""
    connections: CountOrNone = None
    """Open client connections of this listener; at the limit new ones wait."""
    requests_per_connection: CountOrNone = None
    """Requests on one connection; the last answer closes it."""
    connections_per_client: CountOrNone = None
    """Open connections of one client address; more are closed at once."""


class Forwarded(Section):
    """What endpoints are told about the client."""

    title: ClassVar[str] = "`forwarded`"

    x_forwarded: bool = True
    """Send `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host`."""
    rfc7239: bool = False
    """Send `Forwarded` (RFC 7239)."""
    trusted: Annotated[tuple[Network, ...], ShortForm(one_or_list, (_TEXT,))] = ()
    """Networks (CIDR) of proxies in front, whose own forwarded headers are kept and appended to. From all
    others they are dropped: a client could write anything into them."""


class Listener(Section):
    """Addresses that share routes, limits and timeouts."""

    title: ClassVar[str] = "a listener"

    bind: Annotated[
        tuple[Annotated[Bind, ShortForm(_bind, (_TEXT,))], ...],
        NotEmpty,
        Field(examples=["127.0.0.1:8080"]),
        ShortForm(one_or_list, (_TEXT, {"type": "object"})),
    ]
    """Where it accepts: `127.0.0.1:8080`, `:8080` (all addresses), `"[::1]:80"`, `:5000-5009`, `unix:/path`;
    one, or a list."""
    protocol: Carried = "http"
    """What it carries: `http`, or `tcp` or `udp` as they are (layer 4)."""
    routes: tuple[Route, ...] = ()
    """Tried in this order; the first that matches wins."""
    pool: Name | None = alternative()
    """Where everything goes that no route takes."""
    tls: ListenerTls | None = alternative()
    """Speak TLS: `{certificates: site.pem}`, `{acme: shop.example.com}`, or `{self_signed: true}` for
    development."""
    redirect_to_https: HttpsPort = None
    """Send every request to its address with https:// instead: `true`, or the port where that is. For GET and
    HEAD with 301, for other methods with 308, which keeps them."""
    hsts: HstsOrOff = None
    """Tell browsers to come back over TLS only: `1y`, or `{max_age, include_subdomains, preload}`."""
    timeouts: ClientTimeouts = ClientTimeouts()
    """How long a client may take."""
    limits: ClientLimits = ClientLimits()
    """How much a client may send."""
    forwarded: Forwarded = Forwarded()
    """What endpoints are told about the client."""
    http2: Http2OrOff = Http2()
    """HTTP/2 from clients: `on` (the default), `off`, or `{streams, window}`."""
    passthrough: tuple[Route, ...] = ()
    """With `tls`: what is passed on still encrypted, by the name (`sni`) or protocol (`alpn`) that the client
    asks for: `[{match: {sni: db.example.com}, pool: db}]`. Tried in this order; what matches none is
    decrypted."""
    rate_limit: RateLimits = ()
    """For TCP and UDP: how many flows are let through: `100/s`, `10/s by client`; one or a list. On top of
    those of its routes."""
    probe: Probe | None = alternative()
    """For TCP: silence after which the system asks whether a peer is still there (keep-alive), on both sides;
    60s by default, or `off`."""
    udp: Udp | None = alternative()
    """For UDP: `{responses, flows, quic}`."""
    proxy_protocol: AnnouncedOrOff = None
    """Other balancers in front say whose connection it is, with the PROXY protocol: `{from: 10.0.0.0/8}`."""


class AccessLog(Section):
    """Where each exchange is written down."""

    title: ClassVar[str] = "the access log"

    format: Literal["json", "combined"] = "json"
    """One JSON object a line, or Apache's and nginx's combined format."""
    path: Annotated[StrictStr, Field(min_length=1)] | None = None
    """A file, relative to the one in which it is written; standard output by default."""


def _access_log(value: Any) -> Any:
    if value is None:
        raise Mistake("a value is missing here", "write off, json, combined or {format: json, path: …}")
    if value in ("off", "none", False):
        return None
    if isinstance(value, str):
        return {"format": value}
    return {} if value is True else value


def _access_log_written(value: AccessLog | None, written: SerializerFunctionWrapHandler) -> Any:
    return "off" if value is None else written(value)


class Admin(Section):
    """Where operators and their programs ask."""

    title: ClassVar[str] = "`admin`"

    bind: AskedOn | None = None
    """`unix:/path` (the default is a socket of the user who runs it) or `127.0.0.1:9000`. Who can connect can
    reload and stop the balancer."""
    metrics: AskedOn | None = None
    """An address that serves metrics and health, and nothing that changes anything."""
    certificates: FilePath | None = alternative()
    """A directory for certificates that are handed over (`bascule certificates put`). Clients are shown them
    by the listeners that name it among their `certificates`, too; until then it may be empty."""


class Stop(Section):
    """How the balancer stops."""

    title: ClassVar[str] = "`stop`"

    grace: DurationOrZero = 30 * SECOND
    """How long exchanges in flight may go on; then they are cut."""


class Config(Section):
    """A whole configuration."""

    listeners: dict[Name, Listener] = Field(default_factory=dict)
    """Where traffic is accepted, by name."""
    pools: dict[Name, Pool] = Field(default_factory=dict)
    """Endpoints that can serve the same traffic, by name."""
    stores: dict[Name, OneStore] = Field(default_factory=dict)
    """Redis or Valkey that several balancers share, by name: `redis://127.0.0.1:6379/0`, `unix:///path`, or
    `{address, password, …}`."""
    acme: Acme | None = alternative()
    """Where certificates are ordered: `{email: ops@example.com, terms_agreed: true}` is enough."""
    zone: Name | None = None
    """Where this balancer is: endpoints of its zone are used first, as long as enough of them are healthy."""
    threads: Annotated[int, Field(strict=True, ge=1, le=1024)] | None = None
    """Data-plane threads; by default one per core."""
    access_log: Annotated[
        AccessLog | None,
        ShortForm(_access_log, ({"enum": ["off", "json", "combined", False]},)),
        WrapSerializer(_access_log_written),
    ] = AccessLog()
    """One line per exchange: `json` (the default), `combined`, `off`, or `{format, path}`."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """What the balancer says about itself, on standard error."""
    admin: Admin = Admin()
    """Where operators ask."""
    stop: Stop = Stop()
    """How the balancer stops."""

    _places: Places = PrivateAttr(default_factory=Places.nowhere)

    @property
    def places(self) -> Places:
        """Where each value was written."""
        return self._places

    def written_at(self, places: Places) -> "Config":
        """This configuration, once it is known where it was written."""
        self._places = places
        return self
