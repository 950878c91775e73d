"""Types ⇄ canonical bytes: JSON, UTF-8, keys sorted, no spaces. Equal messages give equal bytes."""

import json
import types
from collections import abc
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from bascule.contract.integers import Unsigned
from bascule.errors import BasculeError

T = TypeVar("T")
Decoder = Callable[[object, str], object]


class CodecRefused(BasculeError, ValueError):  # noqa: N818 (it is an answer, as ConfigRefused is)
    """Bytes are not the message they should be, or a message holds what the contract does not allow."""


def encode(message: object) -> bytes:
    """The canonical bytes of a message or of a sequence of messages.

    Raises `CodecRefused` for text that is not Unicode (a lone surrogate) and for floats.
    """
    try:
        return json.dumps(
            _to_json(message), ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
        ).encode()
    except UnicodeEncodeError as error:
        raise CodecRefused(f"text that is not Unicode: {error.object!r}") from error


def decode(kind: type[T], content: bytes) -> T:
    """The message in `content`, for example `decode(Snapshot, …)` or `decode(tuple[Mark, ...], …)`.

    Unknown fields are refused; a missing field that may be `None` is `None`. Raises `CodecRefused`
    naming the place.
    """
    try:
        tree = json.loads(content)
    except ValueError as error:
        raise CodecRefused(f"not JSON: {error}") from error
    return cast(T, _decoder(cast(Any, kind))(tree, ""))


def digest(content: bytes) -> str:
    """FNV-1a, 64 bits, in hexadecimal: identity of a message, not a defence against forgery."""
    value = 0xCBF2_9CE4_8422_2325
    for byte in content:
        value = (value ^ byte) * 0x0100_0000_01B3 & 0xFFFF_FFFF_FFFF_FFFF
    return f"{value:016x}"


def json_name(field: str) -> str:
    """A field's name on the wire: Python's keywords carry an underscore here and none there."""
    return field.removesuffix("_")


def _to_json(value: object) -> object:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if (members := _members(cast(Any, kind))) is not None:
        return {key: _to_json(getattr(value, name)) for key, name in members}
    if isinstance(value, Mapping):
        return {str(key): _to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_to_json(item) for item in value]
    if isinstance(value, int | str):
        return value
    raise CodecRefused(f"the contract has no place for {type(value).__name__} ({value!r:.60})")


_PLAIN = frozenset((type(None), bool, int, str))


@cache
def _members(kind: type) -> tuple[tuple[str, str], ...] | None:
    """Names on the wire and here, of a message; `None` of what is none."""
    return tuple((json_name(name), name) for name in _names(kind)) if is_dataclass(kind) else None


@cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(cast(Any, kind)))


@cache
def _decoder(kind: Any) -> Decoder:
    """What turns JSON into `kind`; built once for each type."""
    if kind is object:
        return _free
    if is_dataclass(kind):
        return _record(cast(type, kind))
    return _composite(get_origin(kind), get_args(kind)) or _plain(kind)


def _composite(origin: Any, arguments: tuple[Any, ...]) -> Decoder | None:
    if origin in (Union, types.UnionType):
        return _union(arguments)
    if origin is Annotated:
        return _integer(arguments[1])
    if origin is Literal:
        return _one_of(arguments)
    if origin is tuple:
        return _sequence(_decoder(arguments[0]))
    return _mapping if origin is abc.Mapping else None


def _plain(kind: type) -> Decoder:
    plain = str if issubclass(kind, str) else kind

    def read(value: object, place: str) -> object:
        # `True` is an `int` to Python and is not one to JSON.
        if type(value) is not plain:
            raise _wrong(place, {str: "text", bool: "true or false"}.get(plain, kind.__name__), value)
        return value if plain is kind else kind(value)

    return read


def _integer(width: Unsigned) -> Decoder:
    def read(value: object, place: str) -> object:
        if type(value) is not int or not 0 <= value <= width.largest:
            raise _wrong(place, f"an integer from 0 to {width.largest}", value)
        return value

    return read


def _one_of(allowed: tuple[object, ...]) -> Decoder:
    def read(value: object, place: str) -> object:
        if value not in allowed:
            raise _wrong(place, " or ".join(map(repr, allowed)), value)
        return value

    return read


def _free(value: object, place: str) -> object:
    return value


def _mapping(value: object, place: str) -> object:
    if not isinstance(value, dict):
        raise _wrong(place, "an object", value)
    return value


def _sequence(item: Decoder) -> Decoder:
    def read(value: object, place: str) -> object:
        if not isinstance(value, list):
            raise _wrong(place, "a list", value)
        return tuple(item(each, f"{place}[{at}]") for at, each in enumerate(value))

    return read


def _union(members: tuple[Any, ...]) -> Decoder:
    some = [member for member in members if member is not type(None)]
    read = _decoder(some[0]) if len(some) == 1 else _tagged(some)
    if len(some) == len(members):
        return read
    return lambda value, place: None if value is None else read(value, place)


def _tagged(members: list[Any]) -> Decoder:
    by_kind = {get_args(get_type_hints(member)["kind"])[0]: _decoder(member) for member in members}

    def read(value: object, place: str) -> object:
        tag = value.get("kind") if isinstance(value, dict) else None
        if not isinstance(tag, str) or tag not in by_kind:
            raise _wrong(place, f"an object whose kind is one of {', '.join(by_kind)}", value)
        return by_kind[tag](value, place)

    return read


def _record(kind: type) -> Decoder:
    hints = get_type_hints(kind, include_extras=True)
    readers = {json_name(name): (name, _decoder(hints[name])) for name in _names(kind)}
    optional = {key for key, (name, _) in readers.items() if type(None) in get_args(hints[name])}
    # Within a version fields are only added, with a default: an older message does without them.
    defaulted = {json_name(each.name) for each in fields(cast(Any, kind)) if _has_default(each)}

    def read(value: object, place: str) -> object:
        if not isinstance(value, dict):
            raise _wrong(place, f"an object ({kind.__name__})", value)
        _refuse_keys(place, "unknown", value.keys() - readers.keys())
        _refuse_keys(place, "missing", readers.keys() - value.keys() - optional - defaulted)
        dot = f"{place}." if place else ""
        return kind(
            **{
                name: reader(value.get(key), f"{dot}{key}")
                for key, (name, reader) in readers.items()
                if key in value or key not in defaulted
            }
        )

    return read


def _has_default(member: "Field[Any]") -> bool:
    return member.default is not MISSING or member.default_factory is not MISSING


def _refuse_keys(place: str, adjective: str, keys: Iterable[str]) -> None:
    if named := ", ".join(sorted(keys)):
        raise CodecRefused(f"{place or 'message'}: {adjective} fields: {named}")


def _wrong(place: str, expected: str, value: object) -> CodecRefused:
    return CodecRefused(f"{place or 'message'}: expected {expected}, not {value!r:.60}")
