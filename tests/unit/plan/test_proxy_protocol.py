"""The PROXY protocol from the configuration to the plan, and what changes between two of them."""

from tests.support.catalogs import catalog

from bascule import contract
from bascule.config.load import Text
from bascule.config.parse import parse
from bascule.plan.build import build
from bascule.plan.diff import describe
from bascule.plan.plan import Plan

WRITTEN = """
listeners:
  web: {bind: "127.0.0.1:8080", pool: site, proxy_protocol: {from: [10.0.0.0/8, "2001:db8::/32"]}}
pools:
  site:
    endpoints: [10.0.0.1:8000]
    check: /healthz
    load: /load
    proxy_protocol: {version: 2, tlvs: [alpn, sni]}
"""


def planned(content: str) -> Plan:
    return build(parse(Text.of(content, "bascule.yaml", {})), catalog())


def test_checks_and_questions_for_the_load_are_announced_like_clients() -> None:
    plan = planned(WRITTEN)
    assert plan.listeners[0].proxy_protocol == contract.Announced(("10.0.0.0/8", "2001:db8::/32"))
    (pool,) = plan.pools
    assert pool.template.proxy_protocol == contract.Announce("v2", ("alpn", "sni"))
    assert pool.check is not None
    assert pool.load is not None
    assert (pool.check.announce, pool.load.announce) == ("v2", "v2")


def test_a_pool_without_announces_nobody() -> None:
    plan = planned(WRITTEN.replace("{version: 2, tlvs: [alpn, sni]}", "off"))
    (pool,) = plan.pools
    assert pool.check is not None
    assert (pool.template.proxy_protocol, pool.check.announce) == (None, None)


def test_what_changes_is_said_in_words() -> None:
    def changes(old: str, new: str) -> list[str]:
        said = describe(planned(WRITTEN), planned(WRITTEN.replace(old, new)))
        return [line for line in said if "proxy" in line.lower()]

    assert changes("{from: [10.0.0.0/8,", "{from: [10.1.0.0/16,") == [
        "listener web: connections from 10.1.0.0/16, 2001:db8::/32 begin with a PROXY header"
    ]
    assert changes(', proxy_protocol: {from: [10.0.0.0/8, "2001:db8::/32"]}', "") == [
        "listener web: no connection begins with a PROXY header any more"
    ]
    assert changes("{version: 2, tlvs: [alpn, sni]}", "v1") == [
        "pool site: connections to endpoints begin with a PROXY header, v1"
    ]
    assert changes("{version: 2, tlvs: [alpn, sni]}", "off") == [
        "pool site: connections to endpoints no longer begin with a PROXY header"
    ]
