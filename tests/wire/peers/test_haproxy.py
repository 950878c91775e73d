"""HAProxy behind us, as an endpoint that speaks HTTP/2 and takes WebSockets there (RFC 8441)."""

from tests.support.plane import RunningPlane, pool
from tests.support.processes import haproxy_over_http2
from tests.support.websocket import WebSocketEndpoint, open_socket

from bascule import contract


def test_messages_of_any_size_pass_through_a_stream_to_it() -> None:
    with WebSocketEndpoint() as endpoint, haproxy_over_http2(endpoint.name) as path:
        site = pool(contract.Endpoint("haproxy", contract.UnixAddress(path), weight=1), protocol="http2")
        with RunningPlane([site]) as plane:
            with open_socket(plane) as one, open_socket(plane) as other:
                for message in ("ping", bytes(3_000_000), "pong"):
                    for client in (one, other):
                        client.send(message)
                        assert client.recv() == message
            assert plane.endings(2) == {"tunnelled": 2}
