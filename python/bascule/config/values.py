"""The single values of a configuration: how each is written, and what is wrong when it is not.

Every reader takes what stands in the file and gives the one form that the rest of the program
uses, or raises `Mistake` (or `UnitRefused`) with words for the operator.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    StrictInt,
    StrictStr,
    WithJsonSchema,
)
from pydantic_core import core_schema

from bascule import units
from bascule.config.problems import Mistake

LARGEST_COUNT = (1 << 32) - 1

NONE_WORDS = ("none", "off", "unlimited")

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", re.ASCII)


def shown(value: object) -> str:
    """A value as a message quotes it."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, int | float):
        return f"the number {value}"
    text = str(value)
    return f"'{text}'" if len(text) <= 40 else f"'{text[:37]}…'"


def text(value: object, wanted: str) -> str:
    """`value` if it is text; a number where text belongs is what quotes are for."""
    if isinstance(value, str):
        return value
    hint = f'put it in quotes: "{value}"' if isinstance(value, int | float) else None
    raise Mistake(f"expected {wanted}, not {shown(value)}", hint)


def read_duration(value: object) -> int:
    """Milliseconds."""
    if isinstance(value, timedelta):
        return value // timedelta(milliseconds=1)
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise Mistake(
            f"expected a duration such as 250ms or 5s, not {shown(value)}",
            f"add the unit: {value}s or {value}ms",
        )
    return units.parse_duration(text(value, "a duration such as 250ms or 5s"))


def read_positive_duration(value: object) -> int:
    """Milliseconds, at least one: a time limit of nothing would let nothing happen."""
    if (milliseconds := read_duration(value)) < 1:
        raise Mistake("expected a duration of at least 1ms, not 0")
    return milliseconds


def read_size(value: object) -> int:
    """Bytes; a bare number is bytes."""
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise Mistake(f"expected a size of at least 0, not {value}")
        return units.parse_size(str(value))
    return units.parse_size(text(value, "a size such as 64KiB or 10MiB"))


def read_percent(value: object) -> int:
    """Whole percent, 0 to 100."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        meant = round(value * 100) if 0 < value < 1 else value
        raise Mistake(f"expected a share such as 20%, not {shown(value)}", f'did you mean "{meant}%"?')
    percent = units.parse_percent(text(value, "a share such as 20%"))
    if percent > 100:
        raise Mistake(f"expected a share from 0% to 100%, not {percent}%")
    return percent


def read_name(value: object) -> str:
    """A name of our own: of a listener, a pool, a route or an endpoint."""
    name = text(value, "a name")
    if not _NAME.fullmatch(name):
        raise Mistake(
            f"{shown(name)} cannot be a name",
            "letters, digits, '_', '-' and '.', at most 64, beginning with a letter, digit or '_'",
        )
    return name


def read_count_or_none(value: object) -> int | None:
    """At least one, or no limit."""
    if none_word(value) is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= LARGEST_COUNT:
        raise Mistake(f"expected a whole number of at least 1, or none, not {shown(value)}")
    return value


def none_word(value: object) -> object:
    """`none`, `off` and `unlimited` where there may be no value."""
    return None if value is False or value in NONE_WORDS else value


def is_off(value: object, example: str) -> bool:
    """Whether `off` is written. An empty value turns nothing off: it is a slip, and told so."""
    if value is None:
        raise Mistake("a value is missing here", f"write off, or {example}")
    return none_word(value) is None


def off_or(example: str) -> Callable[[Any], Any]:
    """Reads `off` as nothing and leaves anything else."""
    return lambda value: None if is_off(value, example) else value


def written_or_off(value: object, written: SerializerFunctionWrapHandler) -> Any:
    """What a part that may be off is written as."""
    return "off" if value is None else written(value)


@dataclass(frozen=True, slots=True, eq=False)
class ShortForm:
    """Annotates a type that may also be written shorter; `expand` gives the full form."""

    expand: Callable[[Any], Any]
    also: tuple[dict[str, Any], ...]
    """JSON Schemas of the short forms, for editors."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(self.expand, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [*self.also, handler(schema)]}


def one_or_list(value: object) -> object:
    """One item written without its list; a list or nothing stays."""
    return value if isinstance(value, list | tuple) or value is None else [value]


def _not_empty(items: tuple[Any, ...]) -> tuple[Any, ...]:
    if not items:
        raise Mistake("this list is empty", "write at least one")
    return items


NotEmpty = AfterValidator(_not_empty)
"""Annotates a list. Says nothing of one whose items are wrong, unlike a minimum length."""


def _or_none(form: Callable[[int], str]) -> Callable[[int | None], str]:
    return lambda value: "none" if value is None else form(value)


_DURATION = {"type": "string", "examples": ["250ms", "5s", "1m30s"]}
_SIZE = {"anyOf": [{"type": "string", "examples": ["64KiB", "10MiB"]}, {"type": "integer", "minimum": 0}]}
_NO = {"enum": [*NONE_WORDS, None, False]}
OFF = {"enum": ["off", False]}
"""What editors offer where something may be off; its other words are read all the same."""

Duration = Annotated[
    int,
    BeforeValidator(read_positive_duration),
    PlainSerializer(units.format_duration),
    WithJsonSchema(_DURATION),
]
DurationOrZero = Annotated[
    int, BeforeValidator(read_duration), PlainSerializer(units.format_duration), WithJsonSchema(_DURATION)
]
DurationOrNone = Annotated[
    int | None,
    BeforeValidator(lambda value: None if none_word(value) is None else read_positive_duration(value)),
    PlainSerializer(_or_none(units.format_duration)),
    WithJsonSchema({"anyOf": [_DURATION, _NO]}),
]
DurationOrOff = Annotated[
    int | None,
    BeforeValidator(lambda value: None if is_off(value, "10s") else read_positive_duration(value)),
    PlainSerializer(lambda value: "off" if value is None else units.format_duration(value)),
    WithJsonSchema({"anyOf": [_DURATION, OFF]}),
]
Size = Annotated[int, BeforeValidator(read_size), PlainSerializer(units.format_size), WithJsonSchema(_SIZE)]
SizeOrNone = Annotated[
    int | None,
    BeforeValidator(lambda value: None if none_word(value) is None else read_size(value)),
    PlainSerializer(_or_none(units.format_size)),
    WithJsonSchema({"anyOf": [_SIZE, _NO]}),
]
Percent = Annotated[
    int,
    BeforeValidator(read_percent),
    PlainSerializer(units.format_percent),
    WithJsonSchema({"type": "string", "pattern": "^[0-9]+ ?%$", "examples": ["20%"]}),
]
CountOrNone = Annotated[
    StrictInt | None,
    BeforeValidator(read_count_or_none),
    PlainSerializer(lambda count: "none" if count is None else count),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, _NO]}),
]
Name = Annotated[StrictStr, BeforeValidator(read_name)]
