"""Plan and endpoints to snapshot."""

from tests.support.plans import plan_of, static

from bascule import contract
from bascule.plan.compose import compose
from bascule.plan.found import FoundEndpoint

A = FoundEndpoint("a", contract.TcpAddress("10.0.0.1:80"), 1, None)
B = FoundEndpoint("b", contract.UnixAddress("/run/b"), 3, "b.internal")


def test_found_endpoints_are_those_of_their_pool() -> None:
    snapshot = compose(plan_of(one=(static(),), two=(static(),)), {"one": (A, B), "gone": (A,)}, 7)
    assert (snapshot.contract, snapshot.generation) == (contract.CONTRACT_VERSION, 7)
    assert [(pool.id, pool.endpoints) for pool in snapshot.pools] == [
        ("one", (contract.Endpoint("a", A.address, 1), contract.Endpoint("b", B.address, 3))),
        ("two", ()),
    ]


def test_an_id_that_was_found_twice_counts_once() -> None:
    other = FoundEndpoint("a", contract.TcpAddress("10.0.0.2:80"), 9, None)
    pool = compose(plan_of(one=(static(),)), {"one": (A, other)}, 1).pools[0]
    assert pool.endpoints == (contract.Endpoint("a", A.address, 1),)
