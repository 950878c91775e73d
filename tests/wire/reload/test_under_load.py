"""Reload after reload while 50 clients ask: nobody notices."""

import pytest
from tests.support.load import Load
from tests.support.plane import RunningPlane, listener, pool, route
from tests.support.processes import EndpointProgram
from tests.support.routes import says

RELOADS = 136


@pytest.mark.parametrize("threads", [1, 2])
async def test_136_reloads_under_50_clients_cost_no_request(threads: int) -> None:
    with (
        EndpointProgram("one") as one,
        EndpointProgram("two") as two,
        RunningPlane([pool(one.contract())], threads=threads) as plane,
    ):
        async with Load(plane.address(), clients=50) as load:
            await load.more(100)
            for number in range(RELOADS):
                members = ([one], [one, two], [two])[number % 3]
                endpoints = [member.contract() for member in members]
                plane.apply([pool(*endpoints)], [listener(route(response_headers=says(str(number))))])
                await load.more(10)
        assert load.statuses().keys() == {200}
        stats = plane.wait_stats(lambda stats: stats.draining == () and stats.listeners[0].in_flight == 0)
        assert stats.generation == RELOADS + 1
        assert stats.listeners[0].accepted == 50, "every client kept its connection"
        assert stats.listeners[0].requests == len(load.outcomes)
        # Of endpoints that came back the count began anew; what there is went well.
        assert plane.endings(1).keys() == {"ok"}
        drained = [plane.wait_event("generation_drained").what for _ in range(RELOADS + 1)]
        generations = sorted(one.generation for one in drained if one.kind == "generation_drained")
        assert generations == list(range(RELOADS + 1))
