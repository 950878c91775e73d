"""The account with an authority: made once, and kept with its key. Blocks on files and the network."""

import time
from contextlib import ExitStack
from pathlib import Path

from acme import client, errors, messages
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from josepy.errors import Error as JoseError
from josepy.jwk import JWK, JWKEC
from josepy.util import ComparableECKey

from bascule.acme.failure import OrderFailed
from bascule.acme.storage import Busy, Storage, StorageFailed
from bascule.certificates.fault import CertificateRefused
from bascule.certificates.read import system_authorities
from bascule.plan.plan import PlannedAcme

LOCK = "account"
PATIENCE_S = 60


class Account:
    """Us, as the authority knows us."""

    def __init__(self, session: client.ClientV2, planned: PlannedAcme, storage: Storage, pem: bytes) -> None:
        self.key = _jwk(pem)
        self._pem = pem
        self._session = session
        self._planned = planned
        self._storage = storage
        session.net.key = self.key

    def register(self) -> None:
        """Makes the account, or finds the one that this key has already."""
        self._session.net.account = None
        body = messages.NewRegistration.from_data(
            email=self._planned.email,
            terms_of_service_agreed=True,
            external_account_binding=self._binding(),
        )
        try:
            uri = self._session.new_account(body).uri
        except errors.ConflictError as known:
            uri = known.location
        self.use(uri)
        self._storage.keep_account(self._pem, {"uri": uri, "email": self._planned.email or ""})

    def use(self, uri: str) -> None:
        """From now on requests are made in its name."""
        self._session.net.account = messages.RegistrationResource(body=messages.Registration(), uri=uri)

    def write_to(self, email: str) -> None:
        """Tells the authority another address."""
        account = self._session.net.account
        assert account is not None, "an account that is in use"
        contact = messages.Registration.from_data(email=email)
        self._session.update_registration(account, contact)
        self.use(account.uri)
        self._storage.keep_account(self._pem, {"uri": account.uri, "email": email})

    def _binding(self) -> dict[str, object] | None:
        given = self._planned.account
        if given is None:
            return None
        try:
            return messages.ExternalAccountBinding.from_data(
                self.key.public_key(), given.key_id, str(given.hmac_key), self._session.directory
            )
        except (JoseError, ValueError, TypeError):
            pass  # Not chained: it might quote the key.
        raise OrderFailed("the `hmac_key` of `external_account` is not base64url", "copy it anew")


def open_account(session: client.ClientV2, planned: PlannedAcme, storage: Storage) -> Account:
    """The account of the storage directory; made, if there is none yet."""
    with ExitStack() as held:
        # Balancers that start together must not make an account each.
        _wait_for(held, storage)
        pem, about = storage.account()
        if pem is None:
            pem = _new_key()
            storage.keep_account(pem, {})
        account = Account(session, planned, storage, pem)
        if (uri := about.get("uri")) is None:
            account.register()
        else:
            account.use(uri)
            if planned.email and about.get("email") != planned.email:
                account.write_to(planned.email)
        return account


def trusted(planned: PlannedAcme) -> str | bool:
    """Whom to trust as the server of the directory: a file, or whom the library trusts."""
    if planned.ca is not None:
        if not Path(planned.ca).is_file():
            raise OrderFailed(f"{planned.ca}: is not there", "correct acme: {ca: …}")
        return planned.ca
    try:
        return system_authorities()
    except CertificateRefused:
        return True


def _wait_for(held: ExitStack, storage: Storage) -> None:
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            return held.enter_context(storage.lock(LOCK))
        except Busy:
            if time.monotonic() > until:
                raise OrderFailed("another balancer has been making the account for a minute") from None
            time.sleep(0.1)


def _new_key() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _jwk(pem: bytes) -> JWK:
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError):
        key = None  # Not chained: whatever the library says could hold a part of the key.
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        hint = "remove account.key and account.json to make a new account"
        raise StorageFailed("the key of the ACME account cannot be read", hint)
    return JWKEC(key=ComparableECKey(key))
