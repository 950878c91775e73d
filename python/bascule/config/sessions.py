"""What keeps a client on one endpoint, and the stores that several balancers share."""

import re
import secrets
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import unquote, urlsplit

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    SerializationInfo,
    StrictStr,
    WithJsonSchema,
    model_validator,
)

from bascule.config.addresses import EndpointAddress
from bascule.config.http_values import HeaderName, Path
from bascule.config.problems import Mistake
from bascule.config.section import Section, alternative
from bascule.config.values import Duration, DurationOrNone, Name, ShortForm, one_or_list, shown, text

SECOND = 1000
MINUTE = 60 * SECOND
SHORTEST_KEY = 16
COOKIE = "bascule"
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}", re.ASCII)
_TEXT = {"type": "string"}

OWN_KEY = secrets.token_urlsafe(32)
"""The key of cookies for which none is written: of this process, so that its plans are equal."""


def read_secret(value: object) -> str:
    """A secret; what is wrong with one is said without it."""
    if not isinstance(value, str) or not value:
        raise Mistake("expected a secret, in quotes", 'take it from the environment: "${COOKIE_KEY}"')
    return value


def _read_key(value: object) -> str:
    key = read_secret(value)
    if len(key) < SHORTEST_KEY:
        raise Mistake(
            f"a key of {len(key)} characters can be guessed",
            f"use at least {SHORTEST_KEY}: openssl rand -base64 32",
        )
    return key


def _read_cookie_name(value: object) -> str:
    name = text(value, "the name of a cookie")
    if not _TOKEN.fullmatch(name):
        raise Mistake(
            f"{shown(name)} cannot be the name of a cookie", "letters, digits, '-' and '_' (RFC 6265)"
        )
    return name


def _secret_written(value: str | None, info: SerializationInfo) -> str | None:
    """Only who asks for secrets gets them."""
    return value if value is None or (info.context or {}).get("secrets") else "…"


_SECRET = WithJsonSchema({"type": "string", "minLength": SHORTEST_KEY})
Key = Annotated[StrictStr, BeforeValidator(_read_key), PlainSerializer(_secret_written), _SECRET]
Password = Annotated[
    StrictStr, BeforeValidator(read_secret), PlainSerializer(_secret_written), WithJsonSchema(_TEXT)
]
CookieName = Annotated[StrictStr, BeforeValidator(_read_cookie_name)]


class Sessions(Section):
    """What keeps a client on one endpoint. One of `cookie`, `learned`, `header`, `query` and `client`."""

    title: ClassVar[str] = "`sessions`"

    cookie: CookieName | None = alternative()
    """The name of a cookie that we issue. It names the endpoint to whoever holds the key, and to nobody else;
    nothing is remembered, and every balancer with the key agrees."""
    learned: CookieName | None = alternative()
    """The name of a cookie that the application issues: we remember which endpoint did."""
    header: HeaderName | None = alternative()
    """The name of a header: its value stays on the endpoint that it got first."""
    query: StrictStr | None = alternative(min_length=1)
    """The name of a query parameter, likewise."""
    client: bool = Field(default=False, exclude_if=lambda value: not value)
    """The client's address, likewise."""
    strict: bool = False
    """While the endpoint is full: wait for it, and be shed, rather than go to another one for this
    request."""
    path: Path = "/"
    """`Path` of our cookie."""
    domain: StrictStr | None = None
    """`Domain` of our cookie; by default the host that was asked for."""
    secure: bool = False
    """`Secure`: only over TLS. Our cookie is worth nothing to a thief, but set it where the site is HTTPS."""
    http_only: bool = True
    """`HttpOnly`: scripts do not see it."""
    same_site: Literal["strict", "lax", "none"] = "lax"
    """`SameSite`; `none` needs `secure`."""
    lifetime: DurationOrNone = None
    """`Max-Age`, and how long its word is taken; by default until the browser closes. It is renewed at half
    time."""
    keys: Annotated[tuple[Key, ...], ShortForm(one_or_list, (_TEXT,))] = ()
    """Secrets of at least 16 characters: the first signs, all are accepted. To change keys put the new one
    first, and remove the old one a lifetime later. Without: one key of this process, so that sessions end
    with it."""
    encrypted: bool = False
    """Encrypt our cookie, so that nobody sees which clients share an endpoint."""
    expiry: Duration = 30 * MINUTE
    """A remembered session that is not used for this long is forgotten."""
    entries: Annotated[int, Field(strict=True, ge=1, le=100_000_000)] = 100_000
    """Sessions remembered at most, about 100 bytes each; beyond that those used longest ago are forgotten."""
    store: Name | None = None
    """The store in which several balancers remember together; by default each remembers its own."""

    @model_validator(mode="after")
    def _is_one(self) -> "Sessions":
        given = [key for key in ("cookie", "learned", "header", "query", "client") if getattr(self, key)]
        if len(given) != 1:
            raise Mistake(
                f"sessions are known by one thing, not {' and '.join(given) or 'none'}",
                "write cookie: NAME, learned: NAME, header: NAME, query: NAME or client: true",
            )
        if self.same_site == "none" and not self.secure:
            raise Mistake("browsers refuse SameSite=None without Secure", "add `secure: true`")
        return self


def in_full(value: Any) -> Any:
    """`cookie` or `client` as what they stand for."""
    if value == "cookie":
        return {"cookie": COOKIE}
    if value == "client":
        return {"client": True}
    if isinstance(value, dict) and value.get("cookie") is True:
        return {**value, "cookie": COOKIE}
    if isinstance(value, str):
        raise Mistake(f"expected cookie, client or {{header: NAME}}, not {shown(value)}")
    return value


class Store(Section):
    """A Redis or Valkey that several balancers share. When it is down, requests go on without it."""

    title: ClassVar[str] = "a store"

    address: Annotated[EndpointAddress, Field(examples=["127.0.0.1:6379"])]
    """`ip:port` or `unix:/path`. Names are not resolved here: write an address."""
    username: StrictStr | None = None
    """A user of its access control list; by default the default user."""
    password: Password | None = None
    """By default none."""
    database: Annotated[int, Field(strict=True, ge=0, le=1_000_000)] = 0
    """Its number."""
    prefix: StrictStr = "bascule:"
    """Before every key."""
    wait: Duration = 50
    """A request waits no longer for it; then it goes on without."""


def store(value: Any) -> Any:
    """`redis://user:password@host:port/database` or `unix:///path` in full."""
    if not isinstance(value, str):
        return value
    if "://" not in value:
        return {"address": value}
    parts = urlsplit(value)
    if parts.scheme == "unix":
        return {"address": f"unix:{parts.path}"}
    if parts.scheme not in ("redis", "valkey") or not parts.hostname:
        raise Mistake("expected redis://host:port/database, valkey://… or unix:///path of its socket")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    written: dict[str, Any] = {"address": f"{host}:{parts.port or 6379}"}
    if parts.username:
        written["username"] = unquote(parts.username)
    if parts.password:
        written["password"] = unquote(parts.password)
    if number := parts.path.strip("/"):
        if not number.isdigit():
            raise Mistake(f"expected the number of a database, not {shown(number)}")
        written["database"] = int(number)
    return written


OneStore = Annotated[Store, ShortForm(store, ({"type": "string", "examples": ["redis://127.0.0.1:6379/0"]},))]
