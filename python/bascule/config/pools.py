"""The pools: endpoints and where they are found, how one is picked, and how they are checked."""

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, PlainSerializer, StrictStr, Tag, model_validator
from pydantic.json_schema import SkipJsonSchema

from bascule.config.addresses import Domain, EndpointAddress, NamedAddress, Nameserver
from bascule.config.own_check import is_check
from bascule.config.patterns import BodyPattern
from bascule.config.problems import Mistake
from bascule.config.section import Section, alternative
from bascule.config.values import (
    Duration,
    HeaderName,
    HeaderText,
    HostPattern,
    Method,
    Name,
    NotEmpty,
    Percent,
    ShortForm,
    one_or_list,
    read_path,
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


class Endpoint(Section):
    """One address that serves."""

    title: ClassVar[str] = "an endpoint"

    address: Annotated[EndpointAddress, Field(examples=["10.0.0.1:8000"])]
    """`ip:port`, `name:port` or `unix:/path`; `:port` is on this machine."""
    weight: Weight = 1
    """Share relative to the others, 1 to 65535."""
    id: StrictStr | None = alternative()
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
    """How often the file is looked at where the system cannot report changes."""


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


def _status_range(value: Any) -> Any:
    """`200` or `"200-399"` as a pair."""
    if isinstance(value, list | tuple) and len(value) == 2:
        low, high = value
    elif isinstance(value, str) and value.count("-") == 1:
        low, high = (
            int(part) if part.strip().isascii() and part.strip().isdigit() else None
            for part in value.split("-")
        )
    else:
        low = high = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
    if not all(type(end) is int and 100 <= end <= 599 for end in (low, high)) or low > high:
        raise Mistake(
            f'expected a status or a range such as 200 or "200-399", not {shown(value)}',
            "statuses are 100 to 599, the lower one first",
        )
    return (low, high)


StatusRange = Annotated[
    tuple[int, int],
    PlainSerializer(lambda ends: ends[0] if ends[0] == ends[1] else f"{ends[0]}-{ends[1]}"),
    ShortForm(
        _status_range,
        (
            {"type": "integer", "minimum": 100, "maximum": 599},
            {"type": "string", "pattern": "^[1-5][0-9]{2}( ?- ?[1-5][0-9]{2})?$"},
        ),
    ),
]


class Expect(Section):
    """What a good answer to an HTTP check looks like."""

    title: ClassVar[str] = "an expectation"

    status: Annotated[
        tuple[StatusRange, ...],
        NotEmpty,
        ShortForm(one_or_list, ({"type": ["integer", "string"]},)),
    ] = ((200, 399),)
    """Statuses and ranges, any of them."""
    body: BodyPattern | None = alternative()
    """Found anywhere in the first 64 KiB of the body."""


def _expect(value: Any) -> Any:
    return {"status": value} if isinstance(value, int | str | list) else value


def _read_target(value: object) -> str:
    """A path with, it may be, a query: what an HTTP check asks for."""
    if isinstance(value, str) and "?" in value:
        path, query = value.split("?", 1)
        if any(not 33 <= ord(char) <= 126 for char in query):
            raise Mistake(f"the query of {shown(value)} holds characters that must be percent-encoded")
        return f"{read_path(path)}?{query}"
    return read_path(value)


def _function_name(function: Any) -> str | None:
    return None if function is None else str(getattr(function, "__name__", function))


class Check(Section):
    """How endpoints are probed. Has one of `http`, `tcp`, `python` and `kind`."""

    title: ClassVar[str] = "a check"

    http: Annotated[StrictStr | None, ShortForm(lambda it: it if it is None else _read_target(it), ())] = (
        alternative()
    )
    """Send a request for this path and look at the answer."""
    tcp: Literal[True] | None = alternative()
    """`true`: open a connection and close it."""
    python: Annotated[SkipJsonSchema[Callable[..., Any] | None], PlainSerializer(_function_name)] = (
        alternative()
    )
    """An async function marked with `@bascule.check`; in a `bascule.py` only."""
    kind: Name | None = alternative()
    """A check that an installed package brings (entry point `bascule.checks`)."""
    options: dict[StrictStr, Any] = Field(default_factory=dict)
    """For `kind`: as its package describes them."""
    every: Duration = 2 * SECOND
    """Between the starts of two checks of one endpoint."""
    timeout: Duration = 1 * SECOND
    """A check that takes longer has failed."""
    rise: Annotated[int, Field(strict=True, ge=1, le=1000)] = 2
    """Passes in a row that make an endpoint up."""
    fall: Annotated[int, Field(strict=True, ge=1, le=1000)] = 3
    """Failures in a row that make an endpoint down."""
    initially: Literal["up", "down"] = "up"
    """What is believed of an endpoint before it was checked for the first time."""
    method: Method = "GET"
    """For `http`."""
    host: HostPattern | None = alternative()
    """For `http`: the Host sent; by default the endpoint's name or address."""
    headers: dict[HeaderName, HeaderText] = Field(default_factory=dict)
    """For `http`: sent as they are."""
    expect: Annotated[Expect, ShortForm(_expect, ({"type": ["integer", "string", "array"]},))] = Expect()
    """For `http`: what a good answer looks like; 200 to 399 by default."""

    def _says(self, key: str) -> bool:
        return bool(getattr(self, key) != type(self).model_fields[key].get_default(call_default_factory=True))

    @model_validator(mode="after")
    def _is_one_kind(self) -> "Check":
        given = [key for key in ("http", "tcp", "python", "kind") if getattr(self, key) is not None]
        if len(given) != 1:
            found = " and ".join(given) if given else "none of them"
            raise Mistake(
                f"a check is one of http, tcp and a function, not {found}",
                "write `check: /healthz` or `check: tcp`",
            )
        if self.http is None:
            only_http = [key for key in ("method", "host", "headers", "expect") if self._says(key)]
            if only_http:
                raise Mistake(
                    f"`{only_http[0]}` belongs to an http check, this one is {given[0]}",
                    "remove it, or check by http",
                )
        if self.options and self.kind is None:
            raise Mistake("`options` belongs to a check with `kind`", "remove it")
        return self


def _check(value: Any) -> Any:
    if value == "tcp":
        return {"tcp": True}
    if isinstance(value, str):
        return {"http": value}
    if callable(value) and not isinstance(value, type):
        if not is_check(value):
            name = getattr(value, "__name__", repr(value))
            raise Mistake(
                f"{name}() is not marked as a check", f"write @check above `async def {name}(endpoint)`"
            )
        return {"python": value}
    return value


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
    check: Annotated[Check | None, ShortForm(_check, (_TEXT,))] = None
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
