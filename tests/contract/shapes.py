"""The shape of a message in one notation, read from a Python type or from a JSON Schema."""

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from bascule.contract import Secret
from bascule.contract.codec import json_name

Shape = Any
"""A word for what has no parts; else a mapping with one key, which says how the parts belong together."""

WORDS = {str: "text", Secret: "text", bool: "truth", object: "anything"}
SCHEMA_WORDS = {"string": "text", "boolean": "truth", "object": "mapping"}


def of_type(kind: Any) -> Shape:
    """The shape that the Python half gives to `kind`."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return f"u{arguments[1].bits}"
    if origin is Literal:
        return {"one of": sorted(arguments)}
    if origin is tuple:
        return {"list": of_type(arguments[0])}
    if origin in (Union, types.UnionType):
        return _union(arguments)
    if is_dataclass(kind):
        return {"fields": _fields(kind)}
    return "mapping" if _is_mapping(origin) else WORDS[kind]


def of_schema(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Shape:
    """The shape that a JSON Schema gives; `root` holds what it refers to."""
    if "$ref" in schema:
        return of_schema(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    if "anyOf" in schema:
        some = [each for each in schema["anyOf"] if each != {"type": "null"}]
        assert len(some) == 1, "alternatives are tagged; only `null` is beside a type"
        return {"optional": of_schema(some[0], root)}
    if "oneOf" in schema:
        return _alternatives(schema["oneOf"], root)
    if isinstance(schema.get("type"), list):
        name = next(each for each in schema["type"] if each != "null")
        return {"optional": of_schema({**schema, "type": name}, root)}
    return _plain(schema, root)


def _plain(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Shape:
    kind = schema.get("type")
    if kind == "integer":
        return schema["format"].replace("uint", "u")
    if kind == "array":
        return {"list": of_schema(schema["items"], root)}
    if "properties" in schema:
        assert schema["additionalProperties"] is False, "unknown fields are refused"
        return {"fields": {name: of_schema(each, root) for name, each in schema["properties"].items()}}
    if "const" in schema:
        return {"one of": [schema["const"]]}
    return SCHEMA_WORDS[kind] if kind else "anything"


def _alternatives(choices: list[Mapping[str, Any]], root: Mapping[str, Any]) -> Shape:
    if all("const" in each for each in choices):
        return {"one of": sorted(each["const"] for each in choices)}
    tagged = [of_schema(each, root) for each in choices]
    return {"tagged": {each["fields"]["kind"]["one of"][0]: each for each in tagged}}


def _union(members: tuple[Any, ...]) -> Shape:
    some = [member for member in members if member is not type(None)]
    shapes = [of_type(member) for member in some]
    shape = shapes[0]
    if len(some) > 1:
        shape = {"tagged": {each["fields"]["kind"]["one of"][0]: each for each in shapes}}
    return shape if len(some) == len(members) else {"optional": shape}


def _fields(kind: Any) -> dict[str, Shape]:
    hints = get_type_hints(kind, include_extras=True)
    return {json_name(field.name): of_type(hints[field.name]) for field in fields(kind)}


def _is_mapping(origin: Any) -> bool:
    return isinstance(origin, type) and issubclass(origin, Mapping)
