"""Sessions stay on their endpoint: by a cookie of ours, by the application's, or by a part of the request."""

import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import pytest
from tests.support.endpoints import ScriptedEndpoint, Step, answering, play, response
from tests.support.plane import RunningPlane, pool
from tests.support.raw import request
from tests.support.strict import Response

from bascule import contract
from bascule.plane.plane import SnapshotRefused

KEY = contract.Secret("a key of thirty-two characters!!")
TABLE = contract.SessionTable(expiry_ms=60_000, entries=100)


def issued(keys: tuple[contract.Secret, ...] = (KEY,), **changes: Any) -> contract.Sessions:
    settings: dict[str, Any] = {
        "name": "bascule",
        "path": "/",
        "domain": None,
        "secure": False,
        "http_only": True,
        "same_site": "lax",
        "lifetime_ms": None,
        "encrypted": False,
    }
    cookie = contract.IssuedCookie(keys=keys, **(settings | changes))
    return contract.Sessions(contract.BySessionCookie(cookie), strict=False)


def by_header(**changes: Any) -> contract.Sessions:
    return contract.Sessions(
        contract.ByKey(contract.HeaderKey("X-User"), TABLE), **({"strict": False} | changes)
    )


@contextmanager
def site(
    count: int, sessions: contract.Sessions, **options: Any
) -> Iterator[tuple[list[ScriptedEndpoint], RunningPlane]]:
    """Endpoints that answer with their names, behind a pool that keeps sessions."""
    with ExitStack() as ending:
        endpoints = []
        for _ in range(count):
            endpoint = ending.enter_context(ScriptedEndpoint())
            endpoint.script = answering(response(body=endpoint.name.encode()))
            endpoints.append(endpoint)
        plane = ending.enter_context(RunningPlane([pool(*endpoints, sessions=sessions, **options)]))
        yield endpoints, plane


def cookie_of(answer: Response) -> str | None:
    """The cookie that an answer sets, as the browser sends it back."""
    field = answer.fields.one("Set-Cookie")
    return None if field is None else field.partition(";")[0]


def ask(plane: RunningPlane, cookie: str | None = None) -> Response:
    fields = [] if cookie is None else [f"Cookie: theme=dark; {cookie}"]
    answer = plane.ask(request("GET", "/", *fields))
    assert answer.status == 200
    return answer


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_cookie_of_ours_keeps_a_client_on_its_endpoint_and_shows_nobody_which(encrypted: bool) -> None:
    with site(4, issued(encrypted=encrypted)) as (endpoints, plane):
        first = ask(plane)
        cookie = cookie_of(first)
        assert cookie is not None
        assert re.fullmatch(r"bascule=[A-Za-z0-9_-]+", cookie)
        assert "; Path=/; HttpOnly; SameSite=Lax" in (first.fields.one("Set-Cookie") or "")
        for endpoint in endpoints:
            assert endpoint.name.partition(":")[2] not in cookie
        again = [ask(plane, cookie) for _ in range(8)]
        assert {answer.body for answer in again} == {first.body}
        assert {cookie_of(answer) for answer in again} == {None}
        assert plane.pool().sessions_kept == 8


def test_another_balancer_with_the_key_sends_the_client_to_the_same_endpoint() -> None:
    with site(4, issued()) as (endpoints, plane):
        first = ask(plane)
        with RunningPlane([pool(*reversed(endpoints), sessions=issued())]) as other:
            assert ask(other, cookie_of(first)).body == first.body
        with RunningPlane(
            [pool(*endpoints, sessions=issued((contract.Secret("another key, of another site"),)))]
        ) as stranger:
            assert cookie_of(ask(stranger, cookie_of(first))) is not None
            assert stranger.pool().sessions_refused == 1


def test_sessions_outlive_a_change_of_the_key() -> None:
    newer = contract.Secret("the key that comes after the first")
    with site(4, issued()) as (endpoints, plane):
        first = ask(plane)
        plane.apply([pool(*endpoints, sessions=issued((newer, KEY)))])
        renewed = ask(plane, cookie_of(first))
        assert renewed.body == first.body
        plane.apply([pool(*endpoints, sessions=issued((newer,)))])
        assert ask(plane, cookie_of(renewed)).body == first.body


@pytest.mark.parametrize("cookie", ["bascule=", "bascule=x", "bascule=" + "A" * 500, "bascule=\u00e9"])
def test_a_cookie_that_is_not_ours_is_ignored_and_counted(cookie: str) -> None:
    with site(2, issued()) as (_, plane):
        assert cookie_of(ask(plane, cookie)) is not None
        assert plane.pool().sessions_refused == 1


