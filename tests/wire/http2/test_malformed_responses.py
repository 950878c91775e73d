"""Responses of endpoints of HTTP/2 that are not what they say: no client takes them for whole ones."""

from collections.abc import Callable

import pytest
from tests.support.http2_endpoint import Call, Http2Endpoint
from tests.support.plane import RunningPlane, pool
from tests.support.raw import request


def with_length(told: str, body: bytes) -> Callable[[Call], None]:
    return lambda call: call.respond(200, body, [("content-length", told)])


def with_fields(*fields: tuple[str, str]) -> Callable[[Call], None]:
    return lambda call: call.respond(200, b"ok", fields)


RESPONSES: dict[str, Callable[[Call], None]] = {
    "shorter than its length": with_length("5", b"abc"),
    "longer than its length": with_length("2", b"evil"),
    "a length and nothing": with_length("5", b""),
    "a length that is no number": with_length("2x", b"ok"),
    "two lengths": with_fields(("content-length", "2"), ("content-length", "3")),
    "a line break in a value": with_fields(("x", "a\r\nx-evil: 1")),
    "a response in a value": with_fields(("x", "a\r\n\r\nHTTP/1.1 200 OK\r\nevil: 1\r\n\r\n")),
    "NUL in a value": with_fields(("x", "a\0evil")),
    "a line break in a name": with_fields(("x\r\nx-evil", "1")),
    "a colon in a name": with_fields(("x-evil:y", "1")),
    "a field of the connection": with_fields(("x-evil", "1"), ("connection", "x-evil")),
    "a framing": with_fields(("x-evil", "1"), ("transfer-encoding", "chunked")),
}


def misbehaving(respond: Callable[[Call], None]) -> Http2Endpoint:
    def behave(call: Call) -> None:
        if not call.ended:
            return
        call.link.h2.config.validate_outbound_headers = False
        call.link.h2.config.normalize_outbound_headers = False
        if call[":path"] == "/good":
            call.respond(200, b"ok")
        else:
            respond(call)

    return Http2Endpoint(behave)


@pytest.mark.parametrize("http2", [True, False], ids=["to HTTP/2", "to HTTP/1"])
@pytest.mark.parametrize("respond", RESPONSES.values(), ids=RESPONSES)
def test_it_reaches_no_client_as_a_whole_response(respond: Callable[[Call], None], http2: bool) -> None:
    with misbehaving(respond) as endpoint:
        with RunningPlane([pool(endpoint.contract(), protocol="http2")]) as plane:
            if http2:
                with plane.connect_http2() as client:
                    answer = client.ask()
                    assert answer.status >= 500 or answer.reset is not None
                    assert b"evil" not in answer.body
                    assert not any("evil" in name for name in answer.fields)
            else:
                with plane.connect() as client:
                    client.send(request("GET", "/", "Connection: close"))
                    said = client.rest()
                    assert said.startswith(b"HTTP/1.1 5") or not _is_whole(said)
                    assert b"evil" not in said
            assert plane.ask(request(target="/good")).body == b"ok"


def test_a_pseudo_field_of_requests_goes_no_further() -> None:
    with misbehaving(with_fields((":path", "/evil"))) as endpoint:
        with RunningPlane([pool(endpoint.contract(), protocol="http2")]) as plane:
            answer = plane.ask(request())
            assert (answer.status, answer.body) == (200, b"ok")
            assert "evil" not in repr(answer)


def _is_whole(said: bytes) -> bool:
    head, _, body = said.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(lengths) and len(body) >= int(lengths[0].partition(b":")[2])
