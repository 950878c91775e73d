"""Endpoints written in the configuration."""

from pathlib import Path

import pytest
from tests.support.reports import running
from tests.support.toy_dns import ToyDns

from bascule.clock import ManualClock
from bascule.contract import UnixAddress
from bascule.discovery.resolver import Resolver
from bascule.discovery.sources.static import PARTIAL_AFTER_S, StaticSource
from bascule.discovery.written import read_endpoint
from bascule.errors import BasculeError


def source_of(dns: ToyDns, *written: object, patience_s: float = 10) -> StaticSource:
    resolver = Resolver([dns.nameserver], patience_s=patience_s)
    return StaticSource(tuple(read_endpoint(it) for it in written), resolver)


async def test_addresses_are_reported_at_once_in_order_and_once_for_all() -> None:
    source = StaticSource.from_options(
        {
            "endpoints": [
                {"address": "10.0.0.2:80", "weight": 3, "id": "10.0.0.2:80"},
                {"address": "unix:/run/app.sock", "weight": 1, "id": "local"},
            ]
        }
    )
    clock = ManualClock()
    async with running(source, clock) as report:
        await clock.advance(1000)
    assert len(report.answers) == 1
    assert report.ids == ["10.0.0.2:80", "local"]
    assert [it.weight for it in report.answers[0]] == [3, 1]
    assert report.answers[0][1].address == UnixAddress("/run/app.sock")


async def test_a_name_is_resolved_again_when_its_time_is_over() -> None:
    clock = ManualClock()
    async with ToyDns() as dns:
        dns.set("app.internal", "A", "10.0.0.1", ttl=30)
        async with running(source_of(dns, "app.internal:80"), clock) as report:
            await report.until(1)
            dns.set("app.internal", "A", "10.0.0.2", ttl=30)
            await clock.advance(29)
            assert report.ids == ["10.0.0.1:80"]
            await clock.advance(1)
            await report.until(2)
            assert report.ids == ["10.0.0.2:80"]
            assert report.answers[-1][0].host == "app.internal"


async def test_a_name_with_both_families_stands_for_its_ipv4_addresses() -> None:
    async with ToyDns() as dns:
        dns.set("both.internal", "A", "10.0.0.1")
        dns.set("both.internal", "AAAA", "fd00::1")
        dns.set("six.internal", "AAAA", "fd00::6")
        async with running(source_of(dns, "both.internal:80", "six.internal:80"), ManualClock()) as report:
            await report.until(1)
            assert report.ids == ["10.0.0.1:80", "[fd00::6]:80"]


async def test_one_name_that_does_not_resolve_costs_only_itself() -> None:
    async with ToyDns() as dns:
        dns.set("app.internal", "A", "10.0.0.1")
        async with running(
            source_of(dns, "10.0.0.9:80", "gone.internal:80", "app.internal:80"), ManualClock()
        ) as report:
            await report.until(1)
            assert report.ids == ["10.0.0.9:80", "10.0.0.1:80"]
            assert report.problems == ("gone.internal: has no addresses",)


async def test_names_that_are_slow_do_not_keep_the_others_back() -> None:
    clock = ManualClock()
    async with ToyDns() as dns:
        dns.failure = "SILENCE"
        async with running(
            source_of(dns, "10.0.0.9:80", "slow.internal:80", patience_s=0.3), clock
        ) as report:
            await clock.advance(PARTIAL_AFTER_S)
            assert report.ids == ["10.0.0.9:80"]
            await report.until(2)
            assert report.partial == [True, False]


async def test_only_names_and_none_resolves_is_a_failure_that_mends_itself() -> None:
    clock = ManualClock()
    async with ToyDns() as dns, running(source_of(dns, "app.internal:80"), clock) as report:
        await report.until(1)
        assert report.failures == ["app.internal: has no addresses"]
        dns.set("app.internal", "A", "10.0.0.1")
        await clock.advance(1)
        await report.until(2)
        assert report.ids == ["10.0.0.1:80"]


@pytest.mark.parametrize("options", [{}, {"endpoints": "10.0.0.1:80"}, {"endpoints": ["10.0.0.1"]}])
def test_options_that_make_no_sense_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(BasculeError):
        StaticSource.from_options(options)


async def test_a_relative_socket_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BasculeError, match="absolute path"):
        StaticSource.from_options({"endpoints": [{"address": f"unix:{tmp_path.name}"}]})
