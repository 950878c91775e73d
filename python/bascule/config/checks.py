"""How the endpoints of a pool are checked."""

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PlainSerializer, StrictStr, model_validator
from pydantic.json_schema import SkipJsonSchema

from bascule.config.check_kinds import Command, DnsQuestion, Environment, TcpOrTrue, TlsOrTrue, UdpQuestion
from bascule.config.database_checks import DatabaseQuestion, OneMysql, OnePostgres, OneRedis
from bascule.config.grpc_values import Authority, ServiceName
from bascule.config.http_values import (
    HeaderName,
    HeaderText,
    HostPattern,
    Method,
    read_removable_header,
    read_target,
)
from bascule.config.own_check import is_check
from bascule.config.patterns import BodyPattern
from bascule.config.problems import Mistake
from bascule.config.section import Section, alternative
from bascule.config.values import Duration, Name, NotEmpty, ShortForm, one_or_list, shown

SECOND = 1000
_TEXT = {"type": "string"}


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
    """A regular expression, found anywhere in the first 64 KiB of the body; the search may take 100 ms."""


def _expect(value: Any) -> Any:
    return {"status": value} if isinstance(value, int | str | list) else value


def _function_name(function: Any) -> str | None:
    return None if function is None else str(getattr(function, "__name__", function))


KINDS = (
    *("http", "grpc", "tcp", "tls", "udp", "dns", "command"),
    *("postgres", "mysql", "redis", "python", "kind"),
)
"""The keys of a check that say what is asked, of which it has one."""

_BELONGS_TO = {
    **dict.fromkeys(("method", "host", "expect"), ("http",)),
    "headers": ("http", "grpc"),
    "authority": ("grpc",),
    "env": ("command",),
    "options": ("kind",),
}
"""Keys that mean something to some checks only."""

_A_CHECK = {
    "http": "an http check",
    "grpc": "a grpc check",
    "command": "a check with `command`",
    "kind": "a check with `kind`",
}


