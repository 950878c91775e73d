"""What TLS needs: how listeners and pools speak it, and what they do it with.

Certificates, keys and authorities are no part of a snapshot, which only names them: they are given as
`Material` before the first snapshot that does. A snapshot may be printed, recorded and compared.
"""

from dataclasses import dataclass, field
from typing import Literal

from bascule.contract.sessions import Secret


@dataclass(frozen=True, slots=True)
class CertificateMaterial:
    """A certificate with its key."""

    id: str
    """Another content has another id."""
    chain: str
    """PEM: the certificate first, then those that lead to its authority."""
    key: Secret = field(repr=False)
    """PEM, not encrypted."""
    kind: Literal["certificate"] = "certificate"


@dataclass(frozen=True, slots=True)
class AuthoritiesMaterial:
    """Whom to trust."""

    id: str
    """Another content has another id."""
    certificates: str
    """PEM."""
    revoked: str
    """Revocation lists, PEM; empty: nothing is revoked."""
    kind: Literal["authorities"] = "authorities"


Material = CertificateMaterial | AuthoritiesMaterial
"""What snapshots name by its id. Kept from when it is given until the live snapshot names it no more."""

TlsVersion = Literal["tls12", "tls13"]
"""A version of the protocol."""


@dataclass(frozen=True, slots=True)
class ServedCertificate:
    """A certificate and the names that it is for."""

    id: str
    """Of the material."""
    names: tuple[str, ...]
    """Lower case; `*.` in front stands for one label."""


@dataclass(frozen=True, slots=True)
class Tickets:
    """Tickets that clients show to resume a session: nothing is remembered here."""

    keys: tuple[Secret, ...]
    """The first encrypts, all are accepted; none: keys of this process, which change by themselves."""


@dataclass(frozen=True, slots=True)
class ClientCertificates:
    """How clients prove who they are."""

    required: bool
    """Who shows none is refused."""
    authorities: str
    """Id of the authorities that they are issued by."""


@dataclass(frozen=True, slots=True)
class ListenerTls:
    """How a listener speaks TLS."""

    certificates: tuple[ServedCertificate, ...]
    """Several may have the same name: the first that the client can verify is used."""
    defaults: tuple[str, ...]
    """Ids of those for clients that name no host, or one that nobody has; empty: they are refused."""
    oldest: TlsVersion
    """Older versions are refused."""
    alpn: tuple[str, ...]
    """What is spoken within, most preferred first: `h2`, `http/1.1`."""
    tickets: Tickets | None
    """How sessions are resumed; `None`: they are not."""
    clients: ClientCertificates | None
    """What clients show; `None`: they are not asked."""
    challenges: tuple[ServedCertificate, ...] = ()
    """For clients that offer `acme-tls/1` and nothing else: authorities that look whether a name is ours
    (RFC 8737)."""


@dataclass(frozen=True, slots=True)
class PoolTls:
    """How TLS is spoken to the endpoints of a pool."""

    authorities: str | None
    """Id of the authorities that certificates of endpoints are issued by; `None`: any certificate is
    accepted."""
    server_name: str | None
    """The name that is asked for, and that certificates must have; `None`: the address of each endpoint."""
    certificate: str | None
    """Id of the certificate that we show when asked."""
    alpn: tuple[str, ...]
    """What we offer to speak within, most preferred first."""
