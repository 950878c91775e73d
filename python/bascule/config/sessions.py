"""What keeps a client on one endpoint."""

import secrets
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, StrictStr, WrapSerializer, model_validator

from bascule.config.http_values import CookieName, HeaderName, Parameter, read_host_pattern, read_path
from bascule.config.keys import KeyBy, OneKey
from bascule.config.problems import Mistake
from bascule.config.secrets import Key
from bascule.config.section import Section, alternative
from bascule.config.values import (
    Duration,
    DurationOrNone,
    Name,
    ShortForm,
    none_word,
    one_or_list,
    shown,
    written_or_off,
)

SECOND = 1000
MINUTE = 60 * SECOND
COOKIE = "bascule"
_TEXT = {"type": "string"}

_KINDS = ("cookie", "learned", "header", "query", "client", "by")
_OF_OURS = ("path", "domain", "secure", "http_only", "same_site", "lifetime", "keys", "encrypted")
_REMEMBERED = ("expiry", "entries", "store")

OWN_KEY = secrets.token_urlsafe(32)
"""The key of cookies for which none is written: of this process, so that its plans are equal."""


def _read_cookie_path(value: object) -> str:
    path = read_path(value)
    if ";" in path or not path.isascii():
        raise Mistake(f"the path of a cookie cannot be {shown(path)}", "ASCII without ';' (RFC 6265, 4.1.1)")
    return path


def _read_cookie_domain(value: object) -> str:
    domain = read_host_pattern(value.removeprefix(".") if isinstance(value, str) else value)
    if domain.startswith(("*.", "[")):
        raise Mistake(
            f"the domain of a cookie is a name, not {shown(value)}",
            "a cookie of example.com is sent to everything below it, too",
        )
    return domain


class Sessions(Section):
    """What keeps a client on one endpoint: `cookie`, `learned`, or a part of the request."""

    title: ClassVar[str] = "`sessions`"

    cookie: CookieName | None = alternative()
    """The name of a cookie that we issue. It names the endpoint to whoever holds the key, and to nobody else;
    nothing is remembered, and every balancer with the key agrees."""
    learned: CookieName | None = alternative()
    """The name of a cookie that the application issues: we remember which endpoint did."""
    header: HeaderName | None = alternative()
    """The name of a header: its value stays on the endpoint that it got first."""
    query: Parameter | None = alternative()
    """The name of a query parameter, likewise."""
    client: Literal[True] | None = alternative()
    """`true`: the client's address, likewise."""
    by: OneKey | None = alternative()
    """Any part of the request, likewise: `host`, `path`, `uri`, `{cookie: NAME}` …"""
    strict: bool = False
    """While the endpoint is full: wait for it, and be shed, rather than go to another one for this
    request."""
    path: Annotated[StrictStr, BeforeValidator(_read_cookie_path)] = "/"
    """`Path` of our cookie."""
    domain: Annotated[StrictStr, BeforeValidator(_read_cookie_domain)] | None = alternative()
    """`Domain` of our cookie; by default the host that was asked for."""
    secure: bool = False
    """`Secure`: only over TLS. Off by default, because we are often asked without TLS; set it where the site
    is HTTPS."""
    http_only: bool = True
    """`HttpOnly`: scripts do not see it."""
    same_site: Literal["strict", "lax", "none"] = "lax"
    """`SameSite`; `none` needs `secure`."""
    lifetime: DurationOrNone = None
    """`Max-Age`, and how long its word is taken, at least 1s; by default until the browser closes. It is
    renewed at half time."""
    keys: Annotated[tuple[Key, ...], ShortForm(one_or_list, (_TEXT,))] = ()
    """Secrets of at least 16 characters: the first signs, all are accepted. To change keys put the new one
    first, and remove the old one a lifetime later. Without: one key of this process, so that sessions end
    with it."""
    encrypted: bool = False
    """Encrypt our cookie, so that nobody sees which clients share an endpoint."""
    expiry: Duration = 30 * MINUTE
    """A remembered session that is not used for this long is forgotten. As long as servers commonly keep
    theirs."""
    entries: Annotated[int, Field(strict=True, ge=1, le=100_000_000)] = 100_000
    """Sessions remembered at most, about 100 bytes each; beyond that those used longest ago are forgotten."""
    store: Name | None = alternative()
    """The store in which several balancers remember together; by default each remembers its own."""

    @property
    def key(self) -> KeyBy | None:
        """The part of the request that sessions are known by; `None`: a cookie of ours or a learned one."""
        if self.header is not None:
            return KeyBy(header=self.header)
        if self.query is not None:
            return KeyBy(query=self.query)
        return KeyBy(client=True) if self.client else self.by

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> "Sessions":
        given = [kind for kind in _KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise Mistake(
                f"sessions are known by one thing, not {' and '.join(given) or 'none'}",
                "write cookie: NAME, learned: NAME, header: NAME, query: NAME, client: true or by: …",
            )
        strange = [key for key in (_REMEMBERED if given == ["cookie"] else _OF_OURS) if self._says(key)]
        if strange and given == ["cookie"]:
            what = f"`{strange[0]}` belongs to sessions that are remembered; our cookie needs no memory"
            raise Mistake(what, "remove it")
        if strange:
            what = f"`{strange[0]}` belongs to a cookie of ours, and these sessions are known by {given[0]}"
            raise Mistake(what, "remove it, or write `cookie: NAME`")
        return self

    @model_validator(mode="after")
    def _browsers_keep_the_cookie(self) -> "Sessions":
        name = (self.cookie or "").lower()
        if self.same_site == "none" and not self.secure:
            what = "browsers drop a cookie with SameSite=None that is not secure"
            raise Mistake(what, "add `secure: true`")
        if name.startswith(("__host-", "__secure-")) and not self.secure:
            what = f'browsers drop a cookie called "{self.cookie}" that is not secure'
            raise Mistake(what, "add `secure: true`, or choose another name")
        if name.startswith("__host-") and (self.domain is not None or self.path != "/"):
            what = f'browsers drop a cookie called "{self.cookie}" that has a domain or another path than /'
            raise Mistake(what, "remove them, or choose another name")
        if self.lifetime is not None and self.lifetime < SECOND:
            raise Mistake("the lifetime of a cookie is at least 1s", "browsers count in seconds")
        return self

    def _says(self, key: str) -> bool:
        return bool(getattr(self, key) != type(self).model_fields[key].default)


def _in_full(value: Any) -> Any:
    """`cookie` and `client` as what they stand for."""
    if value in ("cookie", "client"):
        return {"cookie": COOKIE} if value == "cookie" else {"client": True}
    if value is None:
        raise Mistake("a value is missing here", "write cookie, client, {header: NAME}, or off")
    if none_word(value) is None:
        return None
    if isinstance(value, dict) and value.get("cookie") is True:
        return {**value, "cookie": COOKIE}
    if isinstance(value, str):
        hint = "{cookie: NAME} is a cookie of ours, {learned: NAME} one of the application"
        raise Mistake(f"expected cookie, client or a mapping, not {shown(value)}", hint)
    return value


SessionsOrOff = Annotated[
    Sessions | None,
    ShortForm(_in_full, ({"enum": ["cookie", "client", "off", False]},)),
    WrapSerializer(written_or_off),
]
