"""What checks ask databases: whether a log-in succeeds, which role they have, and how far they are behind."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, StrictStr, model_validator

from bascule.config.addresses import SentinelAddress
from bascule.config.problems import Mistake
from bascule.config.secrets import Password
from bascule.config.section import Section, alternative
from bascule.config.tls import PoolTlsOrOff
from bascule.config.values import Duration, ShortForm, Size, one_or_list, shown, text

_TEXT = {"type": "string"}
_WORDS = {"master": "primary", "leader": "primary", "slave": "replica", "standby": "replica"}
_USER = Annotated[StrictStr, Field(min_length=1, examples=["bascule"])]


def read_role(value: object) -> str:
    """`primary`, `replica` or `any`, by whatever name."""
    role = text(value, "a role: primary, replica or any").lower()
    role = _WORDS.get(role, role)
    if role not in ("primary", "replica", "any"):
        raise Mistake(f"there is no role {shown(value)}", "write primary, replica or any")
    return role


Role = Annotated[Literal["primary", "replica", "any"], BeforeValidator(read_role)]


class DatabaseQuestion(Section):
    """What all databases are asked."""

    title: ClassVar[str] = "a check of a database"

    role: Role = "any"
    """What passes: the `primary`, a `replica`, or `any`. Of primaries there is one: while several claim to be
    it, none is used."""
    max_lag: Duration | None = alternative()
    """How far behind its primary a replica may be."""
    password: Password | None = alternative()
    """By default none. Take it from the environment: `"${DB_PASSWORD}"`."""
    tls: PoolTlsOrOff = None
    """How TLS is spoken while asking: `on`, or `{server_name, ca, …}`."""

    @model_validator(mode="after")
    def _is_of_one_mind(self) -> "DatabaseQuestion":
        if self.role == "primary" and (self.max_lag is not None or getattr(self, "max_lag_bytes", None)):
            raise Mistake("a primary is behind nobody", "remove `max_lag`, or write role: replica")
        return self

    @property
    def is_particular(self) -> bool:
        """Whether some endpoints that work do not pass."""
        return self.role != "any" or self.max_lag is not None


class _SqlQuestion(DatabaseQuestion):
    user: _USER
    """Who asks. A user of its own, without rights to any data."""
    database: StrictStr | None = alternative(min_length=1)
    """Which database it logs in to."""


class PostgresQuestion(_SqlQuestion):
    """Log in to PostgreSQL and ask. The user needs no rights beyond that; the database is `postgres`."""

    title: ClassVar[str] = "a postgres check"

    @model_validator(mode="after")
    def _trusts_one_file(self) -> "PostgresQuestion":
        if self.tls is not None and max(len(self.tls.ca), len(self.tls.crl)) > 1:
            raise Mistake("PostgreSQL's client reads one file of authorities", "put them into one")
        return self


class MysqlQuestion(_SqlQuestion):
    """Log in to MariaDB or MySQL and ask. The user needs `REPLICA MONITOR` (MySQL: `REPLICATION CLIENT`)."""

    title: ClassVar[str] = "a mysql check"


class RedisQuestion(DatabaseQuestion):
    """Log in to Redis or Valkey and ask. The user needs the command `INFO`. `tls` may be the pool's."""

    title: ClassVar[str] = "a redis check"

    user: _USER | None = alternative()
    """A user of its access control list; by default the default user."""
    max_lag_bytes: Size | None = alternative()
    """How much of its primary's data a replica may be behind; the primary is asked, too."""
    sentinel: Annotated[
        tuple[SentinelAddress, ...] | None,
        ShortForm(one_or_list, (_TEXT,)),
    ] = alternative()
    """Addresses of the sentinels, which decide who is the primary: most of those that answer."""
    service: StrictStr | None = alternative(min_length=1, examples=["mymaster"])
    """What the sentinels call these servers."""
    sentinel_password: Password | None = alternative()
    """Of the sentinels themselves, where they have one."""

    @model_validator(mode="after")
    def _is_complete(self) -> "RedisQuestion":
        if self.user is not None and self.password is None:
            raise Mistake("a user needs a password", "add `password`, or remove `user`")
        if (self.sentinel is None) != (self.service is None):
            missing = "service" if self.service is None else "sentinel"
            raise Mistake(
                f"`sentinel` and `service` belong together: `{missing}` is missing", f"add `{missing}`"
            )
        if self.sentinel is None and self.sentinel_password is not None:
            raise Mistake("`sentinel_password` belongs to `sentinel`", "remove it")
        if self.sentinel is not None and self.role != "primary":
            raise Mistake(
                "sentinels are asked who the primary is", "write role: primary, or remove `sentinel`"
            )
        return self

    @property
    def is_particular(self) -> bool:
        return super().is_particular or self.max_lag_bytes is not None


def _role(value: Any) -> Any:
    """A role alone, or `true` for any."""
    return {} if value is True else {"role": value} if isinstance(value, str) else value


def _redis(value: Any) -> Any:
    """With sentinels it is the primary that is meant."""
    value = _role(value)
    return {"role": "primary", **value} if isinstance(value, dict) and "sentinel" in value else value


_ALSO = ({"enum": ["primary", "replica", "any", True]},)
OnePostgres = Annotated[PostgresQuestion, ShortForm(_role, _ALSO)]
OneMysql = Annotated[MysqlQuestion, ShortForm(_role, _ALSO)]
OneRedis = Annotated[RedisQuestion, ShortForm(_redis, _ALSO)]
