"""A body with which an endpoint did nothing is sent again, as far as its beginning was kept (64 KiB)."""

import pytest
from h2.errors import ErrorCodes
from tests.support.eventually import eventually
from tests.support.http2 import head
from tests.support.http2_endpoint import Behaviour, Call, Http2Endpoint
from tests.support.plane import RunningPlane, pool
from tests.support.raw import request

KEPT = 64 * 1024


def answer_body(call: Call) -> None:
    """Answers with what was said."""
    if call.ended:
        call.respond(body=call.body)


def refuse_first(call: Call) -> None:
    """Refuses the first request once it is whole, and answers the others with what they said."""
    if call.ended and len(call.link.endpoint.calls) == 1:
        call.refuse()
    elif call.ended:
        call.respond(body=call.body)


def refuse_early(call: Call) -> None:
    """Refuses the first request when its head has come."""
    if len(call.link.endpoint.calls) > 1:
        answer_body(call)
    elif not call.ended:
        call.refuse()


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("refuse", [refuse_first, refuse_early], ids=["whole", "at its head"])
def test_a_refused_request_goes_out_again_with_its_body(method: str, refuse: Behaviour) -> None:
    with (
        Http2Endpoint(refuse) as endpoint,
        RunningPlane([pool(endpoint.contract(), protocol="http2")]) as plane,
    ):
        answer = plane.ask(request(method, body=b"hello"))
        assert (answer.status, answer.body) == (200, b"hello")
        assert len(endpoint.calls) == 2


def test_chunks_trailers_and_what_the_client_still_sends_are_all_there_the_second_time() -> None:
    with Http2Endpoint(refuse_early) as endpoint:
        site = pool(endpoint.contract(), protocol="http2")
        with RunningPlane([site]) as plane, plane.connect_http2() as client:
            stream = client.request(head("POST", "/"), b"first ", ends=False)
            eventually(lambda: len(endpoint.calls) == 2, "it was not sent again")
            eventually(lambda: endpoint.calls[1].body == b"first ", "its beginning is missing")
            client.send(stream, b"second")
            client.end(stream, [("x-sum", "2")])
            assert client.answer(stream).body == b"first second"
            assert endpoint.calls[1].trailers == {"x-sum": "2"}


def test_an_upload_that_a_goodbye_left_out_goes_on_on_another_connection() -> None:
    with Http2Endpoint(answer_body) as endpoint:
        site = pool(endpoint.contract(), protocol="http2")
        with RunningPlane([site]) as plane, plane.connect() as client:
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
            eventually(lambda: endpoint.calls[0].body == b"first" if endpoint.calls else False, "no body")
            endpoint.links[0].leave(0)
            eventually(lambda: len(endpoint.calls) == 2, "it was not sent again")
            client.send(b"7\r\n second\r\n0\r\n\r\n")
            assert client.response().body == b"first second"
        assert [call.link.number for call in endpoint.calls] == [0, 1]


@pytest.mark.parametrize(("length", "status"), [(KEPT, 200), (KEPT + 1, 502)], ids=["kept", "too long"])
def test_what_is_longer_than_what_is_kept_is_lost(length: int, status: int) -> None:
    body = bytes(range(256)) * (KEPT // 256) + b"!"
    with Http2Endpoint(refuse_first, window=1 << 20) as endpoint:
        site = pool(endpoint.contract(), protocol="http2")
        with RunningPlane([site]) as plane, plane.connect_http2() as client:
            answer = client.ask(head("POST", "/"), body[:length])
            assert answer.status == status
            assert len(endpoint.calls) == (2 if status == 200 else 1)
            assert status != 200 or answer.body == body[:length]


def test_another_endpoint_gets_the_body_when_one_refuses_whatever_it_is_asked() -> None:
    def refuse(call: Call) -> None:
        if call.ended:
            call.refuse()

    with Http2Endpoint(refuse) as full, Http2Endpoint(answer_body) as free:
        site = pool(full.contract(), free.contract(), protocol="http2")
        with RunningPlane([site]) as plane, plane.connect_http2() as client:
            assert all(client.ask(head("POST", "/"), b"hello").body == b"hello" for _ in range(4))
            assert full.calls


def test_an_idempotent_upload_whose_connection_breaks_is_not_repeated() -> None:
    """Only the endpoint's own word that it did nothing makes a body repeatable."""

    def behave(call: Call) -> None:
        if call.ended:
            call.refuse(ErrorCodes.INTERNAL_ERROR)

    with Http2Endpoint(behave) as endpoint:
        site = pool(endpoint.contract(), protocol="http2")
        with RunningPlane([site]) as plane, plane.connect_http2() as client:
            assert client.ask(head("PUT", "/"), b"hello").status == 502
            assert len(endpoint.calls) == 1
