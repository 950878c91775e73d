"""Sessions are resumed by tickets, wherever these come from, and no further than they may."""

import ssl

import pytest
from tests.support.certificates import Authority
from tests.support.plane import RunningPlane, listener, pool
from tests.support.raw import request
from tests.support.tls import TlsClient, authorities, listener_tls, material, trusting

from bascule import contract

AUTHORITY = Authority()
MATERIAL = (material("a", AUTHORITY.issue("a.test", "b.test")), authorities("clients", AUTHORITY))
KEY, OTHER = "0123456789abcdef", "fedcba9876543210"
VERSIONS = pytest.mark.parametrize(
    "newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda it: it.name
)


def plane(
    *keys: str, threads: int = 1, off: bool = False, clients: contract.ClientCertificates | None = None
) -> RunningPlane:
    tls = listener_tls(("a", ("a.test", "b.test")), keys=None if off else keys, clients=clients)
    return RunningPlane([pool()], [listener(tls=tls)], material=MATERIAL, threads=threads)


def visit(
    running: RunningPlane,
    context: ssl.SSLContext,
    session: ssl.SSLSession | None = None,
    name: str = "a.test",
) -> tuple[ssl.SSLSession | None, bool]:
    """Asks once. Gives the session, and whether it resumed the one that was brought."""
    with TlsClient(running.address(), context, name, session) as client:
        assert client.ask(request()).status == 503
        return client.socket.session, bool(client.socket.session_reused)


@VERSIONS
def test_every_thread_knows_the_tickets_of_every_other(newest: ssl.TLSVersion) -> None:
    context = trusting(AUTHORITY, newest=newest)
    with plane(threads=4) as running:
        session, resumed = visit(running, context)
        assert not resumed
        for _ in range(16):
            assert visit(running, context, session)[1]
        counted = running.stats().listeners[0]
        assert (counted.handshakes, counted.resumed) == (17, 16)


@VERSIONS
def test_balancers_with_one_key_accept_each_others_tickets_and_others_do_not(newest: ssl.TLSVersion) -> None:
    context = trusting(AUTHORITY, newest=newest)
    with plane(KEY) as one, plane(OTHER, KEY) as two, plane(OTHER) as three, plane() as four:
        session, _ = visit(one, context)
        assert visit(two, context, session)[1]
        assert not visit(three, context, session)[1]
        assert not visit(four, context, session)[1]


def test_without_tickets_nothing_is_resumed() -> None:
    context = trusting(AUTHORITY)
    with plane(off=True) as running:
        session, _ = visit(running, context)
        assert session is None or not visit(running, context, session)[1]


def test_a_ticket_is_worth_nothing_for_another_host_or_once_clients_must_prove_who_they_are() -> None:
    context = trusting(AUTHORITY)
    with plane(KEY) as running:
        session, _ = visit(running, context)
        assert not visit(running, context, session, "b.test")[1]
        clients = contract.ClientCertificates(required=False, authorities="clients")
        tls = listener_tls(("a", ("a.test", "b.test")), keys=(KEY,), clients=clients)
        running.give(*MATERIAL)
        running.apply([pool()], [listener(tls=tls)])
        assert not visit(running, context, session)[1]


def test_tickets_outlive_a_snapshot_with_another_certificate() -> None:
    context = trusting(AUTHORITY)
    with plane() as running:
        session, _ = visit(running, context)
        running.give(material("new", AUTHORITY.issue("a.test", "b.test")))
        running.apply([pool()], [listener(tls=listener_tls(("new", ("a.test", "b.test"))))])
        assert visit(running, context, session)[1]
