"""The JSON Schema that editors get."""

from typing import Any

import pytest

from bascule.config.schema import schema


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    return schema()


def test_every_key_has_a_description(described: dict[str, Any]) -> None:
    sections = {"Config": described, **described["$defs"]}
    silent = [
        f"{section}.{key}"
        for section, each in sections.items()
        for key, value in each.get("properties", {}).items()
        # One that only refers to a section has the section's.
        if "description" not in value and "$ref" not in value
    ]
    assert silent == []


def test_unknown_keys_are_wrong_to_editors_too(described: dict[str, Any]) -> None:
    sections = {"Config": described, **described["$defs"]}
    assert [name for name, each in sections.items() if each.get("additionalProperties") is not False] == []


@pytest.mark.parametrize(
    ("section", "key", "short"),
    [
        ("Listener", "bind", {"type": "string"}),
        ("Pool", "endpoints", {"type": "string"}),
        ("Pool", "check", {"type": "string"}),
        ("Pool", "retries", {"type": "integer"}),
        ("Match", "host", {"type": "string"}),
        ("Route", "redirect", {"type": "string"}),
        ("Route", "mirror", {"type": "string"}),
        ("Pool", "agent", {"type": ["integer", "string"]}),
        ("Pool", "load", {"type": "string"}),
        ("Pool", "queue", {"enum": ["off", False]}),
        ("Sessions", "by", {"enum": ["client", "host", "path", "uri"]}),
    ],
)
def test_short_forms_are_right_to_editors(
    described: dict[str, Any], section: str, key: str, short: Any
) -> None:
    assert short in described["$defs"][section]["properties"][key]["anyOf"]


def test_keys_are_those_of_the_file(described: dict[str, Any]) -> None:
    assert {"from", "to"} == described["$defs"]["PrefixChange"]["properties"].keys()
    assert "with" in described["$defs"]["Rewrite"]["properties"]
    assert "python" not in described["$defs"]["Check"]["properties"], "a file cannot hold a function"
    assert "include" in described["properties"]
