"""A certificate through its years: got, renewed, refused, and kept. On a virtual clock."""

import itertools
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from tests.support.toy_authority import busy
from tests.unit.acme.conftest import EPOCH, Run, balancer

from bascule.acme.failure import OrderFailed
from bascule.acme.keeper import State
from bascule.acme.renewal import DAY, HOUR, LONGEST_PAUSE_S
from bascule.observe.orders import describe, problems


def only(run: Run) -> State:
    (state,) = run.keepers.states()
    return state


async def test_it_is_got_at_once_and_renewed_at_two_thirds_of_its_life(run: Run) -> None:
    await run.keepers.adopt(run.planned("a.example"))
    await run.clock.advance(60)
    first = only(run).certificate
    assert first is not None and first.names == ("a.example",)
    assert run.got == [3.0]
    assert describe(run.keepers.states())[0]["state"] == "valid"
    await run.clock.advance(56 * DAY)
    assert only(run).certificate == first
    await run.clock.advance(5 * DAY)
    second = only(run).certificate
    assert second is not None and second.id != first.id and second.material.key != first.material.key
    assert len(run.authority.asked_at) == 2


@pytest.mark.parametrize(("key", "bits"), [("rsa2048", 2048), ("p384", 384)])
async def test_keys_are_of_the_kind_that_is_wanted(run: Run, key: str, bits: int) -> None:
    await run.keepers.adopt(run.planned("a.example", key=key))
    await run.clock.advance(60)
    certificate = run.storage().certificate(("a.example",), run.wall())
    assert certificate is not None
    made = load_pem_private_key(str(certificate.material.key).encode(), None)
    assert isinstance(made, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) and made.key_size == bits


async def test_an_authority_that_fails_is_asked_ever_more_seldom_and_the_old_one_stays(run: Run) -> None:
    await run.keepers.adopt(run.planned("a.example"))
    await run.clock.advance(60)
    first = only(run).certificate
    run.authority.fails_with = OrderFailed("the authority says: caa: no", "change it")
    await run.clock.advance(75 * DAY)
    asked = run.authority.asked_at[1:]
    pauses = [later - before for before, later in itertools.pairwise(asked)]
    assert 200 < pauses[0] < 400
    assert pauses[:6] == sorted(pauses[:6]) and max(pauses) <= LONGEST_PAUSE_S + 60
    assert 15 < len(asked) < 40
    assert only(run).certificate == first
    (line,) = problems(run.keepers.states(), run.wall())
    assert "a.example" in line and "caa: no; " in line and "the old one is valid until" in line
    run.authority.fails_with = None
    await run.clock.advance(2 * DAY)
    assert only(run).certificate != first and only(run).record.failures == 0
    assert not list(problems(run.keepers.states(), run.wall()))


async def test_what_the_authority_asks_for_is_waited_for(run: Run) -> None:
    run.authority.fails_with = busy(3 * DAY)
    await run.keepers.adopt(run.planned("a.example"))
    await run.clock.advance(3 * DAY - 1)
    assert len(run.authority.asked_at) == 1
    await run.clock.advance(2 * HOUR)
    assert len(run.authority.asked_at) == 2


async def test_a_restart_does_not_forget_how_long_to_wait(tmp_path: Path) -> None:
    async with balancer(tmp_path) as run:
        run.authority.fails_with = busy(DAY)
        await run.keepers.adopt(run.planned("a.example"))
        await run.clock.advance(60)
    async with balancer(tmp_path, run.clock, run.authority) as again:
        await again.keepers.adopt(again.planned("a.example"))
        await again.clock.advance(HOUR)
        assert len(run.authority.asked_at) == 1
        assert describe(again.keepers.states())[0]["last_failure"] is not None
        # Whoever changes the settings wants to know at once whether that helps.
        await again.keepers.adopt(again.planned("a.example", email="ops@example.com"))
        await again.clock.advance(60)
        assert len(run.authority.asked_at) == 2


async def test_balancers_that_share_the_storage_order_once(tmp_path: Path) -> None:
    async with balancer(tmp_path) as one, balancer(tmp_path, one.clock, one.authority, seed=2) as other:
        for each in (one, other):
            await each.keepers.adopt(each.planned("a.example"))
        await one.clock.advance(70 * DAY)
        assert len(one.authority.asked_at) == 2
        assert only(one).certificate == only(other).certificate


