"""What differs between two records, field by field, in the words and units of a configuration."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from typing import Protocol, TypeVar

from bascule import contract
from bascule.config.protection_values import format_permille, format_times
from bascule.units import format_duration, format_percent, format_size


class _Identified(Protocol):
    @property
    def id(self) -> str: ...


Item = TypeVar("Item", bound=_Identified)


def differences(old: object, new: object, only: tuple[str, ...] | None = None) -> Iterator[str]:
    """`idle.timeout` as `timeout: 1m → 4s`: one line for each field that differs, or each of `only`."""
    for name in only or tuple(field.name for field in fields(new)):  # type: ignore[arg-type]
        one, other = getattr(old, name), getattr(new, name)
        if one != other:
            word, _, unit = name.rpartition("_")
            form = _FORMS.get(name) or _UNITS.get(unit)
            key = _KEYS.get(name) or (word if unit in _UNITS else name)
            secret = isinstance(one, contract.Secret) and isinstance(other, contract.Secret)
            yield f"another {key}" if secret else f"{key}: {in_words(one, form)} → {in_words(other, form)}"


def part(name: str, old: object, new: object) -> Iterator[str]:
    """What differs in a part that may be off."""
    if (old is None) != (new is None):
        yield f"{name}: {'on → off' if new is None else 'off → on'}"
    elif new is not None:
        yield from (f"{name}.{change}" for change in differences(old, new))


def in_words(value: object, form: Callable[[int], str] | None = None) -> str:
    """A value as a configuration would say it. Secrets are not shown."""
    if isinstance(value, contract.Secret):
        return "…"
    if isinstance(value, tuple):
        return ", ".join(map(in_words, value)) or "none"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if (word := getattr(value, "kind", None)) is not None:
        return _alternative(value, word)
    return form(value) if form is not None and isinstance(value, int) else str(value)


def by_id(items: Iterable[Item]) -> dict[str, Item]:
    """Each under its id."""
    return {item.id: item for item in items}


def _alternative(value: object, word: str) -> str:
    """`learned`, `off`, 8 requests, 1 s, an address or a part of a request."""
    match value:
        case contract.FixedLimit(requests):
            return str(requests)
        case contract.FixedTryLimit(ms):
            return format_duration(ms)
        case contract.TcpAddress(address):
            return address
        case contract.UnixAddress(path):
            return f"unix:{path}"
        case contract.HeaderKey(name) | contract.CookieKey(name) | contract.QueryKey(name):
            return f"{word} {name}"
    return word


_UNITS: dict[str, Callable[[int], str]] = {
    "ms": format_duration,
    "bytes": format_size,
    "percent": format_percent,
    "permille": format_permille,
}
_KEYS = {
    "budget_minimum": "minimum",
    "failure_percent": "share",
    "statuses": "on",
    "try_limit": "try",
}
"""Fields whose key in a configuration does not follow from their name."""
_FORMS: dict[str, Callable[[int], str]] = {"slowness_percent": format_times}
