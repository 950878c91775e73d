"""The pools: endpoints and where they are found, how one is picked, and how connections are kept."""

from typing import Annotated, Any, ClassVar

from pydantic import Discriminator, Field, StrictStr, Tag

from bascule.config.addresses import Domain, EndpointAddress, NamedAddress, Nameserver
from bascule.config.checks import Check, check_in_full
from bascule.config.problems import Mistake
from bascule.config.section import Section, alternative
from bascule.config.values import Duration, Name, Percent, ShortForm, one_or_list, shown

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


class Endpoint(Section):
    """One address that serves."""

    title: ClassVar[str] = "an endpoint"

    address: Annotated[EndpointAddress, Field(examples=["10.0.0.1:8000"])]
    """`ip:port`, `name:port` or `unix:/path`; `:port` is on this machine."""
    weight: Weight = 1
    """Share relative to the others, 1 to 65535."""
    id: StrictStr | None = alternative(min_length=1, max_length=255)
    """Its name in metrics and logs, and what its health is kept by; by default its address."""


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


class Retries(Section):
    """Tries beyond the first: never after a byte of the response, never twice what may not be repeated."""

    title: ClassVar[str] = "retries"

    attempts: Annotated[int, Field(strict=True, ge=0, le=10)] = 1
    """On other endpoints, per request; 0 turns retries off."""
    budget: Percent = 20
    """Share of the requests in flight that may be retries at one time."""
    minimum: Annotated[int, Field(strict=True, ge=0, le=10_000)] = 3
    """Retries in flight that are always allowed, per thread."""


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
    algorithm: Annotated[
        Algorithm, ShortForm(lambda it: {"name": it} if isinstance(it, str) else it, (_TEXT,))
    ] = Algorithm(name="least_busy")
    """How an endpoint is picked: a name, or `{name, options}`."""
    check: Annotated[Check | None, ShortForm(check_in_full, (_TEXT,))] = None
    """How endpoints are probed: a path, `tcp`, or `{http: /healthz, every: 2s, …}`. Without: always up."""
    connect: Duration = 5 * SECOND
    """From the start of a connect to its success; then another endpoint is tried, or 504."""
    idle: IdleConnections = IdleConnections()
    """Open connections kept for reuse."""
    retries: Annotated[
        Retries,
        ShortForm(lambda it: {"attempts": it} if type(it) is int else it, ({"type": "integer"},)),
    ] = Retries()
    """Tries beyond the first: a number, or `{attempts, budget, minimum}`."""
    panic: Percent = 50
    """When fewer than this share of the endpoints is up, all are used: the checks are then likelier to be
    wrong than the endpoints. `0%` turns this off."""
