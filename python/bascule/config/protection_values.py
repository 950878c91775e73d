"""The single values of protection: limits, shares, factors, statuses and priorities, as they are written.

Like those of `values`: a reader gives the one form that is used from there on, or raises `Mistake`.
"""

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from bascule import units
from bascule.config.problems import Mistake
from bascule.config.values import OFF, is_off, read_percent, read_positive_duration, shown, text

PRIORITIES = {"high": 8, "usual": 5, "low": 2}
"""Words for priorities, with room between and beyond them."""

_STATUS = {"anyOf": [{"type": "integer", "minimum": 400, "maximum": 599}, {"enum": ["4xx", "5xx"]}]}
_PERMILLE = re.compile(r"([0-9]{1,3})(?:\.([0-9]))?[ ]?%", re.ASCII)
_TIMES = re.compile(r"([0-9]{1,4})(?:\.([0-9]{1,2}))?[ ]?x", re.ASCII)


def read_permille(value: object) -> int:
    """Thousandths of a share such as `2%` or `0.5%`."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        meant = f"{value * 100:g}" if 0 < value < 1 else f"{value:g}"
        raise Mistake(f"expected a share such as 2% or 0.5%, not {shown(value)}", f'did you mean "{meant}%"?')
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
    if is_off(value, "5x"):
        return None
    found = _TIMES.fullmatch(value.strip()) if isinstance(value, str) else None
    percent = 0 if found is None else int(found[1]) * 100 + int((found[2] or "").ljust(2, "0"))
    if percent <= 100:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        hint = f'did you mean "{value}x"?' if is_number else "write 5x for five times the median"
        raise Mistake(f"expected a factor above 1 such as 5x, or off, not {shown(value)}", hint)
    return percent


def format_times(percent: int | None) -> str:
    """500 → "5x"."""
    return "off" if percent is None else f"{percent / 100:g}x"


def read_limit(value: object) -> int | str:
    """`learned`, `off` or a number of requests."""
    if value == "learned" or is_off(value, "learned"):
        return "learned" if value == "learned" else "off"
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 1_000_000:
        raise Mistake(
            f"expected learned, off or a number of requests from 1, not {shown(value)}", _unquoted(value)
        )
    return value


def _unquoted(value: object) -> str | None:
    return f"remove the quotes: {value}" if isinstance(value, str) and value.isdigit() else None


def read_try(value: object) -> int | str:
    """`learned`, `off` or a duration in milliseconds."""
    if value == "learned" or is_off(value, "learned"):
        return "learned" if value == "learned" else "off"
    return read_positive_duration(value)


def read_statuses(value: object) -> list[int]:
    """Statuses from 400 to 599, each a number or a class such as `5xx`."""
    if is_off(value, "[502, 503]"):
        return []
    found: list[int] = []
    for each in value if isinstance(value, list | tuple) else [value]:
        if isinstance(each, str) and re.fullmatch(r"[45]xx", each):
            found += range(int(each[0]) * 100, int(each[0]) * 100 + 100)
        elif type(each) is int and 400 <= each <= 599:
            found.append(each)
        else:
            raise Mistake(
                f"expected a status from 400 to 599, or 5xx, not {shown(each)}",
                "list the answers after which another endpoint is worth a try",
            )
    return sorted(set(found))


def format_statuses(statuses: tuple[int, ...]) -> list[int | str]:
    """All of a hundred as `5xx`, the others one by one."""
    whole = [hundred for hundred in (4, 5) if all(hundred * 100 + at in statuses for at in range(100))]
    return [*(it for it in statuses if it // 100 not in whole), *(f"{hundred}xx" for hundred in whole)]


def read_priority(value: object) -> int:
    """0 to 9, or a word."""
    if isinstance(value, str) and value in PRIORITIES:
        return PRIORITIES[value]
    if type(value) is not int or not 0 <= value <= 9:
        hint = "higher ones go first where requests wait; 5 is usual"
        raise Mistake(f"expected high, usual, low or a number from 0 to 9, not {shown(value)}", hint)
    return value


Permille = Annotated[
    int,
    BeforeValidator(read_permille),
    PlainSerializer(format_permille),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]+(\.[0-9])? ?%$", "examples": ["2%", "0.5%"]}),
]
PercentOrOff = Annotated[
    int | None,
    BeforeValidator(lambda value: None if is_off(value, "50%") else read_percent(value)),
    PlainSerializer(lambda value: "off" if value is None else units.format_percent(value)),
    WithJsonSchema({"anyOf": [{"type": "string", "examples": ["20%"]}, OFF]}),
]
Times = Annotated[
    int | None,
    BeforeValidator(read_times),
    PlainSerializer(format_times),
    WithJsonSchema({"anyOf": [{"type": "string", "examples": ["5x"]}, OFF]}),
]
Limit = Annotated[
    int | Literal["learned", "off"],
    BeforeValidator(read_limit),
    WithJsonSchema({"anyOf": [{"enum": ["learned", "off", False]}, {"type": "integer", "minimum": 1}]}),
]
TryLimit = Annotated[
    int | Literal["learned", "off"],
    BeforeValidator(read_try),
    PlainSerializer(lambda value: value if isinstance(value, str) else units.format_duration(value)),
    WithJsonSchema(
        {"anyOf": [{"enum": ["learned", "off", False]}, {"type": "string", "examples": ["250ms"]}]}
    ),
]
Statuses = Annotated[
    tuple[int, ...],
    BeforeValidator(read_statuses),
    PlainSerializer(format_statuses),
    WithJsonSchema({"anyOf": [{"type": "array", "items": _STATUS}, _STATUS, OFF]}),
]
Priority = Annotated[
    int,
    BeforeValidator(read_priority),
    WithJsonSchema({"anyOf": [{"enum": list(PRIORITIES)}, {"type": "integer", "minimum": 0, "maximum": 9}]}),
]
