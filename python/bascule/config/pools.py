"""The pools: endpoints and where they are found, how one is picked, and how connections are kept."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, StrictStr, Tag, model_validator

from bascule.config.addresses import Domain, EndpointAddress, NamedAddress, Nameserver
from bascule.config.checks import Check, check_in_full
from bascule.config.http2 import Protocol
from bascule.config.problems import Mistake
from bascule.config.protection import (
    Ejection,
    EjectionOrOff,
    Hedge,
    HedgeOrOff,
    OneRetries,
    Queue,
    QueueOrOff,
    Retries,
)
from bascule.config.protection_values import Limit
from bascule.config.proxy_protocol import AnnounceOrOff
from bascule.config.reports import AgentOrOff, LoadUrlOrOff
from bascule.config.section import Section, alternative
from bascule.config.sessions import SessionsOrOff
from bascule.config.tls import PoolTlsOrOff
from bascule.config.values import (
    Duration,
    DurationOrNone,
    DurationOrOff,
    Name,
    Percent,
    ShortForm,
    one_or_list,
    shown,
)

SECOND = 1000
Weight = Annotated[int, Field(strict=True, ge=1, le=65535)]
_TEXT = {"type": "string"}


class Algorithm(Section):
    """How an endpoint is picked. `bascule catalog` lists the algorithms and their options."""

    title: ClassVar[str] = "an algorithm"

    name: Annotated[StrictStr, Field(examples=["least_busy"])]
    """As the catalogue names it."""
    options: dict[StrictStr, Any] = Field(default_factory=dict)
    """As the catalogue describes them."""


def _algorithm(value: Any) -> Any:
    """`{hash: {by: client}}` in full; a name alone has no options."""
    if isinstance(value, str):
        return {"name": value}
    if isinstance(value, dict) and len(value) == 1:
        ((name, options),) = value.items()
        if name not in Algorithm.model_fields and (options is None or isinstance(options, dict)):
            return {"name": name, "options": options or {}}
    return value


class Endpoint(Section):
    """One address that serves."""

    title: ClassVar[str] = "an endpoint"

    address: Annotated[EndpointAddress, Field(examples=["10.0.0.1:8000"])]
    """`ip:port`, `name:port` or `unix:/path`; `:port` is on this machine."""
    weight: Weight = 1
    """Share relative to the others, 1 to 65535."""
    id: StrictStr | None = alternative(min_length=1, max_length=255)
    """Its name in metrics and logs, and what its health is kept by; by default its address."""
    zone: Name | None = alternative()
    """Where it is. While the balancer has a `zone`, endpoints there are used first."""
    tier: Annotated[int, Field(strict=True, ge=0, le=100)] | None = alternative()
    """0 (the default) is used first; higher ones as the lower ones fail."""
    backup: bool | None = alternative()
    """`true` is `tier: 1`."""
    limit: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] | None = alternative()
    """Requests that it may have at a time; by default as the pool says."""

    @model_validator(mode="after")
    def _is_in_one_tier(self) -> "Endpoint":
        if self.backup is not None and self.tier is not None:
            raise Mistake("`backup` is another word for `tier: 1`", "keep one of them")
        return self

    @property
    def in_tier(self) -> int:
        """Its tier, whichever word said so."""
        return self.tier or int(bool(self.backup))


class _Resolved(Section):
    weight: Weight = 1
    """Share of each endpoint found, relative to those of other sources."""
    minimum_ttl: Duration = 1 * SECOND
    """An answer is used for at least this long, whatever its TTL says."""
    maximum_ttl: Duration = 300 * SECOND
    """An answer is asked for again after this long, whatever its TTL says."""
    nameservers: Annotated[tuple[Nameserver, ...] | None, ShortForm(one_or_list, (_TEXT,))] = None
    """Whom to ask; by default the nameservers of the system."""


class DnsSource(_Resolved):
    """Every address (A and AAAA) that a name resolves to, asked again when the answer expires."""

    title: ClassVar[str] = "a DNS source"

    dns: Annotated[NamedAddress, Field(examples=["app.internal:8000"])]
    """`name:port`."""


class SrvSource(_Resolved):
    """Every target of an SRV record, of the lowest priority number, with the record's weights."""

    title: ClassVar[str] = "an SRV source"

    dns_srv: Annotated[Domain, Field(examples=["_http._tcp.app.internal"])]
    """The name of the record."""


