"""The stores that several balancers share."""

from typing import Annotated, Any, ClassVar
from urllib.parse import unquote, urlsplit

from pydantic import Field, StrictStr, model_validator

from bascule.config.addresses import StoreAddress
from bascule.config.problems import Mistake
from bascule.config.secrets import Password
from bascule.config.section import Section, alternative
from bascule.config.values import Duration, ShortForm, shown

_FORM = "write redis://user:password@127.0.0.1:6379/0, unix:///path, or {address: …, password: …}"


class Store(Section):
    """A Redis or Valkey that several balancers share. While it is down, requests go on without it."""

    title: ClassVar[str] = "a store"

    address: Annotated[StoreAddress, Field(examples=["127.0.0.1:6379"])]
    """`ip:port` or `unix:/path`; the port is 6379 unless it is written. Names are not resolved here."""
    username: StrictStr | None = alternative(min_length=1)
    """A user of its access control list; by default the default user."""
    password: Password | None = alternative()
    """By default none. Take it from the environment: `"${REDIS_PASSWORD}"`."""
    database: Annotated[int, Field(strict=True, ge=0, le=1_000_000)] = 0
    """Its number."""
    prefix: StrictStr = "bascule:"
    """Before every key: balancers that share sessions and rate limits have the same."""
    wait: Duration = 50
    """A request waits no longer for it; then it goes on without. More than a store nearby ever takes, and
    less than a person notices."""

    @model_validator(mode="after")
    def _has_a_password_for_its_user(self) -> "Store":
        if self.username is not None and self.password is None:
            raise Mistake("a user of a store needs a password", "add `password`, or remove `username`")
        return self


def _in_full(value: Any) -> Any:
    """`redis://user:password@host:port/database` and `unix:///path` as a mapping."""
    if not isinstance(value, str):
        return value
    scheme, separator, path = value.partition("://")
    if not separator:
        return {"address": value}
    if scheme == "unix":
        return {"address": f"unix:{path}"}
    if scheme not in ("redis", "valkey"):
        what = f"a store is at redis://…, valkey://… or unix://…, not at {shown(scheme + '://…')}"
        raise Mistake(what, "TLS to stores is not spoken here" if scheme == "rediss" else _FORM)
    return _read_url(value)


def _read_url(value: str) -> dict[str, Any]:
    """Nothing of it is quoted in a message: there may be a password in it."""
    odd = "its special characters are percent-encoded (%23 for #); or write {address: …, password: …}"
    try:
        parts = urlsplit(value)
        port = parts.port or 6379
    except ValueError as error:
        raise Mistake("the address of this store does not make sense", odd) from error
    if not parts.hostname or parts.query or parts.fragment:
        raise Mistake("the address of this store does not make sense", odd)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    written: dict[str, Any] = {"address": f"{host}:{port}"}
    if parts.username:
        written["username"] = unquote(parts.username)
    if parts.password:
        written["password"] = unquote(parts.password)
    if number := parts.path.strip("/"):
        if not (number.isascii() and number.isdigit()):
            raise Mistake(f"expected the number of a database, not {shown(number)}", "for example …:6379/0")
        written["database"] = int(number[:9])
    return written


OneStore = Annotated[
    Store, ShortForm(_in_full, ({"type": "string", "examples": ["redis://127.0.0.1:6379/0"]},))
]
