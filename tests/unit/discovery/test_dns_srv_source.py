"""The services that SRV records list."""

from tests.support.reports import running
from tests.support.toy_dns import ToyDns

from bascule.clock import ManualClock
from bascule.discovery.sources.dns_srv import DnsSrvSource

NAME = "_http._tcp.app.internal"


def source_of(dns: ToyDns, **options: object) -> DnsSrvSource:
    return DnsSrvSource.from_options({"name": NAME, "nameservers": [dns.nameserver], **options})


async def test_targets_of_the_lowest_priority_are_endpoints_with_their_ports_and_weights() -> None:
    async with ToyDns() as dns:
        dns.set(NAME, "SRV", "10 5 8001 a.internal.", "10 0 8002 b.internal.", "20 9 8003 spare.internal.")
        dns.set("a.internal", "A", "10.0.0.1", "10.0.0.2")
        dns.set("b.internal", "AAAA", "fd00::b")
        async with running(source_of(dns), ManualClock()) as report:
            await report.until(1)
            assert [(it.id, it.weight, it.host) for it in report.answers[0]] == [
                ("10.0.0.1:8001", 5, "a.internal"),
                ("10.0.0.2:8001", 5, "a.internal"),
                ("[fd00::b]:8002", 1, "b.internal"),
            ]
        assert not any(name == "spare.internal" for name, _, _ in dns.asked)


async def test_the_weight_of_the_configuration_multiplies_and_is_bounded() -> None:
    async with ToyDns() as dns:
        dns.set(NAME, "SRV", "1 2 80 a.internal.", "1 65535 81 a.internal.")
        dns.set("a.internal", "A", "10.0.0.1")
        async with running(source_of(dns, weight=10), ManualClock()) as report:
            await report.until(1)
            assert [it.weight for it in report.answers[0]] == [20, 65535]


async def test_a_target_moves_by_its_own_ttl_without_asking_for_the_services() -> None:
    clock = ManualClock()
    async with ToyDns() as dns:
        dns.set(NAME, "SRV", "1 1 80 a.internal.", ttl=200)
        dns.set("a.internal", "A", "10.0.0.1", ttl=20)
        async with running(source_of(dns), clock) as report:
            await report.until(1)
            dns.set("a.internal", "A", "10.0.0.2", ttl=20)
            await clock.advance(20)
            await report.until(2)
            assert report.ids == ["10.0.0.2:80"]
        assert sum(kind == "SRV" for _, kind, _ in dns.asked) == 1


async def test_a_service_that_is_added_is_found() -> None:
    clock = ManualClock()
    async with ToyDns() as dns:
        dns.set(NAME, "SRV", "1 1 80 a.internal.", ttl=20)
        dns.set("a.internal", "A", "10.0.0.1", ttl=200)
        dns.set("b.internal", "A", "10.0.0.2", ttl=200)
        async with running(source_of(dns), clock) as report:
            await report.until(1)
            dns.set(NAME, "SRV", "1 1 80 a.internal.", "1 1 80 b.internal.", ttl=20)
            await clock.advance(20)
            await report.until(2)
            assert report.ids == ["10.0.0.1:80", "10.0.0.2:80"]


async def test_records_that_disappear_are_kept_and_missed() -> None:
    clock = ManualClock()
    async with ToyDns() as dns:
        dns.set(NAME, "SRV", "1 1 80 a.internal.", ttl=20)
        dns.set("a.internal", "A", "10.0.0.1", ttl=200)
        async with running(source_of(dns), clock) as report:
            await report.until(1)
            dns.forget(NAME)
            await clock.advance(20)
            await report.until(2)
            assert report.ids == ["10.0.0.1:80"]
            assert report.problems == (f"{NAME}: has no SRV records",)


async def test_a_target_that_does_not_resolve_costs_only_itself() -> None:
    async with ToyDns() as dns:
        dns.set(NAME, "SRV", "1 1 80 a.internal.", "1 1 80 gone.internal.")
        dns.set("a.internal", "A", "10.0.0.1")
        async with running(source_of(dns), ManualClock()) as report:
            await report.until(1)
            assert report.ids == ["10.0.0.1:80"]
            assert report.problems == ("gone.internal: has no addresses",)


async def test_not_available_here_is_a_failure_until_it_is() -> None:
    clock = ManualClock()
    async with ToyDns() as dns:
        dns.set(NAME, "SRV", "0 0 0 .")
        dns.set("a.internal", "A", "10.0.0.1")
        async with running(source_of(dns), clock) as report:
            await report.until(1)
            assert report.failures == [f"{NAME}: has no SRV records"]
            dns.set(NAME, "SRV", "1 1 80 a.internal.")
            await clock.advance(1)
            await report.until(2)
            assert report.ids == ["10.0.0.1:80"]