class FileSource(Section):
    """The endpoints that a file lists, read again when it changes."""

    title: ClassVar[str] = "a file source"

    file: Annotated[StrictStr, Field(min_length=1, examples=["endpoints.yaml"])]
    """Its path, relative to the file in which it is written."""
    every: Duration = 2 * SECOND
    """How often the file is read. Its content is compared, so it may be replaced or written in any way."""


class OtherSource(Section):
    """A source that an installed package brings (entry point `bascule.sources`)."""

    title: ClassVar[str] = "a source"

    source: Name
    """Its name."""
    options: dict[StrictStr, Any] = Field(default_factory=dict)
    """As its package describes them."""


_SOURCES = {"dns_srv": "<dns_srv>", "dns": "<dns>", "file": "<file>", "source": "<source>"}
_SOURCE_TYPES: dict[type, str] = {
    DnsSource: "<dns>",
    SrvSource: "<dns_srv>",
    FileSource: "<file>",
    OtherSource: "<source>",
}


def _source_tag(value: Any) -> str:
    """Which kind of source is meant: by its own key, and an endpoint otherwise."""
    if isinstance(value, dict):
        return next((tag for key, tag in _SOURCES.items() if key in value), "<endpoint>")
    return _SOURCE_TYPES.get(type(value), "<endpoint>")


def _source(value: Any) -> Any:
    if isinstance(value, str):
        return {"address": value}
    if isinstance(value, dict):
        given = [key for key in ("address", *_SOURCES) if key in value]
        if len(given) > 1:
            raise Mistake(
                f"an entry of `endpoints` is one of {', '.join(given)}, not {len(given)} of them",
                "write a list with an entry for each",
            )
        if not given and not value:
            raise Mistake("an entry of `endpoints` is empty", "write an address such as 10.0.0.1:8000")
        return value
    if isinstance(value, Section):
        return value
    hint = f'write it as text with its host: "127.0.0.1:{value}"' if isinstance(value, int) else None
    raise Mistake(f"expected an endpoint such as 10.0.0.1:8000, not {shown(value)}", hint)


Source = Annotated[
    Annotated[Endpoint, Tag("<endpoint>")]
    | Annotated[DnsSource, Tag("<dns>")]
    | Annotated[SrvSource, Tag("<dns_srv>")]
    | Annotated[FileSource, Tag("<file>")]
    | Annotated[OtherSource, Tag("<source>")],
    Discriminator(_source_tag),
    ShortForm(_source, (_TEXT,)),
]
"""An endpoint, or where endpoints are found."""


class IdleConnections(Section):
    """Open connections to endpoints that are kept for reuse."""

    title: ClassVar[str] = "idle connections"

    per_thread: Annotated[int, Field(strict=True, ge=0, le=65535)] = 256
    """Per endpoint and thread; 0 closes each connection after its exchange."""
    timeout: Duration = 60 * SECOND
    """Idle time after which they are closed. A connection that the endpoint closed first is noticed, and the
    request is sent on a fresh one where that is safe."""


class Subset(Section):
    """A part of a very large pool, so that not every balancer has connections to every endpoint."""

    title: ClassVar[str] = "a subset"

    size: Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
    """Endpoints that this balancer uses; all when the pool has no more."""
    balancer: Annotated[int, Field(strict=True, ge=0, le=1_000_000, examples=[0])]
    """Which balancer this is, counted from 0: each number has another part."""


