"""Durations, sizes and shares as people write them ("250ms", "64KiB", "2%") ⇄ integers."""

import re
from fractions import Fraction

from bascule.errors import BasculeError

LONGEST_MS = 366 * 24 * 3_600_000
"""No duration is longer: a longer one is a slip of the keyboard, and "none" exists where it is allowed."""

LARGEST_BYTES = 1 << 50

_DURATION_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
# A bare `k` is 1024, as in nginx, HAProxy and Caddy; `kB` is the SI unit.
_SIZE_UNITS = {
    "": 1,
    "b": 1,
    "k": 1 << 10,
    "kib": 1 << 10,
    "kb": 1000,
    "m": 1 << 20,
    "mib": 1 << 20,
    "mb": 1000**2,
    "g": 1 << 30,
    "gib": 1 << 30,
    "gb": 1000**3,
}
_DURATION_PART = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)", re.ASCII)
_SIZE = re.compile(r"([0-9]{1,16}(?:\.[0-9]{1,9})?)[ ]?([A-Za-z]*)", re.ASCII)
_PERCENT = re.compile(r"([0-9]{1,9})[ ]?%", re.ASCII)


class UnitRefused(BasculeError, ValueError):  # noqa: N818 (named as ConfigRefused is)
    """A text is not the quantity that was expected; the message names the expected form."""


def parse_duration(text: str) -> int:
    """Milliseconds in "250ms", "5s", "1h30m" or "1.5s".

    The largest is `LONGEST_MS`. Raises `UnitRefused` for anything else, also for a bare number:
    one operator reads it as seconds and the next as milliseconds.
    """
    stripped = text.strip()
    parts = _DURATION_PART.findall(stripped)
    if not parts or "".join(number + unit for number, unit in parts) != stripped:
        raise UnitRefused(f"expected a duration such as 250ms or 5s, not {_quoted(text)}", _bare(stripped))
    total = sum(Fraction(number) * _DURATION_UNITS[unit] for number, unit in parts)
    if total.denominator != 1:
        raise UnitRefused(f"expected a duration of whole milliseconds, not {_quoted(text)}")
    if total > LONGEST_MS:
        raise UnitRefused(
            f"expected a duration of at most {format_duration(LONGEST_MS)}, not {_quoted(text)}"
        )
    return int(total)


def format_duration(milliseconds: int) -> str:
    """The shortest text that `parse_duration` reads back as the same: 90000 → "1m30s"."""
    rest, parts = milliseconds, []
    for unit in ("d", "h", "m", "s", "ms"):
        count, rest = divmod(rest, _DURATION_UNITS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def parse_size(text: str) -> int:
    """Bytes in "64KiB", "16k" (also 1024), "10MB" (1000²) or "1500". Raises `UnitRefused` otherwise."""
    found = _SIZE.fullmatch(text.strip())
    factor = None if found is None else _SIZE_UNITS.get(found[2].lower())
    if found is None or factor is None:
        raise UnitRefused(f"expected a size such as 64KiB or 10MiB, not {_quoted(text)}")
    size = Fraction(found[1]) * factor
    if size.denominator != 1:
        raise UnitRefused(f"expected a size of whole bytes, not {_quoted(text)}")
    if size > LARGEST_BYTES:
        raise UnitRefused(f"expected a size of at most {LARGEST_BYTES >> 40}TiB, not {_quoted(text)}")
    return int(size)


def format_size(size: int) -> str:
    """The shortest exact text that `parse_size` reads back as the same: 65536 → "64KiB"."""
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size and size % factor == 0:
            return f"{size // factor}{unit}"
    return f"{size}B"


def parse_percent(text: str) -> int:
    """Whole percent in "2%". Raises `UnitRefused` otherwise, also for a bare number (0.2 or 20?)."""
    found = _PERCENT.fullmatch(text.strip())
    if found is None:
        raise UnitRefused(f"expected a share in whole percent such as 20%, not {_quoted(text)}")
    return int(found[1])


def format_percent(percent: int) -> str:
    """20 → "20%"."""
    return f"{percent}%"


def _bare(text: str) -> str | None:
    return f"add the unit: {text}s or {text}ms" if text.isascii() and text.isdigit() else None


def _quoted(text: str) -> str:
    return f"'{text}'" if len(text) <= 40 else f"'{text[:37]}…'"
