"""What checks of databases have in common."""

import sys

import pytest

from bascule.contract import Secret
from bascule.errors import BasculeError
from bascule.health.check import CheckFailed
from bascule.health.checks.mysql import MysqlCheck
from bascule.health.checks.postgres import PostgresCheck
from bascule.health.checks.redis import RedisCheck
from bascule.health.databases import Login, Wanted
from bascule.plan.plan import PlannedCheck

CHECKS = (PostgresCheck, MysqlCheck, RedisCheck)


@pytest.mark.parametrize(
    ("check", "module"), [(PostgresCheck, "psycopg"), (MysqlCheck, "asyncmy"), (RedisCheck, "redis")]
)
def test_a_missing_library_is_an_operators_error_that_says_what_to_install(
    check: type[PostgresCheck], module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [it for it in sys.modules if it == module or it.startswith(f"{module}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "path_importer_cache", {})
    with pytest.raises(BasculeError) as refused:
        check.from_options({})
    assert refused.value.message == (
        f"a {check.name} check needs the Python package {module}, which is not installed"
    )
    assert refused.value.hint == f"install it: pip install 'bascule[{check.name}]'"


@pytest.mark.parametrize("check", CHECKS, ids=lambda it: it.name)
@pytest.mark.parametrize(
    "options",
    [{"role": "writer"}, {"max_lag_ms": -1}, {"max_lag_ms": "5s"}, {"user": 5}, {"nonsense": 1}],
    ids=str,
)
def test_options_that_make_no_sense_are_refused(
    check: type[PostgresCheck], options: dict[str, object]
) -> None:
    with pytest.raises(BasculeError):
        check.from_options(options)


@pytest.mark.parametrize(
    "options", [{"sentinels": ["10.0.0.1:26379"]}, {"max_lag_bytes": -1}, {"max_lag_bytes": True}], ids=str
)
def test_options_of_redis_that_make_no_sense_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(BasculeError):
        RedisCheck.from_options(options)


def reason(wanted: Wanted, role: str, lag_s: float | None) -> str:
    with pytest.raises(CheckFailed) as failed:
        wanted.judge(role, lag_s, "nobody knows")
    return failed.value.reason


def test_a_role_that_is_not_the_wanted_one_is_named() -> None:
    assert reason(Wanted("primary"), "replica", 0) == "is a replica, wanted the primary"
    assert reason(Wanted("replica"), "primary", 0) == "is the primary, wanted a replica"
    for role in ("primary", "replica"):
        Wanted(role).judge(role, None)
        Wanted("any").judge(role, None)


def test_a_limit_is_kept_by_what_is_known_to_keep_it() -> None:
    wanted = Wanted("replica", 5000)
    wanted.judge("replica", 5.0)
    assert reason(wanted, "replica", 12.3) == "is 12.3 s behind, allowed are 5 s"
    assert reason(wanted, "replica", None) == "nobody knows"
    Wanted("any", 5000).judge("primary", None)


def test_a_password_is_in_no_message_and_in_no_plan() -> None:
    options = {"user": "bascule", "password": Secret("a-long-password")}
    assert "a-long-password" not in repr(PlannedCheck("postgres", options, 1, 1, 1, 1, True))
    for check in CHECKS:
        assert "a-long-password" not in repr(check.from_options(options))
    said = Login.from_options(options).without_secrets("no user\n a-long-password@db")
    assert said == "no user …@db"