def test_a_session_stays_while_its_endpoint_drains_and_moves_once_when_it_is_gone() -> None:
    with site(3, issued()) as (_, plane):
        first = ask(plane)
        home = first.body.decode()
        plane.mark(contract.Mark("site", home, draining=True))
        assert {ask(plane, cookie_of(first)).body for _ in range(4)} == {first.body}
        assert first.body not in {ask(plane).body for _ in range(9)}
        plane.mark(contract.Mark("site", home, maintenance=True))
        moved = ask(plane, cookie_of(first))
        assert moved.body != first.body
        plane.mark(contract.Mark("site", home, draining=False, maintenance=False))
        assert {ask(plane, cookie_of(moved)).body for _ in range(6)} == {moved.body}
        assert plane.pool().sessions_moved == 1


def test_a_session_whose_endpoint_refuses_moves_although_no_check_has_noticed() -> None:
    with site(2, issued()) as (endpoints, plane):
        first = ask(plane)
        home = next(endpoint for endpoint in endpoints if endpoint.name == first.body.decode())
        home.__exit__(None, None, None)
        moved = ask(plane, cookie_of(first))
        assert moved.body != first.body
        assert cookie_of(moved) is not None


def test_an_endpoint_that_left_the_pool_is_not_looked_for() -> None:
    with site(2, issued()) as (endpoints, plane):
        first = ask(plane)
        stay = [endpoint for endpoint in endpoints if endpoint.name != first.body.decode()]
        plane.apply([pool(*stay, sessions=issued())])
        assert cookie_of(ask(plane, cookie_of(first))) is not None


def test_the_cookie_of_the_application_is_learned() -> None:
    sessions = contract.Sessions(contract.ByLearnedCookie("JSESSIONID", TABLE), strict=False)
    with ExitStack() as ending:
        endpoints = [ending.enter_context(ScriptedEndpoint()) for _ in range(3)]
        for number, endpoint in enumerate(endpoints):
            body = endpoint.name.encode()
            endpoint.script = answering(
                response("200 OK", body, f"Set-Cookie: JSESSIONID=s{number}; Path=/"), response(body=body)
            )
        plane = ending.enter_context(RunningPlane([pool(*endpoints, sessions=sessions)]))
        firsts = [ask(plane) for _ in range(3)]
        assert plane.pool().sessions_remembered == 3
        for first in firsts:
            assert {ask(plane, cookie_of(first)).body for _ in range(4)} == {first.body}
        plane.apply([pool(*endpoints, sessions=sessions)])
        assert ask(plane, cookie_of(firsts[0])).body == firsts[0].body
        # Endpoints that share their sessions do not issue the cookie again after a failover.
        plane.mark(contract.Mark("site", firsts[0].body.decode(), up=False))
        assert len({ask(plane, cookie_of(firsts[0])).body for _ in range(6)}) == 1
        assert plane.pool().sessions_moved == 1


def test_a_refused_snapshot_loses_no_session() -> None:
    def known(entries: int) -> contract.Sessions:
        table = contract.SessionTable(expiry_ms=60_000, entries=entries)
        return contract.Sessions(contract.ByKey(contract.HeaderKey("X-User"), table), strict=False)

    with site(3, known(100)) as (endpoints, plane):
        with pytest.raises(SnapshotRefused):
            plane.apply([pool(*endpoints, sessions=known(50), panic_percent=101)])
        users = [f"X-User: {number}" for number in range(9)]
        before = [plane.ask(request("GET", "/", user)).body for user in users]
        plane.apply([pool(*endpoints, sessions=known(50))])
        assert plane.pool().sessions_remembered == 9
        assert [plane.ask(request("GET", "/", user)).body for user in users] == before


def test_a_part_of_the_request_names_the_session() -> None:
    with site(4, by_header()) as (_, plane):
        homes = {}
        for user in ("ada", "grace", "linus"):
            bodies = {plane.ask(request("GET", "/", f"X-User: {user}")).body for _ in range(5)}
            assert len(bodies) == 1
            homes[user] = bodies
        assert plane.pool().sessions_remembered == 3
        assert len({plane.ask(request()).body for _ in range(8)}) == 4


def is_busy(name: str, stats: contract.Stats) -> bool:
    return any(endpoint.endpoint == name and endpoint.in_flight == 1 for endpoint in stats.endpoints)


def test_a_strict_session_waits_for_its_endpoint_and_a_relaxed_one_goes_elsewhere_for_now() -> None:
    full = contract.Protection(limit=contract.FixedLimit(1), queue=contract.Queue(10, 30, None))
    user = request("GET", "/", "X-User: ada")
    for strict, status, moved in ((False, 200, True), (True, 503, False)):
        with site(2, by_header(strict=strict), protection=full, idle=0) as (endpoints, plane):
            first = plane.ask(user)
            home = next(endpoint for endpoint in endpoints if endpoint.name == first.body.decode())
            held = threading.Event()
            home.script = play(Step.READ, held, response(body=first.body))
            with plane.connect() as busy:
                busy.send(user)
                plane.wait_stats(partial(is_busy, home.name))
                answer = plane.ask(user)
                assert answer.status == status
                assert (answer.status == 200 and answer.body != first.body) == moved
                held.set()
                assert busy.response().status == 200
            assert plane.ask(user).body == first.body
