"""Python may be stuck for as long as it likes: the data plane does not notice."""

from tests.support.load import Load
from tests.support.plane import listener, pool
from tests.support.processes import EndpointProgram, HostedPlane

from bascule import contract
from bascule.contract import codec


async def test_a_stuck_control_plane_costs_no_request() -> None:
    with EndpointProgram("one") as endpoint:
        snapshot = contract.Snapshot(
            contract=contract.CONTRACT_VERSION,
            generation=1,
            listeners=(listener(),),
            pools=(pool(endpoint.contract()),),
            access_log=None,
        )
        with HostedPlane(codec.encode(snapshot), stuck_for=60.0) as hosted:
            async with Load(hosted.address, clients=20) as load:
                await load.more(10_000)
                assert hosted.is_stuck(), "Python was to be stuck all along"
            assert load.statuses().keys() == {200}
            assert max(outcome.seconds for outcome in load.outcomes) < 1.0
