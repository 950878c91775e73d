"""Messages survive the way to bytes and back, and their bytes do not change between releases."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.contract import samples
from tests.contract.messages import JSON, MESSAGES, messages

from bascule import contract
from bascule.contract import codec
from bascule.contract.codec import CodecRefused

FOLDER = Path(__file__).parent / "golden"
OLDER = sorted(FOLDER.glob("*_older.json"))
GOLDEN = sorted(set(FOLDER.glob("*.json")) - set(OLDER))


@pytest.mark.parametrize("name", MESSAGES)
@settings(
    derandomize=True, max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
@given(choice=st.data())
def test_a_message_that_was_encoded_decodes_to_itself(name: str, choice: st.DataObject) -> None:
    message = choice.draw(messages(MESSAGES[name]))
    assert codec.decode(MESSAGES[name], codec.encode(message)) == message


@settings(derandomize=True, max_examples=200, deadline=None, database=None)
@given(value=JSON)
def test_bytes_are_canonical(value: Any) -> None:
    encoded = codec.encode(value)
    again = codec.encode(json.loads(encoded))
    assert encoded == again
    assert encoded == json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


@pytest.mark.parametrize("name", samples.SAMPLES)
def test_released_bytes_are_still_what_we_write(name: str) -> None:
    path = FOLDER / f"v{contract.CONTRACT_VERSION}_{name}.json"
    assert codec.encode(samples.SAMPLES[name]) == path.read_bytes()


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_released_bytes_are_still_read(path: Path) -> None:
    name = path.stem.partition("_")[2]
    assert codec.decode(type(samples.SAMPLES[name]), path.read_bytes()) == samples.SAMPLES[name]


@pytest.mark.parametrize("path", OLDER, ids=lambda path: path.stem)
def test_an_older_message_does_without_the_fields_that_came_later(path: Path) -> None:
    name = path.stem.partition("_")[2].removesuffix("_older")
    written = path.read_bytes()
    message = codec.decode(type(samples.SAMPLES[name]), written)
    assert missing(json.loads(written), json.loads(codec.encode(message))) == []


def missing(older: Any, newer: Any, place: str = "") -> list[str]:
    """Where `newer` does not say what `older` does; it may say more."""
    if isinstance(older, dict) and isinstance(newer, dict):
        return [it for key, each in older.items() for it in missing(each, newer.get(key), f"{place}.{key}")]
    if isinstance(older, list) and isinstance(newer, list) and len(older) == len(newer):
        pairs = enumerate(zip(older, newer, strict=True))
        return [it for at, (one, other) in pairs for it in missing(one, other, f"{place}[{at}]")]
    return [] if older == newer else [place]


def test_marks_are_a_list() -> None:
    marks = (contract.Mark("api", "a", up=False), contract.Mark("api", "b", weight=3))
    assert codec.decode(tuple[contract.Mark, ...], codec.encode(marks)) == marks


def test_a_missing_optional_field_is_none() -> None:
    assert codec.decode(contract.Mark, b'{"pool":"a","endpoint":"b"}') == contract.Mark("a", "b")


@pytest.mark.parametrize(
    ("kind", "content", "reason"),
    [
        (contract.Mark, b'{"pool":"a"}', "message: missing fields: endpoint"),
        (contract.Mark, b'{"pool":"a","endpoint":"b","u":1}', "message: unknown fields: u"),
        (contract.Mark, b'{"pool":1,"endpoint":"b"}', "pool: expected text, not 1"),
        (contract.Mark, b'{"pool":"a","endpoint":"b","up":1}', "up: expected true or false, not 1"),
        (contract.Mark, b'{"pool":"a","endpoint":"b","weight":true}', "weight: expected an integer from 0"),
        (contract.Mark, b'{"pool":"a","endpoint":"b","weight":4294967296}', "weight: expected an integer"),
        (contract.Mark, b"[]", "message: expected an object (Mark), not []"),
        (contract.Mark, b"{", "not JSON"),
        (
            contract.Event,
            b'{"at_ms":1,"what":{"kind":"gone"}}',
            "what: expected an object whose kind is one of",
        ),
        (tuple[contract.Mark, ...], b'[{"pool":"a"}]', "[0]: missing fields: endpoint"),
        (
            contract.Receipt,
            b'{"generation":1,"live":1,"digest":"","binds":{},"problems":[]}',
            "binds: expected a list",
        ),
    ],
)
def test_what_is_not_the_message_is_refused_by_place(kind: Any, content: bytes, reason: str) -> None:
    with pytest.raises(CodecRefused) as refused:
        codec.decode(kind, content)
    assert str(refused.value).startswith(reason)


def test_text_that_is_not_unicode_is_refused() -> None:
    with pytest.raises(CodecRefused, match="not Unicode"):
        codec.encode(contract.Mark("\ud800", "a"))


def test_floats_have_no_place() -> None:
    with pytest.raises(CodecRefused, match="no place for float"):
        codec.encode(contract.Algorithm("ring", {"share": 0.5}))


@pytest.mark.parametrize(
    ("content", "digest"),
    [(b"", "cbf29ce484222325"), (b"a", "af63dc4c8601ec8c"), (b"foobar", "85944171f73967e8")],
)
def test_the_digest_is_fnv_1a(content: bytes, digest: str) -> None:
    assert codec.digest(content) == digest
