"""YAML text → plain values, and where each is written. Every mistake that is not fatal is collected."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from bascule.config.places import Place, Source, Span
from bascule.config.problems import ConfigRefused, Problem

# YAML allows it, and a warning from a library on standard error says nothing to an operator.
warnings.filterwarnings("ignore", category=ReusedAnchorWarning)

MOST_VALUES = 500_000
"""Values in one file once its aliases are unfolded: a few lines of aliases can stand for billions."""

DEEPEST = 50
"""Levels of nesting. Nothing that a configuration may say has as many."""

_TAG = "tag:yaml.org,2002:"
_KNOWN_TAGS = frozenset(
    _TAG + name for name in ("str", "int", "float", "bool", "null", "map", "seq", "timestamp", "merge")
)
_QUOTES = "put the text in quotes"
_SYNTAX = (
    ("character '\\t'", "a tab where only spaces may be", "indent with spaces"),
    (
        "expected the node content, but found ':'",
        "a value cannot begin with ':' between { } or [ ]",
        "put it in quotes",
    ),
    ("cannot start any token", "no value can begin with this character", _QUOTES),
    (
        "undefined alias",
        "this alias (*name) has no anchor (&name) before it",
        "text that begins with * needs quotes",
    ),
    (
        "mapping values are not allowed",
        "a ':' is not possible here",
        "check the indentation and the line before; text that holds ': ' needs quotes",
    ),
    (
        "could not find expected ':'",
        "a key without its ':'",
        "add it, or indent the line as part of the value before",
    ),
    (
        "expected <block end>",
        "this is not where it should be",
        'check the indentation; an IPv6 address such as "[::1]:80" needs quotes',
    ),
    (
        "expected ',' or ']'",
        "a list in [ ] is not closed",
        "close it with ], or put a comma between its items",
    ),
    (
        "expected ',' or '}'",
        "a mapping in { } is not closed",
        "close it with }, or put a comma between its keys",
    ),
    ("while scanning a quoted scalar", "a quoted text is not closed", "close the quotes"),
    (
        "another document",
        "a second document begins here",
        "one file holds one; use `include:` for several files",
    ),
    (
        "unknown escape character",
        "an unknown escape in double quotes",
        "write the backslash twice, or use single quotes",
    ),
)
"""What the parser says, what we say, and what to do."""


@dataclass(slots=True)
class Tree:
    """What a file holds."""

    value: Any
    """Mappings (with text for keys), lists, text, numbers, booleans and `None`."""
    place: Place
    problems: list[Problem] = field(default_factory=list)
    """What is wrong without making the rest unreadable, such as a key that is written twice."""


def read_tree(source: Source) -> Tree:
    """Reads a file's text. Raises `ConfigRefused` when it is not YAML at all."""
    content = "\n".join(line.read for line in source.lines)
    try:
        node = YAML(typ="safe", pure=True).compose(content)
    except MarkedYAMLError as error:
        raise ConfigRefused([_syntax_problem(source, error)]) from error
    except ReaderError as error:
        raise ConfigRefused([_character_problem(source, content, error)]) from error
    except (YAMLError, RecursionError, ValueError) as error:
        what = "nested too deeply" if isinstance(error, RecursionError) else f"not YAML: {error}"
        raise ConfigRefused([_start(source).problem(what)]) from error
    if node is None:
        return Tree({}, Place(_start(source)))
    return _Reader(source).tree(node)


