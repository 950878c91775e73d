"""A configuration whose names are resolved and whose defaults are filled: nothing is left to look up."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from bascule import contract


@dataclass(frozen=True, slots=True)
class PlannedSource:
    """Where endpoints of a pool are discovered."""

    kind: str
    """`static`, `file`, `dns`, `dns_srv`, or a third party's."""
    options: Mapping[str, object]
    """As that source reads them; see the table in `bascule.plan.build`."""


@dataclass(frozen=True, slots=True)
class PlannedCheck:
    """How the endpoints of a pool are probed."""

    kind: str
    """As the registry of checks names it, or a third party's."""
    options: Mapping[str, object]
    """As that check reads them; see the table in `bascule.plan.build`."""
    every_ms: int
    """Between the starts of two checks of one endpoint; at least 1."""
    timeout_ms: int
    """A check that takes longer has failed; at least 1."""
    rise: int
    """Passes in a row that make an endpoint up again; at least 1."""
    fall: int
    """Failures in a row that make it down; at least 1."""
    initially_up: bool
    """What is believed before the first outcome, which decides alone."""
    tls: "PlannedPoolTls | None" = None
    """How TLS is spoken to what is probed."""
    announce: contract.ProxyVersion | None = None
    """The PROXY header that connections begin with; `None`: none."""
    port: int | None = None
    """Where it is asked; `None`: at the endpoint's own port."""
    exclusive: bool = False
    """One endpoint of the pool passes at most. While several do, none is up."""

    @property
    def question(self) -> tuple[object, ...]:
        """What an answer is an answer to, whenever it is asked, and by whatever password."""
        options = {key: it for key, it in self.options.items() if not isinstance(it, contract.Secret)}
        return self.kind, options, self.port, self.exclusive


@dataclass(frozen=True, slots=True)
class PlannedAgent:
    """How the agents of a pool's endpoints are asked (HAProxy's agent-check protocol)."""

    port: int
    """Where each agent listens."""
    host: str | None
    """Where all of them listen; `None`: each at the address of its endpoint."""
    every_ms: int
    """Between the starts of two questions to one agent; at least 1."""
    timeout_ms: int
    """An agent that takes longer has said nothing; at least 1."""
    send: str | None
    """What it is sent first; `None`: nothing."""


@dataclass(frozen=True, slots=True)
class PlannedLoad:
    """How the endpoints of a pool are asked how busy they are."""

    path: str
    """Of the load URL, on each endpoint."""
    every_ms: int
    """Between the starts of two questions to one endpoint; at least 1."""
    timeout_ms: int
    """An endpoint that takes longer has said nothing; at least 1."""
    tls: "PlannedPoolTls | None" = None
    """How TLS is spoken to it."""
    announce: contract.ProxyVersion | None = None
    """The PROXY header that connections begin with; `None`: none."""


@dataclass(frozen=True, slots=True)
class PlannedCertificate:
    """Where certificates are read."""

    certificate: str
    """Absolute path of a PEM file, or of a directory of them."""
    key: str | None = None
    """Absolute path of its key; `None`: it is in the same file, or in the directory."""
    default: bool = False
    """For clients that name no host, or one that nobody has."""
    ordered: bool = False
    """By ourselves: it may not be there yet."""
    uploaded: bool = False
    """The directory of certificates that are handed over: there may be none."""


@dataclass(frozen=True, slots=True)
class PlannedAuthorities:
    """Where it is read whom to trust."""

    files: tuple[str, ...]
    """Absolute paths; none: those of the system."""
    revoked: tuple[str, ...] = ()
    """Absolute paths of revocation lists."""


@dataclass(frozen=True, slots=True)
class PlannedTicketKey:
    """A secret, or where it is read."""

    secret: contract.Secret | None = None
    file: str | None = None
    """Absolute path."""


@dataclass(frozen=True, slots=True)
class PlannedAccount:
    """An account that an authority knows already."""

    key_id: str
    hmac_key: contract.Secret = field(repr=False)
    """Base64url."""


