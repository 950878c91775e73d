"""Plan and endpoints to snapshot."""

from dataclasses import replace

from tests.support.plans import plan_of, static

from bascule import contract
from bascule.contract import codec
from bascule.plan.compose import compose, without_secrets
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


def test_an_endpoint_keeps_its_tier_zone_and_limit() -> None:
    found = FoundEndpoint("a", A.address, 1, None, tier=2, zone="eu-1", limit=40)
    pool = compose(plan_of(one=(static(),)), {"one": (found,)}, 1).pools[0]
    assert pool.endpoints == (contract.Endpoint("a", A.address, 1, 2, "eu-1", 40),)


def test_a_snapshot_for_eyes_has_no_secrets_and_all_else() -> None:
    secret = contract.Secret("hunter2-hunter2-hunter2")
    cookie = contract.IssuedCookie(
        name="a",
        path="/",
        domain=None,
        secure=False,
        http_only=True,
        same_site="lax",
        lifetime_ms=None,
        keys=(secret, secret),
        encrypted=False,
    )
    sessions = contract.Sessions(contract.BySessionCookie(cookie), strict=True)
    snapshot = compose(plan_of(one=(static(),)), {}, 1)
    whole = replace(
        snapshot,
        pools=(replace(snapshot.pools[0], sessions=sessions),),
        stores=(contract.Store("s", A.address, "me", secret, 0, "", 50),),
    )
    shown = codec.encode(without_secrets(whole))
    assert shown == codec.encode(whole).replace(secret.encode(), "…".encode())


def test_an_id_that_was_found_twice_counts_once() -> None:
    other = FoundEndpoint("a", contract.TcpAddress("10.0.0.2:80"), 9, None)
    pool = compose(plan_of(one=(static(),)), {"one": (A, other)}, 1).pools[0]
    assert pool.endpoints == (contract.Endpoint("a", A.address, 1),)
