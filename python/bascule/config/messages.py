"""What pydantic finds → what an operator reads: one plain sentence for each mistake, with its place."""

import difflib
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from bascule.config.places import Path, Places, Span
from bascule.config.problems import Problem
from bascule.config.secrets import SecretMistake
from bascule.config.section import Section
from bascule.config.values import shown
from bascule.errors import BasculeError

ALSO_KNOWN_AS = {
    "alg": "algorithm",
    "backend": "pool",
    "backends": "pools",
    "balance": "algorithm",
    "bind_address": "bind",
    "canary": "split",
    "clusters": "pools",
    "concurrency": "limit",
    "connect_timeout": "connect",
    "entrypoints": "listeners",
    "frontends": "listeners",
    "health": "check",
    "health_check": "check",
    "healthcheck": "check",
    "hosts": "host",
    "interval": "every",
    "keepalive": "idle",
    "lb": "algorithm",
    "listen": "bind",
    "max_concurrency": "limit",
    "maxconn": "limit",
    "outlier_detection": "ejection",
    "passive_health": "ejection",
    "persistence": "sessions",
    "policy": "algorithm",
    "rate_limits": "rate_limit",
    "ratelimit": "rate_limit",
    "retry": "retries",
    "return": "respond",
    "rules": "routes",
    "servers": "endpoints",
    "services": "pools",
    "session": "sessions",
    "shadow": "mirror",
    "slowstart": "slow_start",
    "stick": "sessions",
    "sticky": "sessions",
    "strategy": "algorithm",
    "targets": "endpoints",
    "to": "pool",
    "upstream": "pool",
    "upstreams": "pools",
    "weighted": "split",
    "workers": "threads",
}
"""What other balancers call our keys."""


def problems_of(
    error: ValidationError, model: type[Section], places: Places, broken: Iterable[Problem] = ()
) -> list[Problem]:
    """Every mistake that pydantic found in a `model`.

    Leaves out those at places that `broken` already points at: a variable that is not set is one
    mistake, not two.
    """
    known_bad = {(it.path, it.line) for it in broken}
    found = error.errors(include_url=False)
    unknown = {details["loc"] for details in found if details["type"] == "extra_forbidden"}
    problems = [_problem(details, model, places) for details in found if not _is_misspelt(details, unknown)]
    return [it for it in problems if (it.path, it.line) not in known_bad]


def _is_misspelt(details: ErrorDetails, unknown: set[tuple[int | str, ...]]) -> bool:
    """Whether a key that is missing is there under a name that is almost its own: one mistake, not two."""
    if details["type"] != "missing":
        return False
    *around, key = details["loc"]
    beside = [str(loc[-1]) for loc in unknown if loc[:-1] == tuple(around)]
    return any(ALSO_KNOWN_AS.get(it) == key for it in beside) or bool(
        difflib.get_close_matches(str(key), beside, n=1)
    )


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """The nearest of the words that were possible."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f'did you mean "{near[0]}"?' if near else None


def _problem(details: ErrorDetails, model: type[Section], places: Places) -> Problem:
    path = written_path(details["loc"])
    sections, field = _walk(model, details["loc"])
    if details["type"] == "extra_forbidden":
        return places.key(path).problem(*_unknown_key(str(path[-1]), sections, model))
    if details["type"] == "missing":
        return places.key(path[:-1]).problem(*_missing(str(path[-1]), path, sections))
    what, hint = _in_words(details, field)
    span = _pointed(details, places, path)
    if isinstance(details.get("ctx", {}).get("error"), SecretMistake):
        return span.secret_problem(what, hint)
    return span.problem(what, hint)


def _pointed(details: ErrorDetails, places: Places, path: Path) -> Span:
    """Where to point: at what is wrong, and at the key where the mistake is the key."""
    if "[key]" in details["loc"] or _is_structure(details):
        return places.key(path)
    return places.value(path)


def _is_structure(details: ErrorDetails) -> bool:
    """A mapping or list runs over many lines; its key is what an eye finds."""
    return isinstance(details["input"], dict | list | Section) or details["input"] is None


def written_path(loc: tuple[int | str, ...]) -> Path:
    """A location without what is not in the file: union tags, and the mark of a mapping's key."""
    return tuple(part for part in loc if not (isinstance(part, str) and (part == "[key]" or _is_tag(part))))


def _is_tag(part: int | str) -> bool:
    return isinstance(part, str) and part.startswith("<") and part.endswith(">")


def _in_words(details: ErrorDetails, field: FieldInfo | None) -> tuple[str, str | None]:
    """What is wrong and what to do, for every kind of mistake but unknown and missing keys."""
    context = details.get("ctx", {})
    if isinstance(error := context.get("error"), BasculeError):
        return error.message, error.hint
    value = details["input"]
    if value is None:
        return "a value is missing here", _example(field) or "write it, or remove the key"
    wording = _WORDINGS.get(details["type"])
    if wording is None:
        return f"{details['msg'][:1].lower()}{details['msg'][1:]}, not {shown(value)}", None
    wanted, hint = wording(context, value)
    if hint is None and details["type"] == "model_type" and field is not None:
        keys = [key for section in _sections_in(field.annotation) for key in _keys(section)]
        hint = f"its keys are: {', '.join(keys)}" if len(keys) != 1 else f"write {keys[0]}: {value}"
    return f"expected {wanted}, not {_plain(value)}", hint


