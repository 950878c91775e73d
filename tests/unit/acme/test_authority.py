"""What the library says → what operators read."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
import requests
from acme import client, errors, messages
from tests.unit.acme.conftest import plan_of

from bascule.acme.authority import _Heard, _told, connect
from bascule.acme.failure import OrderFailed
from bascule.acme.storage import Storage

DIRECTORY = "https://ca.example/dir"
PREFIX = "urn:ietf:params:acme:error:"


def problem(kind: str, detail: str, **more: object) -> messages.Error:
    """A problem document, as an authority sends it."""
    made = messages.Error.from_json({"type": f"{PREFIX}{kind}", "detail": detail, **more})
    assert isinstance(made, messages.Error)
    return made


def heard(retry_after: str | None) -> _Heard:
    """After an answer with this header."""
    net = client.ClientNetwork()
    listening = _Heard(net)
    response = requests.Response()
    if retry_after is not None:
        response.headers["Retry-After"] = retry_after
    for hook in net.session.hooks["response"]:
        hook(response)
    return listening


def told(error: Exception, retry_after: str | None = None) -> OrderFailed:
    with pytest.raises(OrderFailed) as failed, _told(DIRECTORY, heard(retry_after)):
        raise error
    return failed.value


def test_a_problem_document_is_told_with_its_type_its_detail_and_what_to_do() -> None:
    failed = told(problem("caa", "CAA record for a.example prevents issuance"))
    assert failed.message == "the authority says: caa: CAA record for a.example prevents issuance"
    assert failed.hint is not None and "CAA record of the domain" in failed.hint


def test_of_several_problems_the_first_is_told_with_its_name() -> None:
    below = {
        "type": f"{PREFIX}rejectedIdentifier",
        "detail": "on a list",
        "identifier": {"type": "dns", "value": "b.example"},
    }
    failed = told(problem("malformed", "some", subproblems=[below]))
    assert failed.message == "the authority says about b.example: rejectedIdentifier: on a list"


def test_what_convinced_nobody_is_told_with_its_name() -> None:
    challenge = {
        "type": "http-01",
        "url": "https://ca.example/c",
        "token": "DGyRejmCefe7v4NfDGDKfA",
        "status": "invalid",
        "error": {"type": f"{PREFIX}connection", "detail": "Connection refused"},
    }
    body = messages.Authorization.from_json(
        {"status": "invalid", "identifier": {"type": "dns", "value": "a.example"}, "challenges": [challenge]}
    )
    failed = told(errors.ValidationError([messages.AuthorizationResource(body=body, uri="u")]))
    assert failed.message == "the authority says about a.example: connection: Connection refused"
    assert failed.hint is not None and "is the port open" in failed.hint


@pytest.mark.parametrize("as_date", [False, True])
def test_how_long_to_stay_away_is_read_as_seconds_and_as_a_date(as_date: bool) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True)
    wait = told(problem("rateLimited", "too many"), later if as_date else "7200").retry_after_s
    assert wait is not None and 7190 < wait < 7210


def test_what_the_last_answer_does_not_say_is_not_asked_for() -> None:
    assert heard(None).retry_after_s is None
    assert heard("soon").retry_after_s == pytest.approx(0, abs=5)


def test_control_characters_of_an_authority_do_not_reach_a_terminal() -> None:
    failed = told(problem("serverInternal", "\x1b[31mred\nline" + "x" * 1000))
    assert "\x1b" not in failed.message and "\n" not in failed.message and len(failed.message) <= 300


def test_an_authority_that_does_not_answer_is_told_with_its_address(tmp_path: Path) -> None:
    planned = plan_of(tmp_path, "a.example", directory="https://127.0.0.1:1/dir").acme
    assert planned is not None
    with pytest.raises(OrderFailed, match=r"https://127\.0\.0\.1:1/dir cannot be reached: .*refused"):
        connect(planned, Storage(planned.storage, planned.directory))
