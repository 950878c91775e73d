"""Checks options against the schema that the catalogue gives for them.

The part of JSON Schema that a catalogue uses: types, ranges, enumerations, objects, lists and
alternatives. A keyword that is not known here is passed over; the data plane checks everything again.
"""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bascule.config.places import Path
from bascule.config.values import shown

_TYPES: dict[str, tuple[str, tuple[type, ...]]] = {
    "object": ("a mapping", (dict,)),
    "array": ("a list", (list, tuple)),
    "string": ("text", (str,)),
    "integer": ("a whole number", (int,)),
    "number": ("a number", (int, float)),
    "boolean": ("true or false", (bool,)),
    "null": ("nothing", (type(None),)),
}


@dataclass(frozen=True, slots=True)
class Misfit:
    """One way in which options do not fit their schema."""

    path: Path
    """Below the options."""
    what: str
    hint: str | None = None
    at_key: bool = False
    """Whether the key is wrong, and not its value."""


def misfits(value: object, schema: object, path: Path = ()) -> Iterator[Misfit]:
    """Everything about `value` that `schema` refuses."""
    if not isinstance(schema, Mapping):
        return
    if (wanted := _wanted_type(schema, value)) is not None:
        yield Misfit(path, f"expected {wanted}, not {shown(value)}")
        return
    yield from _scalar(value, schema, path)
    yield from _alternatives(value, schema, path)
    if isinstance(value, dict):
        yield from _object(value, schema, path)
    elif isinstance(value, list | tuple):
        yield from _array(value, schema, path)


def _wanted_type(schema: Mapping[str, Any], value: object) -> str | None:
    """The type that was wanted, in words, when `value` is of another."""
    types = schema.get("type", ())
    names = [types] if isinstance(types, str) else list(types)
    known = [_TYPES[name] for name in names if name in _TYPES]
    if not known or any(_is_of(value, allowed) for _, allowed in known):
        return None
    return " or ".join(words for words, _ in known)


def _is_of(value: object, allowed: tuple[type, ...]) -> bool:
    # `True` is an `int` to Python, and is none in a schema.
    return isinstance(value, allowed) and (not isinstance(value, bool) or bool in allowed)


def _scalar(value: object, schema: Mapping[str, Any], path: Path) -> Iterator[Misfit]:
    allowed = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if allowed is not None and value not in allowed:
        near = difflib.get_close_matches(str(value), [str(each) for each in allowed], n=1)
        hint = f'did you mean "{near[0]}"?' if near else None
        yield Misfit(path, f"expected {' or '.join(str(each) for each in allowed)}, not {shown(value)}", hint)
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value < schema.get("minimum", value):
            yield Misfit(path, f"expected a number of at least {schema['minimum']}, not {value}")
        if value > schema.get("maximum", value):
            yield Misfit(path, f"expected a number of at most {schema['maximum']}, not {value}")
    if isinstance(value, str) and len(value) < schema.get("minLength", 0):
        yield Misfit(path, f"expected text of at least {schema['minLength']} characters")


def _alternatives(value: object, schema: Mapping[str, Any], path: Path) -> Iterator[Misfit]:
    """Of alternatives that all refuse, the complaints of the one that came nearest."""
    choices = schema.get("oneOf") or schema.get("anyOf") or ()
    complaints = [list(misfits(value, choice, path)) for choice in choices]
    if complaints and all(complaints):
        yield from min(complaints, key=len)


def _object(value: dict[str, object], schema: Mapping[str, Any], path: Path) -> Iterator[Misfit]:
    properties: Mapping[str, object] = schema.get("properties", {})
    unknown = [key for key in value if key not in properties and schema.get("additionalProperties") is False]
    for key in unknown:
        yield Misfit((*path, key), f'there is no option "{key}"', _known(key, properties), at_key=True)
    for key in schema.get("required", ()):
        # One that is almost there under another name has just been told.
        if key not in value and not difflib.get_close_matches(key, unknown, n=1):
            yield Misfit(path, f'the option "{key}" is missing', f'add "{key}: …"', at_key=True)
    for key, item in value.items():
        if key in properties:
            yield from misfits(item, properties[key], (*path, key))


def _array(
    value: list[object] | tuple[object, ...], schema: Mapping[str, Any], path: Path
) -> Iterator[Misfit]:
    if len(value) < schema.get("minItems", 0):
        yield Misfit(path, f"expected at least {schema['minItems']} of them", at_key=True)
    for at, item in enumerate(value):
        yield from misfits(item, schema.get("items"), (*path, at))


def _known(key: str, properties: Mapping[str, object]) -> str:
    if near := difflib.get_close_matches(key, properties, n=1):
        return f'did you mean "{near[0]}"?'
    return f"there are: {', '.join(sorted(properties))}" if properties else "it has no options"