KeyKind = Literal["p256", "p384", "rsa2048", "rsa4096"]
"""Keys that certificates are ordered with."""


@dataclass(frozen=True, slots=True)
class PlannedAcme:
    """Where certificates are ordered, and for which names."""

    directory: str
    """Its address."""
    email: str | None
    storage: str
    """Absolute path."""
    challenge: Literal["http-01", "tls-alpn-01", "dns-01"]
    dns_hook: str | None
    """Absolute path; always there with `dns-01`."""
    dns_wait_ms: int
    """Between the hook's `present` and asking the authority to look."""
    ca: str | None
    """Absolute path; `None`: the authorities of the system are trusted."""
    account: PlannedAccount | None
    """`None`: the authority wants none."""
    orders: tuple[tuple[str, ...], ...]
    """The names of each certificate; no two are for the same."""
    key: KeyKind = "p256"
    """Of the next certificate."""


@dataclass(frozen=True, slots=True)
class PlannedListenerTls:
    """How a listener speaks TLS, before its files are read."""

    certificates: tuple[PlannedCertificate, ...]
    """In the order of the configuration; none: one is made on the spot for `self_signed`."""
    self_signed: tuple[str, ...]
    """The names of the certificate that is made on the spot."""
    refuse_unknown: bool
    """No certificate is shown for a name that none has."""
    oldest: contract.TlsVersion
    alpn: tuple[str, ...]
    tickets: tuple[PlannedTicketKey, ...] | None
    """`None`: sessions are not resumed; none: with keys of this process."""
    clients: PlannedAuthorities | None
    """Whose certificates clients show; `None`: they are not asked."""
    clients_required: bool = False
    """Who shows none is refused."""


@dataclass(frozen=True, slots=True)
class PlannedPoolTls:
    """How TLS is spoken to the endpoints of a pool, before its files are read."""

    authorities: PlannedAuthorities | None
    """`None`: nobody is verified."""
    server_name: str | None
    """`None`: the address of each endpoint."""
    certificate: PlannedCertificate | None
    """What we show when asked."""
    alpn: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlannedPool:
    """A pool without its endpoints, which come from the sources."""

    id: str
    """The same as `template.id`."""
    template: contract.Pool
    """Complete, but for `endpoints`, which is empty."""
    sources: tuple[PlannedSource, ...]
    """At least one; the pool's endpoints are what all of them report."""
    check: PlannedCheck | None
    """`None`: endpoints are always up."""
    agent: PlannedAgent | None = None
    """`None`: there are none."""
    load: PlannedLoad | None = None
    """`None`: endpoints are not asked."""
    tls: PlannedPoolTls | None = None
    """`None`: endpoints are spoken to in the clear."""


@dataclass(frozen=True, slots=True)
class PlannedAdmin:
    """Where operators and their programs ask."""

    bind: str | None
    """`unix:/path` or `127.0.0.1:9000`; `None`: the default socket of the user who runs it."""
    metrics: str | None
    """`127.0.0.1:9100`: an address that serves nothing but metrics and health; `None`: none."""
    certificates: str | None = None
    """Absolute path of the directory of certificates that are handed over; `None`: none are taken."""


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a configuration asks for. Two equal plans ask for the same."""

    listeners: tuple[contract.Listener, ...]
    """Complete, routes included, but for `tls`, whose files are read again and again."""
    pools: tuple[PlannedPool, ...]
    """In the order of the configuration; every pool a route names is here."""
    access_log: contract.AccessLog | None
    """`None`: no access log."""
    admin: PlannedAdmin
    """Where operators ask."""
    threads: int | None
    """Data-plane threads; `None`: one per core."""
    stop_grace_ms: int
    """How long exchanges in flight may go on after a stop."""
    log_level: str
    """`debug`, `info`, `warning` or `error`."""
    stores: tuple[contract.Store, ...] = ()
    """What several balancers remember together."""
    tls: Mapping[str, PlannedListenerTls] = field(default_factory=dict)
    """How listeners speak TLS, by their ids; those that do not are not in it."""
    acme: PlannedAcme | None = None
    """`None`: nothing is ordered."""
