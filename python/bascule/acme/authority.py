"""What is said to an authority, through certbot's `acme` library. Blocks on the network.

Every call ends within `ANSWER_S` for each request that it makes, and `ORDER_S` for those that wait for the
authority's own work. Whatever goes wrong is an `OrderFailed`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import requests
from acme import challenges, client, errors, messages
from josepy.errors import Error as JoseError
from josepy.jwa import ES256
from josepy.jwk import JWK

import bascule
from bascule.acme.accounts import Account, open_account, trusted
from bascule.acme.failure import OrderFailed, from_problem
from bascule.acme.renewal import ASK_EVERY_S, Advice
from bascule.acme.storage import Storage
from bascule.plan.plan import PlannedAcme

ANSWER_S = 30
ORDER_S = 180
AGENT = f"bascule/{bascule.__version__} acme-python"
_UNKNOWN_ACCOUNT = "accountDoesNotExist"


@dataclass(frozen=True, slots=True)
class Proof:
    """What shows the authority that a name is ours."""

    name: str
    """Without `*.`."""
    token: str
    authorization: str
    """The token with the fingerprint of the account's key (RFC 8555, 8.1). No secret."""


class Order(Protocol):
    """An order that was begun."""

    proofs: tuple[Proof, ...]
    """What the authority wants to see; none where it has seen enough before."""

    def finish(self) -> str:
        """Has the authority look, and returns the certificate with its chain (PEM). Raises `OrderFailed`."""


class Authority(Protocol):
    """Who issues certificates."""

    def begin(self, csr: bytes) -> Order:
        """Orders a certificate. Raises `OrderFailed`."""

    def advice(self, certificate: bytes, now: float) -> Advice:
        """When it would like this one to be renewed. Raises `OrderFailed`."""


@challenges.ChallengeResponse.register
class TlsAlpn01Response(challenges.KeyAuthorizationChallengeResponse):
    """The library has left it out since 5.0; RFC 8737 wants of a client no more than this."""

    typ = "tls-alpn-01"


@challenges.Challenge.register
class TlsAlpn01(challenges.KeyAuthorizationChallenge):
    """The certificate that proves it is made where it is shown."""

    response_cls = TlsAlpn01Response
    typ = response_cls.typ

    def validation(self, account_key: JWK, **_: Any) -> str:
        return self.key_authorization(account_key)


def connect(planned: PlannedAcme, storage: Storage) -> Authority:
    """Reads the directory, and makes the account if there is none yet. Raises `OrderFailed`."""
    net = client.ClientNetwork(
        alg=ES256,
        verify_ssl=trusted(planned),  # type: ignore[arg-type]  # requests takes a file, too
        user_agent=AGENT,
        timeout=ANSWER_S,
    )
    heard = _Heard(net)
    with _told(planned.directory, heard):
        directory = client.ClientV2.get_directory(planned.directory, net)
        session = client.ClientV2(directory, net)
        account = open_account(session, planned, storage)
    return _Connected(session, planned, account, heard)


class _Heard:
    """What the last answer said beside its body: the library's errors do not hold it."""

    def __init__(self, net: client.ClientNetwork) -> None:
        self.retry_after_s: float | None = None
        net.session.hooks["response"].append(self._hear)

    def _hear(self, response: requests.Response, *_: Any, **__: Any) -> None:
        wanted = response.headers.get("Retry-After")
        if wanted is None:
            self.retry_after_s = None
            return
        until = client.ClientV2.retry_after(response, 0)
        # A date is in UTC, seconds are from our own clock: the library gives both without a zone.
        now = datetime.now() if wanted.strip().isdigit() else datetime.now(UTC).replace(tzinfo=None)
        self.retry_after_s = max((until - now).total_seconds(), 0.0)


