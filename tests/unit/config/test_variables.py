"""Variables of the environment in a line, and where on it they were written."""

import pytest

from bascule.config.variables import fill

ENVIRONMENT = {"HOST": "10.0.0.1", "EMPTY": "", "TWO_LINES": "a\nb"}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("bind: ${HOST}:80", "bind: 10.0.0.1:80"),
        ("a: ${HOST}${HOST}", "a: 10.0.0.110.0.0.1"),
        ("a: ${NOT_SET:-default}", "a: default"),
        ("a: ${EMPTY:-default}", "a: default"),
        ("a: ${EMPTY}", "a: "),
        ("a: ${NOT_SET:-}", "a: "),
        ("a: $${HOST} $HOST $", "a: ${HOST} $HOST $"),
        ("a: b # ${NOT_SET}", "a: b # ${NOT_SET}"),
        ("# ${NOT_SET}", "# ${NOT_SET}"),
        ("a: '# ${HOST}'", "a: '# 10.0.0.1'"),
        ('a: "\\"# ${HOST}" # ${NOT_SET}', 'a: "\\"# 10.0.0.1" # ${NOT_SET}'),
        ("a: b#${HOST}", "a: b#10.0.0.1"),
    ],
)
def test_variables_are_filled_in(written: str, read: str) -> None:
    line, unfilled = fill(written, ENVIRONMENT)
    assert (line.read, unfilled) == (read, ())


@pytest.mark.parametrize(
    ("written", "what"),
    [
        ("a: ${NOT_SET}", "the environment variable NOT_SET is not set"),
        ("a: ${a b}", "${a b} is not a variable"),
        ("a: ${}", "${} is not a variable"),
        ("a: ${HOST", "${ is not closed"),
        ("a: ${TWO_LINES}", "the environment variable TWO_LINES holds a line break or control character"),
    ],
)
def test_what_cannot_be_filled_in_is_told(written: str, what: str) -> None:
    _, unfilled = fill(written, ENVIRONMENT)
    assert [(it.what, it.start) for it in unfilled] == [(what, 3)]


def test_columns_lead_back_to_what_was_written() -> None:
    line, _ = fill("a: ${HOST}:${NOT_SET:-80} b", ENVIRONMENT)
    assert line.read == "a: 10.0.0.1:80 b"
    assert line.written_columns(0, 1) == (0, 1)
    assert line.written_columns(3, 14) == (3, 25)
    assert line.written_columns(5, 7) == (3, 10), "a part of a value points at the whole variable"
    assert line.written_columns(15, 16) == (26, 27)