class Check(Section):
    """How endpoints are probed. One key says what is asked: `http`, `tcp`, …, `redis`, `python` or `kind`."""

    title: ClassVar[str] = "a check"

    http: Annotated[StrictStr | None, ShortForm(lambda it: it if it is None else read_target(it), ())] = (
        alternative()
    )
    """Send a request for this path and look at the answer."""
    grpc: ServiceName | None = alternative()
    """Ask the health service of gRPC about this service, over HTTP/2; `true`: about the whole server."""
    tcp: TcpOrTrue | None = alternative()
    """`true`: open a connection and close it; or `{send, expect}`."""
    tls: TlsOrTrue | None = alternative()
    """`true`: make a TLS handshake; or `{min_days, ca, …}`."""
    udp: UdpQuestion | None = alternative()
    """Send a datagram and wait for one: `{send, expect}`."""
    dns: DnsQuestion | None = alternative()
    """Ask for records: `{name, type, expect}`."""
    command: Command | None = alternative()
    """Run a program, which passes with exit status 0; there is no shell. In its words `{host}`, `{port}`,
    `{address}`, `{name}`, `{path}` and `{pool}` are those of the endpoint, as are `BASCULE_HOST` and so on in
    its environment. When the check ends, so does its whole process group."""
    postgres: OnePostgres | None = alternative()
    """Log in to PostgreSQL and ask for its role. Needs `pip install 'bascule[postgres]'`."""
    mysql: OneMysql | None = alternative()
    """Log in to MariaDB or MySQL and ask for its role. Needs `pip install 'bascule[mysql]'`."""
    redis: OneRedis | None = alternative()
    """Log in to Redis or Valkey and ask for its role. Needs `pip install 'bascule[redis]'`."""
    python: Annotated[SkipJsonSchema[Callable[..., Any] | None], PlainSerializer(_function_name)] = (
        alternative()
    )
    """An async function marked with `@bascule.check`; in a `bascule.py` only."""
    kind: Name | None = alternative()
    """A check that an installed package brings (entry point `bascule.checks`)."""
    options: dict[StrictStr, Any] = Field(default_factory=dict)
    """For `kind`: as its package describes them."""
    port: Annotated[int, Field(strict=True, ge=1, le=65535)] | None = alternative()
    """Another port than the endpoint's own."""
    every: Duration = 2 * SECOND
    """Between the starts of two checks of one endpoint."""
    timeout: Duration = 1 * SECOND
    """A check that takes longer has failed."""
    rise: Annotated[int, Field(strict=True, ge=1, le=1000)] = 2
    """Passes in a row that make an endpoint up that was down. By default 1 when the check is exclusive."""
    fall: Annotated[int, Field(strict=True, ge=1, le=1000)] = 3
    """Failures in a row that make an endpoint down that was up. By default 1 when the check is exclusive."""
    initially: Literal["up", "down"] = "up"
    """What is believed of an endpoint until its first check has ended, whose outcome decides alone. `down` by
    default when a role is asked for."""
    exclusive: bool = False
    """One endpoint of the pool may pass. While several do, none of them is up, so that two never are. On by
    default for `role: primary`."""
    method: Method = "GET"
    """For `http`."""
    host: HostPattern | None = alternative()
    """For `http`: the Host sent; by default the endpoint's name or address."""
    authority: Authority | None = alternative()
    """For `grpc`: the `:authority` sent; by default the endpoint's name or address."""
    headers: dict[HeaderName, HeaderText] = Field(default_factory=dict)
    """For `http` and `grpc` (its metadata): sent as they are."""
    expect: Annotated[Expect, ShortForm(_expect, ({"type": ["integer", "string", "array"]},))] = Expect()
    """For `http`: what a good answer looks like; 200 to 399 by default."""
    env: Environment = Field(default_factory=dict)
    """For `command`: more for its environment, which has `PATH`, `HOME` and the language of ours."""

    def _says(self, key: str) -> bool:
        return bool(getattr(self, key) != type(self).model_fields[key].get_default(call_default_factory=True))

    @property
    def asked_kind(self) -> str:
        """The key that says what is asked."""
        return next(key for key in KINDS if getattr(self, key) is not None)

    @property
    def database(self) -> DatabaseQuestion | None:
        """What a database is asked, whichever it is."""
        return self.postgres or self.mysql or self.redis

    @property
    def is_particular(self) -> bool:
        """Whether endpoints that work may fail, by their role: then they must never serve all the same."""
        return self.exclusive or (self.database is not None and self.database.is_particular)

    @model_validator(mode="after")
    def _is_one_kind(self) -> "Check":
        given = [key for key in KINDS if getattr(self, key) is not None]
        if len(given) != 1:
            found = " and ".join(given) if given else "none of them"
            raise Mistake(
                f"a check is one of {', '.join(KINDS[:-2])} and a function, not {found}",
                "write `check: /healthz`, `check: grpc` or `check: tcp`",
            )
        if self.grpc is not None:
            for name in self.headers:
                # What HTTP/2 has no words for, and the host, which is its authority.
                read_removable_header(name)
        for key, kinds in _BELONGS_TO.items():
            if given[0] not in kinds and self._says(key):
                instead = "check by http" if kinds[0] == "http" else f"check with `{kinds[0]}`"
                raise Mistake(
                    f"`{key}` belongs to {_A_CHECK[kinds[0]]}, this one is {given[0]}",
                    f"remove it, or {instead}",
                )
        return self

    @model_validator(mode="after")
    def _follows_roles(self) -> "Check":
        """What is not said depends on what is asked: a role that was lost is not forgiven twice."""
        asks_for_primary = self.database is not None and self.database.role == "primary"
        defaults: dict[str, object] = {}
        if self.exclusive or (asks_for_primary and "exclusive" not in self.model_fields_set):
            defaults = {"exclusive": True, "rise": 1, "fall": 1}
        if self.is_particular or defaults:
            defaults["initially"] = "down"
        # Frozen for everybody else: this is still part of how it is made.
        self.__dict__.update({key: it for key, it in defaults.items() if key not in self.model_fields_set})
        if self.exclusive and self.initially == "up":
            raise Mistake(
                "of an exclusive check only one endpoint is up, and at first all would be",
                "remove `initially: up`",
            )
        return self


def check_in_full(value: Any) -> Any:
    if value in ("grpc", "tcp", "tls", "redis"):
        return {value: True}
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
