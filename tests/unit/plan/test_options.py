"""Options against the schema of the catalogue."""

from typing import Any

import pytest

from bascule.plan.options import misfits


@pytest.mark.parametrize(
    ("value", "schema", "whats"),
    [
        (1, {"type": "integer", "minimum": 1, "maximum": 3}, []),
        (True, {"type": "integer"}, ["expected a whole number, not true"]),
        (1.5, {"type": "integer"}, ["expected a whole number, not the number 1.5"]),
        (1, {"type": "number"}, []),
        (0, {"type": "integer", "minimum": 1}, ["expected a number of at least 1, not 0"]),
        (4, {"type": ["integer", "null"], "maximum": 3}, ["expected a number of at most 3, not 4"]),
        ("x", {"type": ["integer", "null"]}, ["expected a whole number or nothing, not 'x'"]),
        ("", {"type": "string", "minLength": 1}, ["expected text of at least 1 characters"]),
        ("b", {"enum": ["a", "c"]}, ["expected a or c, not 'b'"]),
        ("b", {"const": "a"}, ["expected a, not 'b'"]),
        ([1, "x"], {"type": "array", "items": {"type": "integer"}}, ["expected a whole number, not 'x'"]),
        ([], {"type": "array", "minItems": 1}, ["expected at least 1 of them"]),
        (
            {"kind": "b"},
            {"oneOf": [{"properties": {"kind": {"const": "a"}}}, {"properties": {"kind": {"const": "b"}}}]},
            [],
        ),
        ("x", {"anyOf": [{"type": "integer"}, {"type": "null"}]}, ["expected a whole number, not 'x'"]),
        ({"a": 1}, {"type": "object", "additionalProperties": False}, ['there is no option "a"']),
        ({"a": 1}, {"type": "object"}, []),
        ({}, {"type": "object", "required": ["a"]}, ['the option "a" is missing']),
        ({"a": 1}, True, []),
        ({"a": 1}, {"some-keyword-of-the-future": 5}, []),
    ],
)
def test_options_fit_their_schema_or_are_told_why_not(value: object, schema: Any, whats: list[str]) -> None:
    assert [misfit.what for misfit in misfits(value, schema)] == whats


def test_a_misfit_knows_its_place() -> None:
    schema = {"properties": {"a": {"items": {"type": "integer"}}}}
    (misfit,) = misfits({"a": [1, "x"]}, schema)
    assert misfit.path == ("a", 1)
