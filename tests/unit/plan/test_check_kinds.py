"""What checks in other protocols are planned as, and what follows from the role that is asked for."""

import pytest
from tests.support.catalogs import catalog

from bascule.config.load import Text
from bascule.config.model import Config
from bascule.config.parse import parse
from bascule.plan.build import build
from bascule.plan.plan import PlannedAuthorities, PlannedCheck, PlannedPool


def config_of(pool: str) -> Config:
    listeners = "listeners: {web: {bind: 127.0.0.1:80, pool: a}}\n"
    written = f"{listeners}pools: {{a: {{endpoints: 10.0.0.1:80, {pool}}}}}\n"
    return parse(Text.of(written, "bascule.yaml", {}))


def pool_of(pool: str) -> PlannedPool:
    return build(config_of(pool), catalog()).pools[0]


def again(pool: str) -> PlannedPool:
    """As `pool_of`, by way of the configuration with all that was not said."""
    written = config_of(pool).model_dump(mode="json", by_alias=True, context={"secrets": True})
    return build(Config.model_validate(written), catalog()).pools[0]


def check_of(check: str) -> PlannedCheck:
    planned = pool_of(f"check: {check}").check
    assert planned is not None
    return planned


@pytest.mark.parametrize(
    ("written", "kind", "options"),
    [
        ("tcp", "tcp", {}),
        ("{tcp: {expect: hi}}", "tcp", {"expect": {"text": "hi"}}),
        (
            '{tcp: {send: {hex: "00 ff"}, expect: {regex: ^a}}}',
            "tcp",
            {"send": {"hex": "00 ff"}, "expect": {"regex": "^a"}},
        ),
        ("tls", "tls", {}),
        ("{tls: {min_days: 14}}", "tls", {"min_days": 14}),
        ("{udp: {send: hi}}", "udp", {"send": {"text": "hi"}}),
        ("{udp: {send: hi, silence: pass}, timeout: 1s}", "udp", {"send": {"text": "hi"}, "silence_ms": 750}),
        (
            "{dns: {name: a.example, type: aaaa}}",
            "dns",
            {"name": "a.example", "type": "AAAA", "expect": [], "transport": "udp"},
        ),
        ("{command: [/bin/true, x]}", "command", {"command": ["/bin/true", "x"], "env": {}}),
        ("redis", "redis", {"role": "any"}),
        ("{redis: master}", "redis", {"role": "primary"}),
        (
            "{redis: {sentinel: 10.0.0.9, service: s}}",
            "redis",
            {"role": "primary", "sentinels": ["10.0.0.9:26379"], "service": "s"},
        ),
        (
            "{postgres: {user: b, role: standby, max_lag: 5s}}",
            "postgres",
            {"user": "b", "role": "replica", "max_lag_ms": 5000},
        ),
        (
            "{mysql: {user: b, password: a-word, database: d}}",
            "mysql",
            {"user": "b", "password": "a-word", "database": "d", "role": "any"},
        ),
    ],
)
def test_a_check_becomes_its_kind_and_options(written: str, kind: str, options: dict[str, object]) -> None:
    planned = check_of(written)
    assert (planned.kind, planned.options) == (kind, options)
    # Written out with every default, it says the same.
    assert again(f"check: {written}").check == planned


def followed(check: str, more: str = "") -> tuple[bool, int, int, bool, int]:
    pool = pool_of(f"check: {check}{more}")
    assert pool == again(f"check: {check}{more}")
    planned = pool.check
    assert planned is not None
    return (
        planned.exclusive,
        planned.rise,
        planned.fall,
        planned.initially_up,
        pool.template.panic_percent,
    )


@pytest.mark.parametrize(
    ("check", "followed_by"),
    [
        ("tcp", (False, 2, 3, True, 50)),
        ("{redis: {role: any}}", (False, 2, 3, True, 50)),
        ("{redis: {role: any, max_lag: 1s}}", (False, 2, 3, False, 0)),
        ("{redis: {role: replica}}", (False, 2, 3, False, 0)),
        ("{redis: {role: primary}}", (True, 1, 1, False, 0)),
        ("{tcp: true, exclusive: true}", (True, 1, 1, False, 0)),
        ("{redis: {role: primary}, fall: 2}", (True, 1, 2, False, 0)),
        ("{redis: {role: primary}, exclusive: false}", (False, 2, 3, False, 0)),
        ("{redis: {role: replica}, initially: up}", (False, 2, 3, True, 0)),
    ],
)
def test_what_is_not_said_follows_from_the_role(
    check: str, followed_by: tuple[bool, int, int, bool, int]
) -> None:
    assert followed(check) == followed_by


def test_an_explicit_panic_threshold_counts() -> None:
    assert followed("redis", ", panic: 20%")[-1] == 20
    assert followed("{redis: primary}", ", panic: 20%")[-1] == 20


def test_a_check_may_be_made_at_another_port() -> None:
    assert check_of("{http: /, port: 9000}").port == 9000
    assert check_of("/").port is None


def test_tls_is_as_the_check_says_else_as_the_pool_does() -> None:
    def tls(pool: str) -> tuple[object, str | None] | None:
        planned = pool_of(pool).check
        assert planned == again(pool).check
        assert planned is not None
        return None if planned.tls is None else (planned.tls.authorities, planned.tls.server_name)

    system = PlannedAuthorities(())
    assert tls("check: tcp") is None
    assert tls("check: tls") == (system, None)
    assert tls("tls: {server_name: a.example}, check: {tls: {min_days: 3}}") == (system, "a.example")
    assert tls("tls: {server_name: a.example}, check: {tls: {server_name: b.example}}") == (
        system,
        "b.example",
    )
    assert tls("tls: {server_name: a.example}, check: redis") == (system, "a.example")
    assert tls("tls: {server_name: a.example}, check: {redis: {tls: {server_name: c.example}}}") == (
        system,
        "c.example",
    )
    # These begin in the clear, and go over to TLS when they are asked to: that is not the pool's TLS.
    assert tls("tls: on, check: {postgres: {user: b}}") is None
    assert tls("check: {mysql: {user: b, tls: on}}") == (system, None)
