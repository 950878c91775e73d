"""Durations, sizes and shares as people write them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bascule import units
from bascule.units import UnitRefused

SETTINGS = settings(derandomize=True, deadline=None, database=None)


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("250ms", 250),
        ("5s", 5_000),
        ("1h30m", 5_400_000),
        ("1.5s", 1_500),
        (" 2m ", 120_000),
        ("0s", 0),
        ("366d", units.LONGEST_MS),
    ],
)
def test_a_duration_is_milliseconds(text: str, milliseconds: int) -> None:
    assert units.parse_duration(text) == milliseconds


@pytest.mark.parametrize(
    "text", ["", "5", "s", "5 s", "-1s", "5S", "1s2x", "0.5ms", "367d", "1e3s", "٣s", "9" * 400 + "s"]
)
def test_what_is_not_a_duration_is_refused(text: str) -> None:
    with pytest.raises(UnitRefused):
        units.parse_duration(text)


def test_a_bare_number_is_told_its_unit() -> None:
    with pytest.raises(UnitRefused) as refused:
        units.parse_duration("5")
    assert refused.value.hint == "add the unit: 5s or 5ms"


@SETTINGS
@given(st.integers(0, units.LONGEST_MS))
def test_a_duration_that_was_formatted_parses_to_itself(milliseconds: int) -> None:
    assert units.parse_duration(units.format_duration(milliseconds)) == milliseconds


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1500", 1500),
        ("64KiB", 65_536),
        ("16k", 16_384),
        ("16K", 16_384),
        ("1kB", 1000),
        ("1.5MiB", 1_572_864),
        ("10 MB", 10_000_000),
        ("2g", 2 << 30),
        ("512B", 512),
    ],
)
def test_a_size_is_bytes(text: str, size: int) -> None:
    assert units.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "KiB", "-1", "1.5", "64KX", "0.3B", "9999999GiB", "1 2"])
def test_what_is_not_a_size_is_refused(text: str) -> None:
    with pytest.raises(UnitRefused):
        units.parse_size(text)


@SETTINGS
@given(st.integers(0, units.LARGEST_BYTES))
def test_a_size_that_was_formatted_parses_to_itself(size: int) -> None:
    assert units.parse_size(units.format_size(size)) == size


@SETTINGS
@given(st.integers(0, 1000))
def test_a_share_that_was_formatted_parses_to_itself(percent: int) -> None:
    assert units.parse_percent(units.format_percent(percent)) == percent


@pytest.mark.parametrize("text", ["", "20", "0.2", "2.5%", "-1%", "%"])
def test_what_is_not_a_share_is_refused(text: str) -> None:
    with pytest.raises(UnitRefused):
        units.parse_percent(text)


@SETTINGS
@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    for parse in (units.parse_duration, units.parse_size, units.parse_percent):
        try:
            assert parse(text) >= 0
        except UnitRefused as refused:
            assert refused.message.startswith("expected")
