"""Every address of a name, by its TTL, kept through whatever DNS does."""

import pytest
from tests.support.reports import running
from tests.support.toy_dns import ToyDns

from bascule.clock import ManualClock
from bascule.discovery.names import Name, Ttl
from bascule.discovery.resolver import Resolver
from bascule.discovery.sources.dns import DnsSource
from bascule.errors import BasculeError


def source_of(
    dns: ToyDns, *, minimum_s: float = 1, maximum_s: float = 300, patience_s: float = 10
) -> DnsSource:
    resolver = Resolver([dns.nameserver], patience_s=patience_s)
    name = Name("app.internal", resolver, Ttl(minimum_s, maximum_s))
    return DnsSource(name, 8000, 2)


async def test_all_addresses_of_both_families_are_endpoints() -> None:
    async with ToyDns() as dns:
        dns.set("app.internal", "A", "10.0.0.2", "10.0.0.1")
        dns.set("app.internal", "AAAA", "fd00::1")
        options = {"name": "App.Internal.", "port": 8000, "weight": 2, "nameservers": [dns.nameserver]}
        async with running(DnsSource.from_options(options), ManualClock()) as report:
            await report.until(1)
            assert report.ids == ["10.0.0.1:8000", "10.0.0.2:8000", "[fd00::1]:8000"]
            assert {(it.weight, it.host) for it in report.answers[0]} == {(2, "app.internal")}


@pytest.mark.parametrize(
    ("ttl", "again_after"), [(60, 60), (0, 5), (1, 5), (86_400, 100)], ids=["own", "zero", "short", "long"]
)
async def test_it_is_asked_again_after_its_ttl_within_bounds(ttl: int, again_after: int) -> None:
    clock = ManualClock()
    async with ToyDns() as dns:
        dns.set("app.internal", "A", "10.0.0.1", ttl=ttl)
        async with running(source_of(dns, minimum_s=5, maximum_s=100), clock) as report:
            await report.until(1)
            dns.set("app.internal", "A", "10.0.0.2", ttl=ttl)
            await clock.advance(again_after - 0.5)
            assert len(dns.asked) == 2
            await clock.advance(0.5)
            await report.until(2)
            assert report.ids == ["10.0.0.2:8000"]


async def test_a_ttl_that_changes_is_gone_by_from_then_on() -> None:
    clock = ManualClock()
    async with ToyDns() as dns:
        dns.set("app.internal", "A", "10.0.0.1", ttl=60)
        async with running(source_of(dns), clock) as report:
            await report.until(1)
            dns.set("app.internal", "A", "10.0.0.1", ttl=3)
            await clock.advance(60)
            await report.until(2)
            await clock.advance(3)
            await report.until(3)
    assert clock.now() == 63


async def test_a_zero_ttl_without_a_lower_bound_does_not_spin() -> None:
    clock = ManualClock()
    async with ToyDns() as dns:
        dns.set("app.internal", "A", "10.0.0.1", ttl=0)
        async with running(source_of(dns, minimum_s=0), clock) as report:
            await report.until(1)
            await clock.advance(0.05)
            assert len(dns.asked) == 2


@pytest.mark.parametrize("failure", ["NXDOMAIN", "SERVFAIL", "REFUSED", "SILENCE"])
async def test_a_failure_keeps_the_addresses_and_is_named(failure: str) -> None:
    clock = ManualClock()
    async with ToyDns() as dns:
        dns.set("app.internal", "A", "10.0.0.1", ttl=30)
        async with running(source_of(dns, patience_s=0.3 if failure == "SILENCE" else 10), clock) as report:
            await report.until(1)
            dns.failure = failure
            await clock.advance(30)
            await report.until(2)
            assert report.ids == ["10.0.0.1:8000"]
            assert report.problems[0].startswith("app.internal: ")
            dns.failure = None
            await clock.advance(1)
            await report.until(3)
            assert report.problems == ()


async def test_a_storm_of_nxdomain_is_asked_about_less_and_less_often() -> None:
    clock = ManualClock()
    async with ToyDns() as dns:
        dns.failure = "NXDOMAIN"
        async with running(source_of(dns), clock) as report:
            for said, wait in enumerate((1, 2, 4, 8, 16, 30, 30), start=1):
                await report.until(said)
                await clock.advance(wait - 0.01)
                assert report.said == said
                await clock.advance(0.01)
            await report.until(8)
        assert report.answers == []
        assert set(report.failures) == {"app.internal: has no addresses"}
        assert len(dns.asked) == 16


async def test_a_name_that_does_not_resolve_yet_is_found_when_it_does() -> None:
    clock = ManualClock()
    async with ToyDns() as dns, running(source_of(dns), clock) as report:
        await report.until(1)
        dns.set("app.internal", "A", "10.0.0.1")
        await clock.advance(1)
        await report.until(2)
        assert report.ids == ["10.0.0.1:8000"]


async def test_a_family_that_fails_keeps_its_addresses_while_the_other_changes() -> None:
    clock = ManualClock()
    async with ToyDns() as dns:
        dns.set("app.internal", "A", "10.0.0.1")
        dns.set("app.internal", "AAAA", "fd00::1")
        async with running(source_of(dns, patience_s=0.5), clock) as report:
            await report.until(1)
            dns.deaf_to.add("AAAA")
            dns.set("app.internal", "A", "10.0.0.2")
            await clock.advance(60)
            await report.until(2)
            assert report.ids == ["10.0.0.2:8000", "[fd00::1]:8000"]
            dns.deaf_to.clear()
            dns.set("app.internal", "AAAA")
            await clock.advance(1)
            await report.until(3)
            assert report.ids == ["10.0.0.2:8000"]


@pytest.mark.parametrize(
    "options",
    [
        {"name": "a"},
        {"name": "", "port": 80},
        {"name": "a", "port": 0},
        {"name": "a", "port": 80, "weight": 0},
        {"name": "a", "port": 80, "nameservers": []},
        {"name": "a", "port": 80, "nameservers": ["ns.internal"]},
        {"name": "a", "port": 80, "minimum_ttl_ms": 10, "maximum_ttl_ms": 5},
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(BasculeError):
        DnsSource.from_options(options)
