"""What a log line looks like, for programs and on a terminal."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from bascule.observe import logs


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _leave_logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers, root.level = before[0], before[1]
    structlog.reset_defaults()


def test_a_line_for_programs_is_one_json_object() -> None:
    out = io.StringIO()
    logs.configure("info", out)
    structlog.get_logger("x").warning("endpoint is down", endpoint="10.0.0.1:8000", reason="a\nb")
    line = json.loads(out.getvalue())
    assert out.getvalue().count("\n") == 1
    assert line.pop("time").endswith("Z")
    assert line == {
        "message": "endpoint is down",
        "level": "warning",
        "endpoint": "10.0.0.1:8000",
        "reason": "a\nb",
    }


def test_lines_of_the_standard_library_have_the_same_form() -> None:
    out = io.StringIO()
    logs.configure("info", out)
    logging.getLogger("uvicorn.error").error("cannot %s", "accept")
    assert json.loads(out.getvalue())["message"] == "cannot accept"


def test_what_an_endpoint_says_cannot_steer_a_terminal() -> None:
    out = Terminal()
    logs.configure("info", out)
    structlog.get_logger("x").info("endpoint is down", reason="\x1b[2J\x9bfake\r\nup")
    assert r"\x1b[2J\x9bfake\x0d\x0aup" in out.getvalue()
    assert "\x1b[2J" not in out.getvalue()


def test_lines_below_the_level_are_not_said_until_the_level_changes() -> None:
    out = io.StringIO()
    logs.configure("warning", out)
    log = structlog.get_logger("x")
    log.info("one")
    logs.set_level("info")
    log.info("two")
    assert [json.loads(line)["message"] for line in out.getvalue().splitlines()] == ["two"]


def test_a_traceback_shows_no_values() -> None:
    """A terminal would be shown the local variables by default: keys among them."""
    for out in (io.StringIO(), Terminal()):
        logs.configure("debug", out)
        key = "".join(["-----BEGIN ", "PRIVATE KEY-----"])
        try:
            [][len(key)]
        except IndexError:
            structlog.get_logger("x").exception("task crashed")
        assert "IndexError" in out.getvalue()
        assert key not in out.getvalue()
