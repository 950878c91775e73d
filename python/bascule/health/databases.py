"""What checks of databases have in common: the role that is wanted, how far behind is too far, the log-in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Self

from bascule.contract import Secret
from bascule.errors import BasculeError
from bascule.health.check import CheckFailed

PRIMARY, REPLICA, ANY = "primary", "replica", "any"
ROLES = (PRIMARY, REPLICA, ANY)

_IN_WORDS = {PRIMARY: "the primary", REPLICA: "a replica"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an endpoint has to be to pass."""

    role: str = ANY
    max_lag_ms: int | None = None
    """How far behind its primary a replica may be."""

    @classmethod
    def from_options(cls, options: Mapping[str, object]) -> Self:
        """Raises `BasculeError` when it makes no sense."""
        role, lag = options.get("role", ANY), options.get("max_lag_ms")
        if role not in ROLES:
            raise BasculeError(f"role must be one of {', '.join(ROLES)}, not {role!r}")
        if lag is not None and (not isinstance(lag, int) or isinstance(lag, bool) or lag < 0):
            raise BasculeError(f"max_lag_ms must be a number of milliseconds, not {lag!r}")
        return cls(str(role), lag)

    def judge(
        self, role: str, lag_s: float | None, unknown: str = "does not say how far it is behind"
    ) -> None:
        """Raises `CheckFailed` unless it has the `role`, and is no more than `lag_s` behind.

        `unknown` says why when there is no telling: no limit is kept by what nobody knows.
        """
        if self.role not in (ANY, role):
            raise CheckFailed(f"is {_IN_WORDS[role]}, wanted {_IN_WORDS[self.role]}")
        if role == PRIMARY or self.max_lag_ms is None:
            return
        if lag_s is None:
            raise CheckFailed(unknown)
        if lag_s * 1000 > self.max_lag_ms:
            raise CheckFailed(f"is {lag_s:.1f} s behind, allowed are {self.max_lag_ms / 1000:g} s")


@dataclass(frozen=True, slots=True)
class Login:
    """Who asks."""

    user: str | None = None
    password: Secret | None = field(default=None, repr=False)
    database: str | None = None

    @classmethod
    def from_options(cls, options: Mapping[str, object]) -> Self:
        """From `user`, `password` and `database`. Raises `BasculeError`, without the password."""
        for key in ("user", "password", "database"):
            if not isinstance(options.get(key), str | None):
                raise BasculeError(f"{key} of a check must be text")
        user, password, database = (options.get(key) for key in ("user", "password", "database"))
        return cls(
            None if user is None else str(user),
            None if password is None else Secret(password),
            None if database is None else str(database),
        )

    def without_secrets(self, said: object) -> str:
        """What a library said, in one piece and without the password, should it be in there."""
        words = " ".join(str(said).split())
        # Three characters are found in words that have nothing to do with it.
        if self.password is not None and len(self.password) > 3:
            words = words.replace(self.password, "…")
        return words


def know_options(check: str, options: Mapping[str, object], known: set[str]) -> None:
    """Raises `BasculeError` when there are others."""
    if unknown := options.keys() - known:
        raise BasculeError(f"a {check} check has no option {', '.join(sorted(unknown))}")


def need_library(module: str, extra: str) -> None:
    """Imports the client library of a check, which takes a while. Raises `BasculeError` when there is none.

    Done when a check is made, not when it is first run: then others would have to wait for it.
    """
    try:
        import_module(module)
    except ImportError as error:
        # psycopg without libpq is there, and cannot be imported.
        missing = isinstance(error, ModuleNotFoundError) and error.name == module.partition(".")[0]
        why = "is not installed" if missing else f"cannot be imported: {' '.join(str(error).split())}"
        raise BasculeError(
            f"a {extra} check needs the Python package {module.partition('.')[0]}, which {why}",
            f"install it: pip install 'bascule[{extra}]'",
        ) from error
