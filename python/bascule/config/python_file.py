"""A configuration written in Python: runs a `bascule.py` and finds in it what each value is written as."""

import ast
import sys
import traceback
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from pydantic import ValidationError

from bascule.config import model
from bascule.config.messages import problems_of
from bascule.config.model import Config
from bascule.config.places import Place, Places, Source, Span
from bascule.config.problems import ConfigRefused, Problem
from bascule.config.section import Section
from bascule.errors import BasculeError


def run(source: Source) -> Config:
    """The `config` that the file assigns. Raises `ConfigRefused` pointing into the file.

    Executes the file as a module of its own; modules beside it can be imported, and are read once
    for the life of the process.
    """
    content = "\n".join(line.written for line in source.lines)
    top = Span(source, 0, 0, 0)
    try:
        syntax = ast.parse(content, source.path)
        code = compile(content, source.path, "exec")
    except (SyntaxError, ValueError, RecursionError) as error:
        raise ConfigRefused([_syntax_problem(source, error)]) from error
    config = _execute(code, source, syntax).get("config")
    expression = _assigned(syntax)
    place = _place(source, expression) if expression is not None else Place(top)
    if config is None:
        raise ConfigRefused(
            [top.problem("the file assigns no `config`", "write config = Config(listeners=…, pools=…)")]
        )
    if not isinstance(config, Config):
        what = f"`config` is a {type(config).__name__}, not a Config"
        raise ConfigRefused([place.value.problem(what, "write config = Config(listeners=…, pools=…)")])
    return config.written_at(Places(place))


def _execute(code: Any, source: Source, syntax: ast.Module) -> dict[str, Any]:
    folder = str(Path(source.path).resolve().parent)
    # A module like any other: dataclasses, for one, look theirs up by name.
    module = sys.modules["bascule_config"] = ModuleType("bascule_config")
    module.__file__ = source.path
    names = vars(module)
    sys.path.insert(0, folder)
    try:
        exec(code, names)
    except (Exception, SystemExit) as error:
        raise ConfigRefused(_problems(error, source, syntax)) from error
    finally:
        sys.path.remove(folder)
    return names


def _problems(error: BaseException, source: Source, syntax: ast.Module) -> list[Problem]:
    span, node = _raised_at(error.__traceback__, source, syntax)
    if isinstance(error, ConfigRefused):
        return list(error.problems)
    if isinstance(error, ValidationError):
        section = getattr(model, error.title, Section)
        place = _place(source, node) if node is not None else Place(span)
        return problems_of(error, section, Places(place))
    if isinstance(error, BasculeError):
        return [span.problem(error.message, error.hint)]
    return [span.problem(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)]


def _raised_at(
    trace: TracebackType | None, source: Source, syntax: ast.Module
) -> tuple[Span, ast.expr | None]:
    """Where in the file an exception came from: the last of its lines that ran, and the call on it."""
    frames = [frame for frame in traceback.extract_tb(trace) if frame.filename == source.path]
    if not frames or frames[-1].lineno is None:
        return Span(source, 0, 0, 0), None
    frame = frames[-1]
    at = (frame.lineno, frame.colno, frame.end_lineno, frame.end_colno)
    for node in ast.walk(syntax):
        if (
            isinstance(node, ast.Call)
            and (node.lineno, node.col_offset, node.end_lineno, node.end_col_offset) == at
        ):
            return _span(source, node), node
    line = frames[-1].lineno - 1
    text = source.lines[line].written
    return Span(source, line, len(text) - len(text.lstrip()), len(text.rstrip())), None


def _assigned(syntax: ast.Module) -> ast.expr | None:
    """What the file assigns to `config`, last."""
    for statement in reversed(syntax.body):
        targets = (
            statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        )
        if any(isinstance(target, ast.Name) and target.id == "config" for target in targets):
            value = getattr(statement, "value", None)
            return value if isinstance(value, ast.expr) else None
    return None


def _place(source: Source, node: ast.expr) -> Place:
    """Where the values inside an expression are written: calls are mappings, displays are what they are."""
    place = Place(_span(source, node))
    if isinstance(node, ast.Call):
        for keyword in node.keywords:
            if keyword.arg is not None:
                below = _place(source, keyword.value)
                start = _span(source, keyword)
                below.key = Span(source, start.line, start.start, start.start + len(keyword.arg))
                place.children[keyword.arg.removesuffix("_")] = below
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant):
                place.children[str(key.value)] = below = _place(source, value)
                below.key = _span(source, key)
    elif isinstance(node, ast.List | ast.Tuple):
        place.children.update({at: _place(source, item) for at, item in enumerate(node.elts)})
    return place


def _span(source: Source, node: ast.expr | ast.keyword) -> Span:
    line = source.lines[node.lineno - 1].written
    start = len(line.encode()[: node.col_offset].decode(errors="replace"))
    if node.end_lineno == node.lineno and node.end_col_offset is not None:
        return Span(
            source, node.lineno - 1, start, len(line.encode()[: node.end_col_offset].decode(errors="replace"))
        )
    return Span(source, node.lineno - 1, start, len(line.rstrip()))


def _syntax_problem(source: Source, error: Exception) -> Problem:
    if not isinstance(error, SyntaxError):
        return Span(source, 0, 0, 0).problem(f"not Python: {error}")
    line = min((error.lineno or 1), len(source.lines)) - 1
    start = max(0, (error.offset or 1) - 1)
    end = error.end_offset - 1 if error.end_offset and error.end_lineno == error.lineno else start + 1
    return Span(source, line, start, end).problem(f"not Python: {error.msg}")