class _Reader:
    """Turns the nodes of one file into values."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._problems: list[Problem] = []
        self._count = 0
        self._depth = 0

    def tree(self, node: Node) -> Tree:
        value, place = self._read(node)
        return Tree(value, place, self._problems)

    def _read(self, node: Node) -> tuple[Any, Place]:
        self._count += 1
        if self._count > MOST_VALUES:
            raise ConfigRefused(
                [
                    self._span(node).problem(
                        f"the file holds more than {MOST_VALUES} values once its aliases are unfolded",
                        "use fewer aliases (*name)",
                    )
                ]
            )
        if self._depth > DEEPEST:
            raise ConfigRefused(
                [self._span(node).problem("nested too deeply, or an alias that holds itself")]
            )
        tag = str(node.tag)
        if tag not in _KNOWN_TAGS:
            self._problems.append(
                self._span(node).problem(f"the tag {_short_tag(tag)} means nothing here", "remove it")
            )
        if isinstance(node, ScalarNode):
            if any("\ud800" <= char <= "\udfff" for char in str(node.value)):
                what = "half of a surrogate pair is no character"
                self._problems.append(
                    self._span(node).problem(what, "write the character itself, or \\U0001F600")
                )
            return _scalar(node), Place(self._span(node))
        self._depth += 1
        try:
            return self._mapping(node) if isinstance(node, MappingNode) else self._sequence(node)
        finally:
            self._depth -= 1

    def _sequence(self, node: Node) -> tuple[Any, Place]:
        place = Place(self._span(node))
        values = []
        for at, item in enumerate(node.value):
            value, place.children[at] = self._read(item)
            values.append(value)
        return values, place

    def _mapping(self, node: MappingNode) -> tuple[Any, Place]:
        place = Place(self._span(node))
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == f"{_TAG}merge":
                continue
            key = self._key(key_node)
            if key is None:
                continue
            span = self._span(key_node)
            if (first := place.children.get(key)) is not None and first.key is not None:
                self._problems.append(
                    span.problem(
                        f'"{key}" is written twice here', f"first at {first.key.place}; keep one of them"
                    )
                )
                continue
            values[key], place.children[key] = self._read(value_node)
            place.children[key].key = span
        for merged, merged_place in self._merged(node):
            for key in merged.keys() - values.keys():
                values[key], place.children[key] = merged[key], merged_place.children[key]
        return values, place

    def _merged(self, node: MappingNode) -> Iterator[tuple[dict[str, Any], Place]]:
        """The mappings under `<<`, whose keys yield to those that are written out."""
        for key_node, value_node in node.value:
            if key_node.tag != f"{_TAG}merge":
                continue
            for each in value_node.value if isinstance(value_node, SequenceNode) else [value_node]:
                value, place = self._read(each)
                if isinstance(value, dict):
                    yield value, place
                else:
                    self._problems.append(
                        self._span(each).problem(
                            "`<<` takes a mapping, or a list of mappings", "write `<<: *name`"
                        )
                    )

    def _key(self, node: Node) -> str | None:
        if isinstance(node, ScalarNode):
            return str(node.value)
        self._problems.append(
            self._span(node).problem(
                "a key is text, not a list or a mapping", "text that begins with [ or { needs quotes"
            )
        )
        return None

    def _span(self, node: Node) -> Span:
        start, end = node.start_mark, node.end_mark
        if end.line == start.line:
            return Span(self._source, start.line, start.column, end.column)
        line = self._source.lines[start.line].read if start.line < len(self._source.lines) else ""
        return Span(self._source, start.line, start.column, max(start.column, len(line.rstrip())))


def _scalar(node: ScalarNode) -> Any:
    written = str(node.value)
    kind = str(node.tag).removeprefix(_TAG)
    if kind == "null":
        return None
    if kind == "bool":
        return written.lower() == "true"
    try:
        if kind == "int":
            return _integer(written.replace("_", ""))
        if kind == "float":
            return float(written.replace("_", ""))
    except ValueError:
        # `.inf`, `.nan` and numbers with thousands of digits: no place takes them as numbers.
        return written
    return written


def _integer(written: str) -> int:
    for prefix, radix in (("0o", 8), ("0x", 16)):
        if written.lower().startswith(prefix):
            return int(written[2:], radix)
    return int(written)


def _short_tag(tag: str) -> str:
    return f"!!{tag.removeprefix(_TAG)}" if tag.startswith(_TAG) else tag


def _start(source: Source) -> Span:
    return Span(source, 0, 0, 0)


def _syntax_problem(source: Source, error: MarkedYAMLError) -> Problem:
    said = " ".join(str(part) for part in (error.context, error.problem) if part)
    what, hint = next(((ours, hint) for theirs, ours, hint in _SYNTAX if theirs in said), (said, None))
    # Of a quote that is never closed, the parser only notices the end of the file.
    is_unclosed = "unexpected end of stream" in said
    mark = error.context_mark if is_unclosed else error.problem_mark or error.context_mark
    line = min(mark.line, len(source.lines) - 1) if mark else 0
    column = min(mark.column, len(source.lines[line].read)) if mark else 0
    return Span(source, line, column, column + 1).problem(f"not YAML: {what}", hint)


def _character_problem(source: Source, content: str, error: ReaderError) -> Problem:
    before = content[: error.position]
    line, column = before.count("\n"), error.position - (before.rfind("\n") + 1)
    what = f"the character U+{ord(content[error.position]):04X} may not stand in a configuration"
    return Span(source, line, column, column + 1).problem(what, "remove it, or save the file as UTF-8")