class _Connected:
    """An authority that knows us."""

    def __init__(
        self, session: client.ClientV2, planned: PlannedAcme, account: Account, heard: _Heard
    ) -> None:
        self._session = session
        self._planned = planned
        self._account = account
        self._heard = heard

    def begin(self, csr: bytes) -> "_Ordered":
        with _told(self._planned.directory, self._heard):
            try:
                order = self._session.new_order(csr)
            except messages.Error as problem:
                if problem.code != _UNKNOWN_ACCOUNT:
                    raise
                # The authority has lost it, as test servers do at every start: the same key, once more.
                self._account.register()
                order = self._session.new_order(csr)
            return _Ordered(self, order)

    def advice(self, certificate: bytes, now: float) -> Advice:
        with _told(self._planned.directory, self._heard):
            wish, _ = self._session.renewal_time(certificate)
        pause = min(max(self._heard.retry_after_s or ASK_EVERY_S, 3600.0), 86_400.0)
        return Advice(None if wish is None else wish.timestamp(), now + pause)

    def proofs(self, order: messages.OrderResource) -> Iterator[tuple[messages.ChallengeBody, Proof]]:
        """What there is to prove, as the configuration wants it proven."""
        for each in order.authorizations:
            if each.body.status == messages.STATUS_VALID:
                continue
            name = each.body.identifier.value
            wanted = [it for it in each.body.challenges if it.chall.typ == self._planned.challenge]
            if not wanted:
                offered = ", ".join(sorted({str(it.chall.typ) for it in each.body.challenges}))
                what = f"the authority does not offer {self._planned.challenge} for {name}, but {offered}"
                raise OrderFailed(what, "choose another acme: {challenge: …}")
            challenge = wanted[0]
            key = self._account.key
            proof = Proof(name, challenge.chall.encode("token"), challenge.chall.key_authorization(key))
            yield challenge, proof

    def finish(self, order: messages.OrderResource, wanted: list[messages.ChallengeBody]) -> str:
        with _told(self._planned.directory, self._heard):
            for challenge in wanted:
                self._session.answer_challenge(challenge, challenge.chall.response(self._account.key))
            until = datetime.now() + timedelta(seconds=ORDER_S)
            proven = self._session.poll_authorizations(order, until)
            return str(self._session.finalize_order(proven, until).fullchain_pem)


class _Ordered:
    def __init__(self, authority: _Connected, order: messages.OrderResource) -> None:
        self._authority = authority
        self._order = order
        wanted = list(authority.proofs(order))
        self._challenges = [challenge for challenge, _ in wanted]
        self.proofs = tuple(proof for _, proof in wanted)

    def finish(self) -> str:
        return self._authority.finish(self._order, self._challenges)


@contextmanager
def _told(directory: str, heard: _Heard) -> Iterator[None]:
    """Whatever the library raises, in words."""
    try:
        yield
    except messages.Error as problem:
        raise _from(problem, None, heard.retry_after_s) from problem
    except errors.ValidationError as failed:
        raise _unproven(failed) from failed
    except errors.IssuanceError as failed:
        raise _from(failed.error, None, heard.retry_after_s) from failed
    except errors.TimeoutError as late:
        what = f"the authority has not decided within {ORDER_S} seconds"
        raise OrderFailed(what, "it is tried again", heard.retry_after_s) from late
    except requests.exceptions.SSLError as untrusted:
        hint = "name whom to trust with acme: {ca: FILE}, if it is an authority of your own"
        raise OrderFailed(
            f"{directory}: its certificate is refused: {_cause(untrusted)}", hint
        ) from untrusted
    except requests.exceptions.RequestException as lost:
        hint = "does it run, and may this machine connect to it?"
        raise OrderFailed(f"{directory} cannot be reached: {_cause(lost)}", hint) from lost
    except (errors.Error, JoseError, KeyError, ValueError) as odd:
        hint = "is this the address of an ACME directory?"
        raise OrderFailed(f"{directory} gives an answer that makes no sense: {odd}", hint) from odd


def _from(problem: messages.Error, name: str | None, retry_after_s: float | None) -> OrderFailed:
    if problem.subproblems:
        first = problem.subproblems[0]
        about = first.identifier.value if first.identifier is not None else name
        return from_problem(_kind(first), first.detail, about, retry_after_s)
    about = problem.identifier.value if problem.identifier is not None else name
    return from_problem(_kind(problem), problem.detail or problem.title, about, retry_after_s)


def _unproven(failed: errors.ValidationError) -> OrderFailed:
    for each in failed.failed_authzrs:
        for challenge in each.body.challenges:
            if challenge.error is not None:
                return _from(challenge.error, each.body.identifier.value, None)
    return OrderFailed("the authority was not convinced, and does not say why")


def _kind(problem: messages.Error) -> str:
    return str(problem.typ).rpartition(":")[2]


def _cause(error: BaseException) -> str:
    """What lies below the wrappings of urllib3."""
    while (below := getattr(error, "reason", None) or (error.args[0] if error.args else None)) is not None:
        if not isinstance(below, BaseException):
            break
        error = below
    return str(error)
