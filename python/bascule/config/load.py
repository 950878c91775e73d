"""Step 1: file → text, with variables filled in and includes found; each line knows where it came from."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bascule.config.places import Source, Span
from bascule.config.problems import ConfigRefused, Problem
from bascule.config.tree import read_tree
from bascule.config.variables import Line, fill

LARGEST = 4 << 20
"""Bytes that all files of one configuration may have together. YAML takes about 3 s a MiB to read."""

MOST_FILES = 1000

_INCLUDE = re.compile(r"include[ \t]*:")
_GLOB = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Text:
    """The text of a configuration: one file, and the files that it includes."""

    sources: tuple[Source, ...]
    """The main file first; includes follow in their order, each before what it includes."""
    files: tuple[Path, ...]
    """All files it was read from, and the directories whose new files would be included; for watching."""
    problems: tuple[Problem, ...] = ()
    """What is wrong so far: variables that are not set, includes that are not there."""

    @classmethod
    def of(cls, content: str, name: str, environment: Mapping[str, str] | None = None) -> "Text":
        """A text that does not come from a file. Includes are read relative to `name`.

        Raises `ConfigRefused` like `load`.
        """
        loading = _Loading(os.environ if environment is None else environment)
        loading.add(Path(name), content)
        return loading.text()


def load(path: Path, environment: Mapping[str, str] | None = None) -> Text:
    """The text of the file at `path`; blocks while it reads.

    Raises `ConfigRefused` when a file cannot be read, is too large, is not UTF-8, or includes itself.
    Variables that are not set are among `Text.problems`, so that they are reported with all the rest.
    """
    loading = _Loading(os.environ if environment is None else environment)
    loading.add_file(path, None)
    return loading.text()


@dataclass(slots=True)
class _Loading:
    """Reads a file and what it includes, depth first."""

    environment: Mapping[str, str]
    sources: list[Source] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    size: int = 0
    chain: list[Path] = field(default_factory=list)

    def text(self) -> Text:
        return Text(tuple(self.sources), tuple(self.files), tuple(self.problems))

    def add_file(self, path: Path, included_by: Span | None) -> None:
        resolved = path.resolve()
        if resolved in self.chain:
            names = " → ".join(str(each) for each in [*self.chain, resolved])
            raise ConfigRefused(
                [_at(included_by, path, "this file includes itself", f"the circle is {names}")]
            )
        if resolved in self.files:
            return
        if len(self.files) >= MOST_FILES:
            raise ConfigRefused([_at(included_by, path, f"more than {MOST_FILES} files are included")])
        content = self._read(path, included_by)
        self.files.append(resolved)
        self.chain.append(resolved)
        self.add(path, content)
        self.chain.pop()

    def add(self, path: Path, content: str) -> None:
        if path.suffix == ".py":
            self.sources.append(Source(str(path), tuple(Line(line, line) for line in content.split("\n"))))
            return
        source = self._source(path, content)
        self.sources.append(source)
        for pattern, span in _includes(source):
            self._include(path, pattern, span)

    def _read(self, path: Path, included_by: Span | None) -> str:
        try:
            # Never more than may be kept: `path` might be a device or a pipe that does not end.
            with path.open("rb") as file:
                content = file.read(LARGEST - self.size + 1)
        except OSError as error:
            what = f"cannot read {path}: {(error.strerror or str(error)).lower()}"
            raise ConfigRefused([_at(included_by, path, what, _reading_hint(path))]) from error
        self.size += len(content)
        if self.size > LARGEST:
            what = f"the configuration is larger than {LARGEST >> 20} MiB"
            raise ConfigRefused([_at(included_by, path, what, "is this the right file?")])
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = content[: error.start].count(b"\n") + 1
            what = f"byte {error.object[error.start]:#04x} is not UTF-8"
            raise ConfigRefused(
                [Problem(str(path), line, None, 1, what, "save the file as UTF-8")]
            ) from error

    def _source(self, path: Path, content: str) -> Source:
        lines, unfilled = [], []
        for at, written in enumerate(content.replace("\r\n", "\n").split("\n")):
            line, missing = fill(written, self.environment)
            lines.append(line)
            unfilled += [(at, each) for each in missing]
        source = Source(str(path), tuple(lines))
        self.problems += [
            Problem(str(path), at + 1, it.start + 1, it.end - it.start, it.what, it.hint, lines[at].shown)
            for at, it in unfilled
        ]
        return source

    def _include(self, path: Path, pattern: str, span: Span) -> None:
        if not _GLOB.search(pattern):
            self.add_file(path.parent / pattern, span)
            return
        folder = (path.parent / pattern).parent
        if _GLOB.search(str(folder)):
            self.problems.append(
                span.problem("`*` may only stand in the last part of an include", "write conf.d/*.yaml")
            )
            return
        # Watched too: a file that appears here is a change of the configuration.
        self.files.append(folder.resolve())
        for each in sorted(folder.glob(Path(pattern).name)):
            if each.is_file() and not each.name.startswith("."):
                self.add_file(each, span)


def _includes(source: Source) -> Iterator[tuple[str, Span]]:
    """What the top-level key `include` names, read without reading the rest of the file."""
    starts = [at for at, line in enumerate(source.lines) if _INCLUDE.match(line.read)]
    for start in starts[:1]:
        end = start + 1
        while end < len(source.lines) and (source.lines[end].read[:1] in ("", " ", "\t", "#", "-", "]")):
            end += 1
        blank = Line("", "")
        block = (*([blank] * start), *source.lines[start:end])
        tree = read_tree(Source(source.path, block))
        if not isinstance(tree.value, dict):
            return
        whole = tree.place.children.get("include", tree.place)
        listed = tree.value.get("include")
        for at, pattern in enumerate(listed if isinstance(listed, list) else [listed]):
            span = whole.children[at].value if isinstance(listed, list) else whole.value
            if not isinstance(pattern, str) or not pattern:
                raise ConfigRefused([span.problem("`include` takes paths", "write include: [conf.d/*.yaml]")])
            yield pattern, Span(source, span.line, span.start, span.end)


def _at(included_by: Span | None, path: Path, what: str, hint: str | None = None) -> Problem:
    if included_by is not None:
        return included_by.problem(what, hint)
    return Problem(str(path), None, None, 1, what, hint)


def _reading_hint(path: Path) -> str | None:
    if path.is_dir():
        return "name a file in it"
    if path.exists():
        return None
    beside = sorted(each.name for each in path.parent.glob("bascule.*")) if path.parent.is_dir() else []
    return (
        f"there is {', '.join(beside)} in the same directory"
        if beside
        else "check the path and the current directory"
    )
