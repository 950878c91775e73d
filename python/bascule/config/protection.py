"""What protects endpoints from too much work, and requests from failing endpoints."""

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    WrapSerializer,
)

from bascule import units
from bascule.config.keys import KeyBy, key_by
from bascule.config.problems import Mistake
from bascule.config.section import Section
from bascule.config.values import (
    NONE_WORDS,
    Duration,
    DurationOrNone,
    Name,
    Percent,
    ShortForm,
    none_word,
    one_or_list,
    read_percent,
    read_positive_duration,
    shown,
    text,
)

SECOND = 1000
MINUTE = 60 * SECOND
_OFF = {"enum": [*NONE_WORDS, False]}
_PERMILLE = re.compile(r"([0-9]{1,3})(?:\.([0-9]))?[ ]?%", re.ASCII)
_TIMES = re.compile(r"([0-9]{1,4})(?:\.([0-9]{1,2}))?[ ]?x", re.ASCII)
_RATE = re.compile(r"([0-9]{1,12})[ ]?/[ ]?(s|m|h|d|[0-9][0-9a-z.]*)(?:[ ]+by[ ]+([a-z]+))?", re.ASCII)


def read_permille(value: object) -> int:
    """Thousandths of a share such as `2%` or `0.5%`."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise Mistake(f"expected a share such as 2% or 0.5%, not {shown(value)}", f'did you mean "{value}%"?')
    found = _PERMILLE.fullmatch(text(value, "a share such as 2% or 0.5%").strip())
    permille = None if found is None else int(found[1]) * 10 + int(found[2] or 0)
    if permille is None or permille > 1000:
        raise Mistake(f"expected a share from 0% to 100% such as 2% or 0.5%, not {shown(value)}")
    return permille


def format_permille(permille: int) -> str:
    """20 → "2%", 5 → "0.5%"."""
    whole, tenth = divmod(permille, 10)
    return f"{whole}.{tenth}%" if tenth else f"{whole}%"


def read_times(value: object) -> int | None:
    """Percent of a factor such as `5x`; `None` for off."""
    if none_word(value) is None:
        return None
    found = _TIMES.fullmatch(text(value, "a factor such as 5x, or off").strip())
    percent = 0 if found is None else int(found[1]) * 100 + int((found[2] or "").ljust(2, "0"))
    if percent <= 100:
        raise Mistake(f"expected a factor above 1 such as 5x, or off, not {shown(value)}")
    return percent


def format_times(percent: int | None) -> str:
    """500 → "5x"."""
    return "off" if percent is None else f"{percent / 100:g}x"


def read_limit(value: object) -> int | str:
    """`learned`, `off` or a number of requests."""
    if value == "learned" or none_word(value) is None:
        return "learned" if value == "learned" else "off"
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 1_000_000:
        raise Mistake(f"expected learned, off or a number of requests from 1, not {shown(value)}")
    return value


def read_try(value: object) -> int | str:
    """`learned`, `off` or a duration in milliseconds."""
    if value == "learned" or none_word(value) is None:
        return "learned" if value == "learned" else "off"
    return read_positive_duration(value)


def read_statuses(value: object) -> list[int]:
    """Statuses from 400 to 599, each a number or a class such as `5xx`."""
    if none_word(value) is None:
        return []
    found: list[int] = []
    for each in value if isinstance(value, list | tuple) else [value]:
        if isinstance(each, str) and re.fullmatch(r"[45]xx", each):
            found += range(int(each[0]) * 100, int(each[0]) * 100 + 100)
        elif type(each) is int and 400 <= each <= 599:
            found.append(each)
        else:
            raise Mistake(f"expected a status from 400 to 599, or 5xx, not {shown(each)}")
    return sorted(set(found))


def read_priority(value: object) -> int:
    """0 to 9, or a word."""
    words = {"high": 8, "usual": 5, "low": 2}
    if isinstance(value, str) and value in words:
        return words[value]
    if type(value) is not int or not 0 <= value <= 9:
        raise Mistake(f"expected high, usual, low or a number from 0 to 9, not {shown(value)}")
    return value


def off_or(value: object) -> object:
    """`off` as nothing; anything else stays."""
    return None if none_word(value) is None else value


def written_or_off(value: object, written: SerializerFunctionWrapHandler) -> Any:
    """What a part that may be off is written as."""
    return "off" if value is None else written(value)


Permille = Annotated[
    int,
    BeforeValidator(read_permille),
    PlainSerializer(format_permille),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]+(\.[0-9])? ?%$", "examples": ["2%", "0.5%"]}),
]
PercentOrOff = Annotated[
    int | None,
    BeforeValidator(lambda value: None if none_word(value) is None else read_percent(value)),
    PlainSerializer(lambda value: "off" if value is None else units.format_percent(value)),
    WithJsonSchema({"anyOf": [{"type": "string", "examples": ["50%"]}, _OFF]}),
]
Times = Annotated[
    int | None,
    BeforeValidator(read_times),
    PlainSerializer(format_times),
    WithJsonSchema({"anyOf": [{"type": "string", "examples": ["5x"]}, _OFF]}),
]
Limit = Annotated[
    int | Literal["learned", "off"],
    BeforeValidator(read_limit),
    WithJsonSchema({"anyOf": [{"enum": ["learned", *NONE_WORDS, False]}, {"type": "integer", "minimum": 1}]}),
]
TryLimit = Annotated[
    int | Literal["learned", "off"],
    BeforeValidator(read_try),
    PlainSerializer(lambda value: value if isinstance(value, str) else units.format_duration(value)),
    WithJsonSchema(
        {"anyOf": [{"enum": ["learned", *NONE_WORDS, False]}, {"type": "string", "examples": ["1s"]}]}
    ),
]
Statuses = Annotated[
    tuple[int, ...],
    BeforeValidator(read_statuses),
    WithJsonSchema({"anyOf": [{"type": "array"}, {"type": ["integer", "string"]}, _OFF]}),
]
Priority = Annotated[
    int,
    BeforeValidator(read_priority),
    WithJsonSchema(
        {"anyOf": [{"enum": ["high", "usual", "low"]}, {"type": "integer", "minimum": 0, "maximum": 9}]}
    ),
]


class Queue(Section):
    """Where requests wait while every endpoint has as much as it may have."""

    title: ClassVar[str] = "a queue"

    length: Annotated[int, Field(strict=True, ge=0, le=1_000_000)] = 1024
    """Requests that may wait, over all threads; beyond that they are shed (503)."""
    wait: Duration = 5 * SECOND
    """Longest wait; then the request is shed."""
    service_level: DurationOrNone = None
    """Within this time clients want their answers: who has waited for half of it is shed, because the answer
    would come too late. By default about ten times what an answer takes, from 40 ms to 2 s."""


class Ejection(Section):
    """When traffic shows that an endpoint fails. A check that passes does not bring it back."""

    title: ClassVar[str] = "an ejection"

    failures: Annotated[int, Field(strict=True, ge=1, le=1000)] = 5
    """Failures in a row that eject: statuses from 500 (but 501 and 505), broken connections; silence counts
    twice."""
    share: PercentOrOff = 50
    """Share of failures among the requests of the last ten seconds, of at least twenty, that ejects."""
    slowness: Times = None
    """Times slower than the median of the pool that ejects, for example `5x`. Off by default: `fastest` gives
    slow endpoints less by itself."""
    time: Duration = 10 * SECOND
    """How long it gets nothing the first time; each further time in a row takes twice as long."""
    longest: Duration = 5 * MINUTE
    """Longest time."""
    most: Percent = 50
    """Share of the pool that may be ejected at one time. The last endpoint never is."""


class Hedge(Section):
    """A second copy, on another endpoint, of requests that take unusually long."""

    title: ClassVar[str] = "a hedge"

    budget: Permille = 20
    """Share of the requests that may be sent twice."""
    after: DurationOrNone = None
    """When the copy is sent. By default when 97 of 100 requests would have been answered; never while the
    endpoint answers others."""


class RateLimit(Section):
    """How many requests are let through in a time; the others get 429 with `Retry-After` and `RateLimit`."""

    title: ClassVar[str] = "a rate limit"

    requests: Annotated[int, Field(strict=True, ge=1, le=1_000_000_000)]
    """Requests …"""
    per: Duration = 1 * SECOND
    """… in this time, on average."""
    burst: Annotated[int, Field(strict=True, ge=1, le=1_000_000_000)] | None = None
    """Requests that may come at once; by default as many as `requests`."""
    by: Annotated[KeyBy | None, ShortForm(key_by, ({"type": "string"},))] = None
    """Whose requests are counted together: `client`, `host`, `path`, `uri`, `{header: X-Api-Key}`, `{cookie:
    name}` or `{query: name}`. By default all of the route."""
    store: Name | None = None
    """The store in which several balancers count together; by default each counts for itself."""


def _rate_limit(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    found = _RATE.fullmatch(value.strip())
    if found is None:
        raise Mistake(f"expected a rate such as 100/s or 100/s by client, not {shown(value)}")
    unit = found[2]
    limit: dict[str, Any] = {
        "requests": int(found[1]),
        "per": f"1{unit}" if unit in ("s", "m", "h", "d") else unit,
    }
    return limit if found[3] is None else {**limit, "by": found[3]}


OneRateLimit = Annotated[
    RateLimit, ShortForm(_rate_limit, ({"type": "string", "examples": ["100/s by client"]},))
]
RateLimits = Annotated[tuple[OneRateLimit, ...], ShortForm(one_or_list, ({"type": ["string", "object"]},))]
QueueOrOff = Annotated[Queue | None, ShortForm(off_or, (_OFF,)), WrapSerializer(written_or_off)]
EjectionOrOff = Annotated[Ejection | None, ShortForm(off_or, (_OFF,)), WrapSerializer(written_or_off)]
HedgeOrOff = Annotated[Hedge | None, ShortForm(off_or, (_OFF,)), WrapSerializer(written_or_off)]
