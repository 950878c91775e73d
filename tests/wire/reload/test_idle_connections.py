"""Idle connections to an endpoint that is gone are closed, whoever still holds the old generation."""

from tests.support.endpoints import ScriptedEndpoint, Step, answering, play
from tests.support.plane import RunningPlane, listener, pool, prefix, route
from tests.support.raw import request

SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"


def test_a_tunnel_does_not_keep_idle_connections_to_endpoints_that_are_gone() -> None:
    with (
        ScriptedEndpoint(play(Step.READ, SWITCHED)) as talking,
        ScriptedEndpoint(answering()) as leaving,
        RunningPlane(
            [pool(talking, id="talk"), pool(leaving)],
            [listener(route("talk", id="talk", match=[prefix("/talk")]), route())],
        ) as plane,
        plane.connect() as client,
    ):
        client.send(request("GET", "/talk", "Connection: upgrade", "Upgrade: echo"))
        assert client.head().status == 101
        assert plane.ask(request()).status == 200
        plane.wait_stats(lambda stats: [it.idle for it in stats.endpoints] == [0, 1])
        plane.apply([pool(talking, id="talk")], [listener(route("talk"))])
        leaving.conversations[0].wait_end()
        assert plane.stats().draining == (1,)
        talking.conversations[0].send(b"still here")
        assert client.stream.exactly(10) == b"still here"