async def test_an_authority_that_comes_to_another_balancer_finds_the_answer(tmp_path: Path) -> None:
    async with balancer(tmp_path) as one, balancer(tmp_path, one.clock, one.authority) as other:
        other.tasks.start("answers", other.keepers.answers.follow())
        await other.keepers.adopt(other.planned("b.example"))
        await one.clock.advance(60)
        one.authority.looks = lambda: [it.id for it in other.snapshot().listeners[0].routes]
        await one.keepers.adopt(one.planned("a.example"))
        await one.clock.advance(60)
        assert one.authority.saw[-1] == ["acme:1", "respond"]
        await one.clock.advance(3)
        assert [it.id for it in other.snapshot().listeners[0].routes] == ["respond"]


async def test_the_authority_finds_the_answer_before_all_other_routes(run: Run) -> None:
    run.authority.looks = lambda: run.snapshot().listeners
    await run.keepers.adopt(run.planned("a.example"))
    await run.clock.advance(60)
    (listeners,) = run.authority.saw
    plain, secure = listeners
    assert plain.routes[0].matchers[0].options["paths"] == [
        {"kind": "exact", "value": "/.well-known/acme-challenge/token-0-a.example"}
    ]
    assert plain.routes[0].action.body == "proof-0.of-a.example"
    assert [it.id for it in secure.routes] == ["respond"]


async def test_over_tls_the_challenge_is_no_certificate_of_the_listener(run: Run) -> None:
    run.authority.looks = lambda: run.snapshot().listeners[1].tls
    await run.keepers.adopt(run.planned("a.example", challenge="tls-alpn-01"))
    await run.clock.advance(60)
    (tls,) = run.authority.saw
    assert tls.certificates == () and tls.challenges[0].names == ("a.example",)
    after = run.snapshot().listeners[1].tls
    assert after is not None and after.challenges == ()


async def test_the_authority_can_ask_for_a_renewal(run: Run) -> None:
    await run.keepers.adopt(run.planned("a.example"))
    await run.clock.advance(60)
    run.authority.wishes = EPOCH + 10 * DAY
    await run.clock.advance(9 * DAY)
    assert len(run.authority.asked_at) == 1
    await run.clock.advance(2 * DAY)
    assert len(run.authority.asked_at) >= 2


async def test_what_cannot_be_shown_does_not_take_the_place_of_what_can(run: Run) -> None:
    await run.keepers.adopt(run.planned("a.example"))
    await run.clock.advance(60)
    first = only(run).certificate
    run.authority.issues_for = ["other.example"]
    await run.clock.advance(61 * DAY)
    assert only(run).certificate == first
    assert "is not for a.example" in str(only(run).record.why)


async def test_a_fault_of_a_library_does_not_end_renewal(run: Run) -> None:
    run.authority.fails_with = RuntimeError("never thought of")
    await run.keepers.adopt(run.planned("a.example"))
    await run.clock.advance(60)
    assert "never thought of" in str(only(run).record.why)
    run.authority.fails_with = None
    await run.clock.advance(HOUR)
    assert only(run).certificate is not None


async def test_who_is_no_longer_named_is_no_longer_renewed_and_the_others_go_on(run: Run) -> None:
    await run.keepers.adopt(run.planned("a.example", "b.example"))
    await run.clock.advance(60)
    assert len(run.authority.asked_at) == 2
    await run.keepers.adopt(run.planned("b.example", "c.example"))
    await run.clock.advance(60)
    assert [it.names for it in run.keepers.states()] == [("b.example",), ("c.example",)]
    assert len(run.authority.asked_at) == 3
    await run.keepers.adopt(None)
    await run.clock.advance(100 * DAY)
    assert len(run.authority.asked_at) == 3 and run.keepers.states() == ()


async def test_nothing_of_a_key_is_in_what_is_said(run: Run) -> None:
    await run.keepers.adopt(run.planned("a.example"))
    await run.clock.advance(60)
    certificate = only(run).certificate
    assert certificate is not None
    for said in (repr(run.keepers.states()), str(describe(run.keepers.states()))):
        assert "PRIVATE" not in said and str(certificate.material.key)[40:60] not in said


async def test_a_storage_that_cannot_be_written_is_told_with_its_path(run: Run) -> None:
    (run.folder / "store").write_text("a file")
    await run.keepers.adopt(run.planned("a.example"))
    await run.clock.advance(60)
    assert run.authority.asked_at == []
    (line,) = problems(run.keepers.states(), run.wall())
    assert str(run.folder / "store") in line and "acme: {storage: …}" in line