class Pool(Section):
    """Endpoints that can serve the same traffic."""

    title: ClassVar[str] = "a pool"

    endpoints: Annotated[
        tuple[Source, ...],
        Field(examples=["[10.0.0.1:8000]"]),
        ShortForm(one_or_list, (_TEXT, {"type": "object"})),
    ]
    """Addresses, and where to find more: `{dns: name:port}`, `{dns_srv: name}`, `{file: path}`; one, or a
    list."""
    algorithm: Annotated[Algorithm, ShortForm(_algorithm, (_TEXT, {"type": "object"}))] = Algorithm(
        name="fastest"
    )
    """How an endpoint is picked: a name, `{NAME: OPTIONS}` such as `{hash: {by: client}}`, or `{name,
    options}`. For TCP and UDP `least_busy` is the default."""
    check: Annotated[Check | None, ShortForm(check_in_full, (_TEXT,))] = None
    """How endpoints are probed: a path, `tcp`, `tls`, `redis`, or `{http: /healthz, every: 2s, …}`. Without:
    always up."""
    connect: Duration = 5 * SECOND
    """From the start of a connect to its success; then another endpoint is tried, or 504."""
    idle: IdleConnections = IdleConnections()
    """Open connections kept for reuse."""
    retries: OneRetries = Retries()
    """Tries beyond the first: a number, `off`, or `{attempts, budget, minimum, on, try}`."""
    limit: Limit = "learned"
    """Requests that one endpoint may have at a time: a number, `off`, or `learned`, which is enforced only
    while the pool is overloaded, and so costs nothing otherwise."""
    queue: QueueOrOff = Queue()
    """Where requests wait while every endpoint is at its limit; `off`: they are shed at once."""
    ejection: EjectionOrOff = Ejection()
    """When traffic shows that an endpoint fails; or `off`."""
    hedge: HedgeOrOff = Hedge()
    """A second copy for requests that take unusually long; or `off`."""
    slow_start: DurationOrOff = 10 * SECOND
    """How long an endpoint that is new or back takes to its full share; or `off`. Long enough to open
    connections and fill caches."""
    sessions: SessionsOrOff = None
    """What keeps a client on one endpoint: `cookie`, `client`, or `{cookie, learned, header, query, client or
    by: …}`. Off by default: without, every request goes where it is served best."""
    subset: Subset | None = alternative()
    """Of very many endpoints this balancer uses a part."""
    load_reports: bool = False
    """Endpoints report their load in the header `endpoint-load-metrics` (ORCA), which changes their weights.
    Off by default: a header that comes from elsewhere must not decide where traffic goes. On with `load`."""
    agent: AgentOrOff = alternative()
    """Ask an agent beside each endpoint (HAProxy's agent-check): its port, `ip:port` of one for all, or
    `{port, host, every, timeout, send}`."""
    load: LoadUrlOrOff = alternative()
    """Ask each endpoint for its load, which changes its weight: a path, or `{path, every, timeout}`."""
    protocol: Protocol = "http1"
    """What the endpoints speak: `http1`, or HTTP/2, which puts many requests at a time on one connection:
    `h2` within TLS, `h2c` without."""
    proxy_protocol: AnnounceOrOff = None
    """Tell endpoints whose connection it is, with the PROXY protocol: `v1`, `v2`, or `{version: v2, tlvs:
    [alpn, sni, unique_id]}`. Of HTTP each connection is then for one request: clients never share one."""
    panic: Percent = 50
    """When fewer than this share of the endpoints is up, all are used: the checks are then likelier to be
    wrong than the endpoints. `0%` turns this off, and is the default where the check asks for a role: of a
    primary and its replicas, most are down for good reason."""
    tls: PoolTlsOrOff = None
    """Speak TLS to the endpoints: `on`, or `{server_name, ca, …}`. They must prove who they are."""
    hold: DurationOrOff = alternative()
    """For TCP: how long a new connection waits while there is no endpoint that may be used, as between two
    primaries of a database. By default it is closed at once."""
    on_down: Literal["keep", "close"] | None = alternative()
    """For TCP and UDP: what becomes of the flows of an endpoint that is down or gone: they go on (`keep`, the
    default), or are closed at once (`close`)."""
    drain: DurationOrNone = alternative()
    """For TCP and UDP: how long the flows of an endpoint that drains, or is gone from the configuration, may
    go on. By default to their end."""
    transparent: bool | None = alternative()
    """For TCP and UDP: connect to endpoints from the client's address. Needs CAP_NET_ADMIN, and routes that
    bring the answers back here (the guide "Transparent" has them). Checks come from our own address."""

    @model_validator(mode="after")
    def _follows_roles(self) -> "Pool":
        if self.check is not None and self.check.is_particular and "panic" not in self.model_fields_set:
            # Frozen for everybody else: this is still part of how it is made.
            self.__dict__["panic"] = 0
        return self
