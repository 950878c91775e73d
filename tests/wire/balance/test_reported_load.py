"""What endpoints say about their load: beside their answers, and when they are asked."""

from collections import Counter

from tests.support.endpoints import Conversation, ScriptedEndpoint, answering, response
from tests.support.plane import RunningPlane, pool
from tests.support.raw import request

REPORT = "endpoint-load-metrics: TEXT application_utilization={}, rps_fractional=100"


def test_prequal_asks_endpoints_and_sends_requests_to_the_emptier_ones() -> None:
    def busy(in_flight: int) -> ScriptedEndpoint:
        def script(conversation: Conversation) -> None:
            while True:
                if conversation.read().target == "/load":
                    report = f'{{"named_metrics": {{"rif": {in_flight}, "latency_ms": {1 + in_flight}}}}}'
                    conversation.send(response(body=report.encode()))
                else:
                    conversation.send(response(body=str(in_flight).encode()))

        return ScriptedEndpoint(script)

    with busy(50) as full, busy(0) as empty, busy(60) as fuller:
        options = {"probe": "/load"}
        with (
            RunningPlane([pool(full, empty, fuller, algorithm="prequal", options=options)]) as plane,
            plane.connect() as client,
        ):
            served = Counter(client.ask(request()).body for _ in range(300))
        probes = [
            it for endpoint in (full, empty, fuller) for it in endpoint.requests if it.target == "/load"
        ]
        assert len(probes) > 100
        assert served[b"0"] > 200


def test_reports_change_nothing_where_the_pool_does_not_go_by_them_and_reach_the_client() -> None:
    loaded = response("200 OK", b"loaded", REPORT.format(0.9))
    idle = response("200 OK", b"idle", REPORT.format(0.1))
    with (
        ScriptedEndpoint(answering(loaded)) as one,
        ScriptedEndpoint(answering(idle)) as other,
        RunningPlane([pool(one, other, algorithm="weighted_round_robin")]) as plane,
        plane.connect() as client,
    ):
        assert Counter(client.ask(request()).body for _ in range(40)) == {b"loaded": 20, b"idle": 20}
        assert client.ask(request()).fields.one("endpoint-load-metrics") is not None
