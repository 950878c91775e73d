"""When two readings of a `bascule.py` hold the same check."""

from typing import Any

import pytest

from bascule.plan.own_check import OwnCheck

WRITTEN = """
import json

LIMIT, WORDS = 3, {"ok": ["yes"]}
client = object()

class Probe:
    async def ask(self, endpoint):
        return endpoint == "well"

def is_fine(answer):
    return answer in [word for word in WORDS["ok"]] or LIMIT > 5

async def well(endpoint, strict=False):
    client, json
    return is_fine("yes") and await Probe().ask(endpoint)
"""


def read(content: str, name: str = "well") -> OwnCheck:
    names: dict[str, Any] = {"__name__": "bascule_config"}
    exec(content, names)
    return OwnCheck(names[name])


def test_another_reading_of_the_same_file_holds_the_same_check() -> None:
    assert read(WRITTEN) == read(WRITTEN)


def test_where_a_check_is_written_does_not_matter() -> None:
    assert read(WRITTEN) == read(f"# about this file\n\nunrelated = 1\n{WRITTEN}")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("strict=False", "strict=True"),
        ("LIMIT, WORDS = 3", "LIMIT, WORDS = 4"),
        ('"ok": ["yes"]', '"ok": ["yes", "no"]'),
        ("LIMIT > 5", "LIMIT > 6"),
        ("LIMIT > 5", "LIMIT > True"),
        ("import json", "import random as json"),
        ('== "well"', '!= "well"'),
        ("is_fine", "is_good"),
        ("client = object()", "client = []"),
    ],
)
def test_a_change_of_what_a_check_does_or_names_makes_another(old: str, new: str) -> None:
    assert old in WRITTEN
    assert read(WRITTEN) != read(WRITTEN.replace(old, new))


def test_functions_that_call_each_other_are_compared_too() -> None:
    content = """
def ping(n): return pong(n)
def pong(n): return ping(n) if n else 1
async def well(endpoint): return ping(2)
"""
    assert read(content) == read(content)
    assert read(content) != read(content.replace("else 1", "else 2"))


def test_what_holds_itself_is_never_the_same_as_another() -> None:
    content = "held = []\nheld.append(held)\nasync def well(endpoint): return held"
    assert read(content) != read(content)


def test_what_is_no_function_is_the_same_only_as_itself() -> None:
    class Probe:
        async def __call__(self, endpoint: object) -> bool:
            return True

    one = Probe()
    assert OwnCheck(one) == OwnCheck(one)
    assert OwnCheck(one) != OwnCheck(Probe())


async def test_a_check_awaits_its_function() -> None:
    assert await read(WRITTEN)("well") is True
