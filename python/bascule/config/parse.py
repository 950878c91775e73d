"""Step 2: text → typed model, or every problem of shape at once."""

from typing import Any

from pydantic import ValidationError

from bascule.config.load import Text
from bascule.config.messages import problems_of
from bascule.config.model import Config
from bascule.config.places import Place, Places, Span, merged
from bascule.config.problems import ConfigRefused, Problem
from bascule.config.python_file import run
from bascule.config.salvage import salvage
from bascule.config.tree import Tree, read_tree
from bascule.config.values import shown

_BY_NAME = ("listeners", "pools", "stores")
"""What several files add to; everything else is said once."""


def parse(text: Text) -> Config:
    """The typed model of `text`, which knows where each of its values is written.

    A `.py` text is executed. Raises `ConfigRefused` with every problem of shape, those that `load`
    found among them. What only makes no sense together is found by `bascule.plan.build`.
    """
    if text.sources[0].path.endswith(".py"):
        return run(text.sources[0])
    tree = _merged_tree(text)
    places = Places(tree.place)
    problems = [*text.problems, *tree.problems]
    try:
        config = Config.model_validate(tree.value)
    except ValidationError as error:
        problems += problems_of(error, Config, places, broken=text.problems)
        rest = salvage(tree.value, tree.place, error)
        raise ConfigRefused(problems, rest and rest.written_at(places)) from error
    if problems:
        raise ConfigRefused(problems, config.written_at(places))
    return config.written_at(places)


def _merged_tree(text: Text) -> Tree:
    """One tree of all files. Raises `ConfigRefused` when one is not YAML, naming the others' mistakes too."""
    whole: Tree | None = None
    for source in text.sources:
        try:
            tree = read_tree(source)
        except ConfigRefused as refused:
            # A variable that could not be filled in may well be why the rest makes no sense.
            raise ConfigRefused(text.problems or refused.problems) from refused
        if not isinstance(tree.value, dict):
            what = f"expected a configuration (listeners: …, pools: …), not {shown(tree.value)}"
            raise ConfigRefused([*text.problems, tree.place.value.problem(what)])
        _drop_what_is_not_configuration(tree, len(text.sources) > 1)
        whole = tree if whole is None else _add(whole, tree)
    assert whole is not None, "a text has at least one source"
    return whole


def _drop_what_is_not_configuration(tree: Tree, has_includes: bool) -> None:
    """Takes out `include`, which `load` has followed, and `x-…`, a place for anchors to stand."""
    for key in [key for key in tree.value if key == "include" or key.startswith("x-")]:
        place = tree.place.children.pop(key)
        del tree.value[key]
        span = place.key or place.value
        if key == "include" and span.start != 0:
            tree.problems.append(
                span.problem(
                    "`include` is not at the start of its line", "write it there, on a line of its own"
                )
            )


def _add(whole: Tree, tree: Tree) -> Tree:
    """Adds an included file: its listeners, pools and stores, and what has not been said yet."""
    problems = [*whole.problems, *tree.problems]
    value: dict[str, Any] = dict(whole.value)
    for key, added in tree.value.items():
        if key in _BY_NAME and isinstance(added, dict) and isinstance(value.get(key, {}), dict):
            known, below = value.get(key, {}), tree.place.children[key].children
            problems += [
                _twice(f'{key[:-1]} "{name}"', below[name], whole.place.children[key].children[name])
                for name in added.keys() & known.keys()
            ]
            value[key] = {**added, **known}
        elif key in value:
            problems.append(_twice(f'"{key}"', tree.place.children[key], whole.place.children[key]))
        else:
            value[key] = added
    merged(whole.place, tree.place.children)
    return Tree(value, whole.place, problems)


def _twice(what: str, second: Place, first: Place) -> Problem:
    at: Span = second.key or second.value
    return at.problem(
        f"{what} is defined twice", f"first at {(first.key or first.value).place}; keep one of them"
    )