Wording = Callable[[dict[str, Any], object], tuple[str, str | None]]


def _plain(value: object) -> str:
    """A number that stands where a number belongs needs no "the number" before it."""
    return str(value) if type(value) in (int, float) else shown(value)


def _number(context: dict[str, Any], value: object) -> tuple[str, str | None]:
    hint = f"remove the quotes: {value}" if isinstance(value, str) and value.isdigit() else None
    return "a whole number", hint


def _text(context: dict[str, Any], value: object) -> tuple[str, str | None]:
    return "text", f'put it in quotes: "{value}"' if isinstance(value, int | float) else None


def _one_of(context: dict[str, Any], value: object) -> tuple[str, str | None]:
    wanted = str(context.get("expected", "")).replace("'", "").replace("True", "true")
    words = wanted.replace(" or ", ", ").split(", ")
    return wanted, did_you_mean(value, words) if isinstance(value, str) else None


_WORDINGS: dict[str, Wording] = {
    "int_type": _number,
    "int_parsing": _number,
    "int_from_float": _number,
    "string_type": _text,
    "literal_error": _one_of,
    "bool_type": lambda context, value: ("true or false", None),
    "bool_parsing": lambda context, value: ("true or false", None),
    "greater_than_equal": lambda context, value: (f"a number of at least {context['ge']}", None),
    "less_than_equal": lambda context, value: (f"a number of at most {context['le']}", None),
    "model_type": lambda context, value: ("a mapping (key: value)", None),
    "model_attributes_type": lambda context, value: ("a mapping (key: value)", None),
    "dict_type": lambda context, value: ("a mapping (name: …)", "give each a name, and no '- ' before it"),
    "tuple_type": lambda context, value: ("a list", "begin each item with '- ', or write [ … ]"),
    "string_too_short": lambda context, value: ("some text", None),
    "callable_type": lambda context, value: ("a function", "functions can only be given in a bascule.py"),
}


def _unknown_key(key: str, sections: tuple[type[Section], ...], model: type[Section]) -> tuple[str, str]:
    title = " or ".join(dict.fromkeys(section.title for section in sections)) or "this place"
    known = sorted({name for section in sections for name in _keys(section)})
    what = f'"{key}" is not a key of {title}'
    if ALSO_KNOWN_AS.get(key) in known:
        return what, f'did you mean "{ALSO_KNOWN_AS[key]}"?'
    if near := did_you_mean(key, known):
        return what, near
    homes = sorted({section.title for section in _all_sections(model) if key in _keys(section)})
    if homes:
        return what, f"it belongs to {' or '.join(homes)}; known here: {', '.join(known)}"
    return what, f"known here: {', '.join(known)}"


def _missing(key: str, path: Path, sections: tuple[type[Section], ...]) -> tuple[str, str]:
    owner = next((section for section in sections if key in _keys(section)), None)
    name = path[-2] if len(path) == 3 and isinstance(path[-2], str) else None
    subject = (
        (owner.title if owner else "this") if name is None else f'{owner.title[2:] if owner else ""} "{name}"'
    )
    example = _example(_keys(owner)[key]) if owner else None
    return (
        f'{subject} has no "{key}"',
        f'add "{key}: {example.removeprefix("for example ")}"' if example else f'add "{key}"',
    )


def _example(field: FieldInfo | None) -> str | None:
    if field is None:
        return None
    examples = field.examples or [
        example for part in field.metadata for example in (getattr(part, "examples", None) or ())
    ]
    return f"for example {examples[0]}" if examples else None


def _keys(section: type[Section]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in section.model_fields.items()}


def _walk(
    model: type[Section], loc: tuple[int | str, ...]
) -> tuple[tuple[type[Section], ...], FieldInfo | None]:
    """The sections that the last part of a location is a key of, and the field that it is in."""
    sections: tuple[type[Section], ...] = (model,)
    field: FieldInfo | None = None
    named = False
    for part in loc[:-1]:
        if named:
            # The name of a listener, a header …: not a key, whatever it looks like.
            named = False
        elif _is_tag(part):
            sections = tuple(each for each in sections if str(part)[1:-1] in _tag_names(each))
        elif isinstance(part, str):
            found = next((_keys(each)[part] for each in sections if part in _keys(each)), None)
            if found is not None:
                field, named = found, _is_mapping(found.annotation)
                sections = tuple(_sections_in(found.annotation))
    if named or not loc:
        return sections, field
    last = next((_keys(each)[str(loc[-1])] for each in sections if str(loc[-1]) in _keys(each)), None)
    return sections, last or field


def _tag_names(section: type[Section]) -> set[str]:
    """A tag is the key that only its section has; endpoints are what has an address."""
    return {"endpoint" if name == "address" else name for name in section.model_fields}


def _is_mapping(annotation: Any) -> bool:
    return any(get_origin(_bare(each)) is dict for each in (annotation, *get_args(annotation)))


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _sections_in(annotation: Any) -> Iterator[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for inner in get_args(annotation):
        yield from _sections_in(inner)


def _all_sections(model: type[Section]) -> set[type[Section]]:
    found, waiting = {model}, [model]
    while waiting:
        for field in waiting.pop().model_fields.values():
            fresh = set(_sections_in(field.annotation)) - found
            found |= fresh
            waiting += fresh
    return found
