"""Generates messages of the contract: any that its types allow."""

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from bascule import contract

MESSAGES: dict[str, Any] = {
    "Settings": contract.Settings,
    "Snapshot": contract.Snapshot,
    "Material": contract.Material,
    "Mark": contract.Mark,
    "Receipt": contract.Receipt,
    "Question": contract.Question,
    "Explanation": contract.Explanation,
    "Stats": contract.Stats,
    "Event": contract.Event,
    "Catalog": contract.Catalog,
}
"""Every message that crosses, by the name that both halves give it."""

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SCALARS = st.none() | st.booleans() | st.integers(-(2**31), 2**31) | TEXT
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXT,
    contract.Secret: TEXT.map(contract.Secret),
    bool: st.booleans(),
    object: JSON,
}


def messages(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of a type of the contract."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return st.integers(0, arguments[1].largest)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is tuple:
        return st.lists(messages(arguments[0]), max_size=3).map(tuple)
    if origin in (Union, types.UnionType):
        return st.one_of([st.none() if it is type(None) else messages(it) for it in arguments])
    if isinstance(kind, type) and is_dataclass(kind):
        hints = get_type_hints(kind, include_extras=True)
        return st.builds(kind, **{field.name: messages(hints[field.name]) for field in fields(kind)})
    is_mapping = isinstance(origin, type) and issubclass(origin, Mapping)
    return st.dictionaries(TEXT, JSON, max_size=3) if is_mapping else PLAIN[kind]
