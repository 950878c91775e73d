"""A file that lists endpoints: YAML, JSON, or one a line → what is written in it."""

import json
import re
from collections.abc import Sequence

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from bascule.discovery.written import Written, WrittenRefused, read_endpoint

_ADDRESS_IN_BRACKETS = re.compile(r"\[[0-9A-Fa-f:.]+\]:[0-9]")


class EndpointFileRefused(Exception):  # noqa: N818 (named as ConfigRefused is)
    """The text is not a list of endpoints. The message names file, line, what is wrong and what to do."""


def read_endpoints(text: str, path: str) -> tuple[Written, ...]:
    """The endpoints listed in `text`. `path` is only for messages. Raises `EndpointFileRefused`.

    Three forms, told apart by how the text begins:

        [{"address": "10.0.0.1:8000", "weight": 3}, "10.0.0.2:8000"]

        - 10.0.0.1:8000
        - {address: 10.0.0.2:8000, weight: 3}

        10.0.0.1:8000
        10.0.0.2:8000 weight=3       # a comment

    A file without any text is refused, since that is what one looks like that is just being written.
    """
    first = next((it for line in text.splitlines() if (it := line.partition("#")[0].strip())), "")
    if not first:
        raise EndpointFileRefused(f"{path}: is empty; write [] if there are to be no endpoints")
    if first.startswith(("[", "-", "{")) and not _ADDRESS_IN_BRACKETS.match(first):
        entries = _read_json(text, path) if path.endswith(".json") else _read_yaml(text, path)
    else:
        entries = _read_lines(text, path)
    return tuple(_read_entry(entry, line, path) for line, entry in entries)


def _read_json(text: str, path: str) -> Sequence[tuple[int | None, object]]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise EndpointFileRefused(f"{path}:{error.lineno}:{error.colno}: is not JSON: {error.msg}") from error
    except RecursionError as error:
        raise EndpointFileRefused(f"{path}: is nested too deeply; write a list of endpoints") from error
    if not isinstance(found, list):
        raise EndpointFileRefused(f"{path}: expected a list of endpoints, not one {type(found).__name__}")
    return [(None, entry) for entry in found]


def _read_yaml(text: str, path: str) -> Sequence[tuple[int | None, object]]:
    try:
        # Round-trip mode, because only it remembers lines.
        found = YAML(typ="rt", pure=True).load(text)
    except MarkedYAMLError as error:
        at = error.problem_mark
        where = f"{path}:{at.line + 1}:{at.column + 1}" if at is not None else path
        raise EndpointFileRefused(f"{where}: is not YAML: {error.problem or error}") from error
    except (YAMLError, ValueError, RecursionError) as error:
        raise EndpointFileRefused(f"{path}: is not YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(found, list):
        raise EndpointFileRefused(f"{path}: expected a list of endpoints, each on a line with a - before it")
    lines = getattr(found, "lc", None)
    return [(None if lines is None else lines.item(at)[0] + 1, it) for at, it in enumerate(found)]


def _read_lines(text: str, path: str) -> Sequence[tuple[int, object]]:
    entries: list[tuple[int, object]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        address, *options = line.partition("#")[0].split() or [""]
        if not address:
            continue
        entry: dict[str, object] = {"address": address}
        for option in options:
            key, equals, value = option.partition("=")
            if not equals:
                raise EndpointFileRefused(
                    f"{path}:{number}: expected weight=… or id=… after {address}, not {option!r}"
                )
            is_number = key in ("weight", "tier", "limit") and value.isascii() and value.isdigit()
            entry[key] = int(value[:9]) if is_number else value
        entries.append((number, entry))
    return entries


def _read_entry(entry: object, line: int | None, path: str) -> Written:
    try:
        return read_endpoint(entry)
    except WrittenRefused as error:
        where = path if line is None else f"{path}:{line}"
        hint = f"; {error.hint}" if error.hint else ""
        raise EndpointFileRefused(f"{where}: {error.message}{hint}") from error
