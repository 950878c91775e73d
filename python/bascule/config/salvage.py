"""What is left of a configuration without its mistakes, so that the rest of it can be checked in one go.

An operator who mends ten mistakes should not be told of the eleventh only then. Nothing that is
salvaged ever runs.
"""

from typing import Any

from pydantic import ValidationError

from bascule.config.messages import written_path
from bascule.config.model import Config
from bascule.config.places import Path, Place

_ROUNDS = 5
"""Taking out one mistake can bring out another, such as a route that does nothing any more."""

_STAND_INS: dict[str, dict[str, Any]] = {
    "listeners": {"bind": "127.0.0.1:0"},
    "pools": {"endpoints": "127.0.0.1:1"},
    "stores": {"address": "127.0.0.1:1"},
}
_NOTHING: dict[str, Any] = {"respond": 200}


def salvage(value: Any, place: Place, error: ValidationError) -> Config | None:
    """The configuration without what `error` and its consequences are about; `None` when nothing is left.

    Takes things out of `value` and `place` themselves: both are of no use to the caller afterwards.
    Names stay defined, so that no new problem arises from the loss of an old one.
    """
    for _ in range(_ROUNDS):
        # From the back, so that positions in a list stay right while its items are taken out.
        for details in sorted(error.errors(include_url=False), key=lambda it: str(it["loc"]), reverse=True):
            _take_out(value, place, written_path(details["loc"]))
        try:
            return Config.model_validate(value)
        except ValidationError as next_error:
            error = next_error
    return None


def _take_out(value: Any, place: Place, path: Path) -> None:
    """Removes the nearest thing to `path` that is written, or puts something harmless in its place."""
    parents: list[tuple[Any, Place, str | int]] = []
    for part in path:
        if not _holds(value, part):
            continue
        parents.append((value, place, part))
        value, place = value[part], place.children.get(part, place)
    if not parents:
        return
    container, around, key = parents[-1]
    trail = tuple(part for _, _, part in parents)
    if len(trail) == 2 and trail[0] in _STAND_INS:
        kept = container[key] if isinstance(container[key], dict) else {}
        container[key] = {**kept, **_STAND_INS[str(trail[0])]}
    elif len(trail) == 4 and trail[2] == "routes":
        container[key] = dict(_NOTHING)
    elif isinstance(container, list):
        _remove_item(container, around, int(key))
    else:
        del container[key]


def _holds(value: Any, part: str | int) -> bool:
    if isinstance(value, list):
        return isinstance(part, int) and part < len(value)
    return isinstance(value, dict) and part in value


def _remove_item(items: list[Any], around: Place, at: int) -> None:
    del items[at]
    below = [
        place
        for position, place in sorted(around.children.items(), key=lambda it: int(it[0]))
        if position != at
    ]
    around.children = dict(enumerate(below))
