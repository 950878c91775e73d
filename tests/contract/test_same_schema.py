"""Both halves describe the same messages."""

import json
from typing import Any

import pytest
from tests.contract.messages import MESSAGES
from tests.contract.shapes import of_schema, of_type

from bascule.contract import CONTRACT_VERSION
from bascule.plane import _plane


@pytest.fixture(scope="module")
def rust() -> dict[str, Any]:
    schemas: dict[str, Any] = json.loads(_plane.contract_schema())
    return schemas


def test_both_halves_have_the_same_messages(rust: dict[str, Any]) -> None:
    assert rust.keys() == MESSAGES.keys()


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_has_one_shape_in_both_halves(rust: dict[str, Any], name: str) -> None:
    assert of_type(MESSAGES[name]) == of_schema(rust[name], rust[name])


def test_both_halves_speak_the_same_version() -> None:
    assert _plane.contract_version() == CONTRACT_VERSION
