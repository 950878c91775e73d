"""The sections of the operator's model, as the reference page shows them: keys, values and defaults."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bascule.config import model
from bascule.config.schema import schema
from bascule.config.section import Section as Model


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a section."""

    name: str
    description: str
    written: str
    """What kind of value it takes, in words."""
    required: bool
    default: str | None
    """As it would be written; `None` when there is none worth telling."""


@dataclass(frozen=True, slots=True)
class Section:
    """One section, where it stands in a file, and its keys."""

    title: str
    path: str
    """`pools.NAME.check`; empty for the whole file."""
    description: str
    keys: tuple[Key, ...]


def sections() -> Iterator[Section]:
    """All of them: each where it is first led to, before what it leads to itself."""
    definitions = schema()
    models = definitions["$defs"]
    waiting, seen = [("Config", "")], {"Config"}
    while waiting:
        name, path = waiting.pop(0)
        described = definitions if name == "Config" else models[name]
        yield _section(getattr(model, name), described, path)
        below = []
        for key, value in described["properties"].items():
            for reference, suffix in _references(value):
                if reference not in seen:
                    seen.add(reference)
                    below.append((reference, f"{path}.{key}{suffix}".lstrip(".")))
        waiting = [*below, *waiting]


def _references(value: Any, suffix: str = "") -> Iterator[tuple[str, str]]:
    """Which sections a value may be, and what stands between its key and theirs."""
    if isinstance(value, list):
        for each in value:
            yield from _references(each, suffix)
    elif isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"].rpartition("/")[2], suffix
        for key in ("anyOf", "oneOf", "items"):
            yield from _references(value.get(key), suffix + ("[]" if key == "items" else ""))
        yield from _references(value.get("additionalProperties"), f"{suffix}.NAME")


def _section(cls: type[Model], described: Mapping[str, Any], path: str) -> Section:
    defaults = cls.model_construct().model_dump(mode="json", by_alias=True, warnings=False)
    required = described.get("required", [])
    keys = tuple(
        Key(
            name=name,
            description=value.get("description", "") or _class_description(value),
            written=Written.of(value),
            required=name in required,
            default=None if name in required else _default(defaults.get(name)),
        )
        for name, value in described["properties"].items()
    )
    return Section(_heading(cls.title), path, cls.__doc__ or "", keys)


def _class_description(value: Mapping[str, Any]) -> str:
    references = [name for name, _ in _references(dict(value))]
    return (getattr(model, references[0]).__doc__ or "").splitlines()[0] if references else ""


def _heading(title: str) -> str:
    words = re.sub(r"^(an?|the) ", "", title.replace("`", ""))
    return "The whole file" if title == "the configuration" else words[:1].upper() + words[1:]


def _default(value: Any) -> str | None:
    """What stands for a default: nothing for "absent" and for sections, whose keys have their own."""
    if isinstance(value, dict):
        # `least_busy` for {name: least_busy, options: {}}: as people write it.
        value = value.get("name", value.get("format"))
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    if value in (None, ""):
        return None
    return value if isinstance(value, str) else json.dumps(value)


class Written:
    """How a value is written, in words, from its JSON Schema."""

    @classmethod
    def of(cls, described: Mapping[str, Any]) -> str:
        """`duration`, `text or a list`, `one of a, b`, `[Check](#check)`."""
        return " or ".join(dict.fromkeys(cls._kinds(described)))

    @classmethod
    def _kinds(cls, described: Mapping[str, Any]) -> Iterator[str]:
        for choice in ("anyOf", "oneOf"):
            for each in described.get(choice, []):
                yield from cls._kinds(each)
        if "$ref" in described:
            yield _link(described["$ref"].rpartition("/")[2])
        elif "enum" in described:
            yield from (
                f"`{each}`" for each in described["enum"] if isinstance(each, str | int) and each is not False
            )
        elif "const" in described:
            yield f"`{json.dumps(described['const'])}`"
        else:
            yield from cls._plain(described)

    @classmethod
    def _plain(cls, described: Mapping[str, Any]) -> Iterator[str]:
        kind = described.get("type")
        for each in kind if isinstance(kind, list) else [kind]:
            match each:
                case "string":
                    yield cls._text(described.get("examples", []))
                case "integer":
                    low, high = described.get("minimum"), described.get("maximum")
                    yield f"{low} to {high}" if high is not None else "number"
                case "boolean":
                    yield "`true` or `false`"
                case "array":
                    yield f"list{_of(described.get('items'))}"
                case "object" if described.get("additionalProperties"):
                    yield f"mapping{_of(described['additionalProperties'], ' of names to ')}"

    @staticmethod
    def _text(examples: list[str]) -> str:
        kinds = {"250ms": "duration", "64KiB": "size", "20%": "share", "2%": "share", "5x": "factor"}
        return kinds.get(examples[0] if examples else "", "text")


def _link(reference: str) -> str:
    heading = _heading(getattr(model, reference).title)
    words = heading if heading[1:2].isupper() else heading[:1].lower() + heading[1:]
    return f"[{words}](#{re.sub('[^a-z0-9]+', '-', heading.lower())})"


def _of(items: Any, words: str = " of ") -> str:
    """The sections that a list or mapping is of."""
    links = dict.fromkeys(_link(reference) for reference, _ in _references(items))
    return words + " or ".join(links) if links else ""
