"""How the endpoints of a pool are checked."""

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PlainSerializer, StrictStr, model_validator
from pydantic.json_schema import SkipJsonSchema

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


class Check(Section):
    """How endpoints are probed. Has one of `http`, `grpc`, `tcp`, `python` and `kind`."""

    title: ClassVar[str] = "a check"

    http: Annotated[StrictStr | None, ShortForm(lambda it: it if it is None else read_target(it), ())] = (
        alternative()
    )
    """Send a request for this path and look at the answer."""
    grpc: ServiceName | None = alternative()
    """Ask the health service of gRPC about this service, over HTTP/2; `true`: about the whole server."""
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
    """Passes in a row that make an endpoint up that was down."""
    fall: Annotated[int, Field(strict=True, ge=1, le=1000)] = 3
    """Failures in a row that make an endpoint down that was up."""
    initially: Literal["up", "down"] = "up"
    """What is believed of an endpoint until its first check has ended, whose outcome decides alone."""
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

    def _says(self, key: str) -> bool:
        return bool(getattr(self, key) != type(self).model_fields[key].get_default(call_default_factory=True))

    @model_validator(mode="after")
    def _is_one_kind(self) -> "Check":
        given = [key for key in ("http", "grpc", "tcp", "python", "kind") if getattr(self, key) is not None]
        if len(given) != 1:
            found = " and ".join(given) if given else "none of them"
            raise Mistake(
                f"a check is one of http, grpc, tcp and a function, not {found}",
                "write `check: /healthz`, `check: grpc` or `check: tcp`",
            )
        if self.grpc is None and self.authority is not None:
            raise Mistake(
                "`authority` belongs to a grpc check", "remove it, or write `host` for an http check"
            )
        if self.grpc is not None:
            for name in self.headers:
                # What HTTP/2 has no words for, and the host, which is its authority.
                read_removable_header(name)
        if self.http is None:
            headers = ("headers",) if self.grpc is None else ()
            only_http = [key for key in ("method", "host", *headers, "expect") if self._says(key)]
            if only_http:
                raise Mistake(
                    f"`{only_http[0]}` belongs to an http check, this one is {given[0]}",
                    "remove it, or check by http",
                )
        if self.options and self.kind is None:
            raise Mistake("`options` belongs to a check with `kind`", "remove it")
        return self


def check_in_full(value: Any) -> Any:
    if value in ("grpc", "tcp"):
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
