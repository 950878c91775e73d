"""A process that runs out of file descriptors serves whom it has, and the others once there is room."""

from contextlib import ExitStack

from tests.support.endpoints import ScriptedEndpoint
from tests.support.plane import listener, pool
from tests.support.processes import HostedPlane
from tests.support.raw import RawClient, request

from bascule import contract
from bascule.contract import codec

DESCRIPTORS = 120


def test_idle_clients_do_not_take_the_descriptors_that_endpoints_need() -> None:
    with ExitStack() as ending, ScriptedEndpoint() as endpoint:
        snapshot = contract.Snapshot(
            contract=contract.CONTRACT_VERSION,
            generation=1,
            listeners=(listener(),),
            pools=(pool(endpoint),),
            access_log=None,
        )
        hosted = ending.enter_context(
            HostedPlane(codec.encode(snapshot), stuck_for=60.0, descriptors=DESCRIPTORS)
        )
        clients = [ending.enter_context(RawClient(hosted.address)) for _ in range(2 * DESCRIPTORS)]
        # The first have been accepted; the others wait in the backlog.
        for client in clients[:20]:
            assert client.ask(request()).status == 200
        for client in clients[:-1]:
            client.close()
        assert clients[-1].ask(request()).status == 200
