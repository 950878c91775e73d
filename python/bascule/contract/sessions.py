"""What keeps requests together: keys, sessions, and the stores that several balancers share."""

from dataclasses import dataclass
from typing import Literal

from bascule.contract.addresses import Address
from bascule.contract.integers import U32, U64


@dataclass(frozen=True, slots=True)
class ClientKey:
    """The client's address, as the listener's trusted networks tell it."""

    kind: Literal["client"] = "client"


@dataclass(frozen=True, slots=True)
class HeaderKey:
    """The value of a header."""

    name: str
    """Its name."""
    kind: Literal["header"] = "header"


@dataclass(frozen=True, slots=True)
class CookieKey:
    """The value of a cookie."""

    name: str
    """Its name; case counts."""
    kind: Literal["cookie"] = "cookie"


@dataclass(frozen=True, slots=True)
class QueryKey:
    """The value of a query parameter."""

    name: str
    """Its name; case counts."""
    kind: Literal["query"] = "query"


@dataclass(frozen=True, slots=True)
class HostKey:
    """The host that was asked for."""

    kind: Literal["host"] = "host"


@dataclass(frozen=True, slots=True)
class PathKey:
    """The normalised path."""

    kind: Literal["path"] = "path"


@dataclass(frozen=True, slots=True)
class UriKey:
    """The normalised path with the query."""

    kind: Literal["uri"] = "uri"


KeyBy = ClientKey | HeaderKey | CookieKey | QueryKey | HostKey | PathKey | UriKey
"""Which part of a request is its key."""


class Secret(str):
    """Text that is never printed: its `repr` is an ellipsis. Its `str` is the text itself."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "…"


SameSite = Literal["strict", "lax", "none"]
"""When browsers send a cookie (RFC 6265bis): within the site, also when a link leads here, or always."""


@dataclass(frozen=True, slots=True)
class IssuedCookie:
    """A cookie that we issue (RFC 6265)."""

    name: str
    """A token."""
    path: str
    """`Path`; begins with `/`."""
    domain: str | None
    """`Domain`; `None`: the host that was asked for."""
    secure: bool
    """`Secure`."""
    http_only: bool
    """`HttpOnly`."""
    same_site: SameSite
    """`SameSite`."""
    lifetime_ms: U64 | None
    """`Max-Age`, and how long its word is taken; `None`: until the browser closes."""
    keys: tuple[Secret, ...]
    """The first signs; all are accepted."""
    encrypted: bool
    """Encrypt it, so that equal endpoints cannot be told from equal cookies."""


@dataclass(frozen=True, slots=True)
class SessionTable:
    """Where it is remembered which endpoint a session is on."""

    expiry_ms: U64
    """A session that is not used for this long is forgotten."""
    entries: U32
    """Sessions at most; beyond that the one that was used longest ago is forgotten."""
    store: str | None = None
    """The shared store (its id); `None`: in memory."""


@dataclass(frozen=True, slots=True)
class BySessionCookie:
    """A cookie that we issue: it names the endpoint, signed, and nothing is remembered here."""

    cookie: IssuedCookie
    """What it is like."""
    kind: Literal["issued"] = "issued"


@dataclass(frozen=True, slots=True)
class ByLearnedCookie:
    """A cookie that the application issues: we remember which endpoint did."""

    cookie: str
    """Its name; case counts."""
    table: SessionTable
    """Where it is remembered."""
    kind: Literal["learned"] = "learned"


@dataclass(frozen=True, slots=True)
class ByKey:
    """The value of a part of the request: we remember which endpoint it got first."""

    by: KeyBy
    """Which part."""
    table: SessionTable
    """Where it is remembered."""
    kind: Literal["key"] = "key"


SessionBy = BySessionCookie | ByLearnedCookie | ByKey
"""By what a session is known."""


@dataclass(frozen=True, slots=True)
class Sessions:
    """What keeps a client on one endpoint."""

    by: SessionBy
    """By what a session is known."""
    strict: bool
    """Wait (and be shed) rather than move while the endpoint is full."""


@dataclass(frozen=True, slots=True)
class Store:
    """A Redis or Valkey that several balancers share."""

    id: str
    """Stable name."""
    address: Address
    """Where it is."""
    username: str | None
    """`None`: the default user."""
    password: Secret | None
    """`None`: no authentication."""
    database: U32
    """Its number."""
    prefix: str
    """Before every key."""
    wait_ms: U64
    """A request waits no longer for it; then it goes on without."""
