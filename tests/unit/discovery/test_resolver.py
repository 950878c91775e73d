"""What is asked, of whom, and what an answer is worth."""

from pathlib import Path

import pytest
from tests.support.toy_dns import ToyDns

from bascule.discovery.resolver import Addresses, Resolver, Service, Services, Unanswered
from bascule.errors import BasculeError


def resolver_of(dns: ToyDns, patience_s: float = 10) -> Resolver:
    return Resolver([dns.nameserver], patience_s=patience_s)


async def test_both_families_are_found_sorted_without_doubles_with_their_ttl() -> None:
    async with ToyDns() as dns:
        dns.set("app.internal", "A", "10.0.0.10", "10.0.0.9", ttl=30)
        dns.set("app.internal", "AAAA", "fd00::2", "fd00::1", ttl=90)
        assert await resolver_of(dns).addresses("app.internal") == {
            "A": Addresses(("10.0.0.9", "10.0.0.10"), 30),
            "AAAA": Addresses(("fd00::1", "fd00::2"), 90),
        }


async def test_the_shortest_ttl_of_a_chain_of_aliases_counts() -> None:
    async with ToyDns() as dns:
        dns.set("www.app.internal", "CNAME", "app.internal.", ttl=5)
        dns.set("app.internal", "A", "10.0.0.1", ttl=300)
        answers = await resolver_of(dns).addresses("www.app.internal")
        assert answers["A"] == Addresses(("10.0.0.1",), 5)


async def test_a_loop_of_aliases_is_no_answer() -> None:
    async with ToyDns() as dns:
        dns.set("a.internal", "CNAME", "b.internal.")
        dns.set("b.internal", "CNAME", "a.internal.")
        for answer in (await resolver_of(dns).addresses("a.internal")).values():
            assert answer == Addresses((), 60) or isinstance(answer, Unanswered)


async def test_a_name_that_does_not_exist_has_no_addresses() -> None:
    async with ToyDns() as dns:
        answers = await resolver_of(dns).addresses("nowhere.internal")
        assert answers == {"A": Addresses((), 0), "AAAA": Addresses((), 0)}


@pytest.mark.parametrize("failure", ["SERVFAIL", "REFUSED", "SILENCE"])
async def test_a_server_that_fails_says_nothing_about_the_name(failure: str) -> None:
    async with ToyDns() as dns:
        dns.set("app.internal", "A", "10.0.0.1")
        dns.failure = failure
        answers = await resolver_of(dns, 0.3 if failure == "SILENCE" else 10).addresses("app.internal")
        assert all(isinstance(it, Unanswered) and it.reason for it in answers.values())


async def test_one_family_may_fail_without_the_other() -> None:
    async with ToyDns() as dns:
        dns.set("app.internal", "A", "10.0.0.1")
        dns.deaf_to.add("AAAA")
        answers = await resolver_of(dns, 0.5).addresses("app.internal")
        assert answers["A"] == Addresses(("10.0.0.1",), 60)
        assert isinstance(answers["AAAA"], Unanswered)


async def test_an_answer_too_large_for_a_datagram_is_asked_for_again_by_tcp() -> None:
    many = [f"10.1.{high}.{low}" for high in range(2) for low in range(200)]
    async with ToyDns() as dns:
        dns.set("big.internal", "A", *many)
        answer = (await resolver_of(dns).addresses("big.internal"))["A"]
        assert isinstance(answer, Addresses)
        assert set(answer.found) == set(many)
        assert ("big.internal", "A", "tcp") in dns.asked


async def test_services_come_in_a_fixed_order_and_not_here_means_none() -> None:
    async with ToyDns() as dns:
        dns.set("_http._tcp.app", "SRV", "20 0 80 c.app.", "10 5 81 B.app.", "10 5 80 a.app.", ttl=7)
        dns.set("_ftp._tcp.app", "SRV", "0 0 0 .")
        assert await resolver_of(dns).services("_http._tcp.app") == Services(
            (Service(10, 5, 80, "a.app"), Service(10, 5, 81, "b.app"), Service(20, 0, 80, "c.app")), 7
        )
        answer = await resolver_of(dns).services("_ftp._tcp.app")
        assert isinstance(answer, Services)
        assert answer.found == ()


async def test_the_hosts_file_wins_and_its_aliases_count(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text(
        "# ours\n10.0.0.5 app.internal App  # here\nfd00::5 app\nfe80::1%eth0 app\nnonsense app\n"
    )
    answers = await Resolver(hosts=hosts).addresses("APP.")
    assert answers["A"] == Addresses(("10.0.0.5",), 10)
    assert answers["AAAA"] == Addresses(("fd00::5",), 10)


@pytest.mark.parametrize("name", ["localhost", "db.localhost"])
async def test_localhost_needs_neither_hosts_file_nor_dns(name: str, tmp_path: Path) -> None:
    answers = await Resolver(hosts=tmp_path / "none").addresses(name)
    assert [it.found for it in answers.values() if isinstance(it, Addresses)] == [("127.0.0.1",), ("::1",)]


async def test_an_address_is_its_own_answer() -> None:
    async with ToyDns() as dns:
        answers = await resolver_of(dns).addresses("10.0.0.1")
        assert answers["A"] == Addresses(("10.0.0.1",), 10)
        assert dns.asked == []


@pytest.mark.parametrize("name", ["a" * 64 + ".internal", "a..b", "\x00", "é" * 80])
async def test_an_impossible_name_is_no_answer(name: str) -> None:
    async with ToyDns() as dns:
        answers = await resolver_of(dns).addresses(name)
        assert not any(it.found for it in answers.values() if isinstance(it, Addresses))


@pytest.mark.parametrize("written", ["ns.internal", "10.0.0.1:dns", "[::1", ""])
def test_a_name_server_must_be_an_address(written: str) -> None:
    with pytest.raises(BasculeError, match="is not an address"):
        Resolver([written])


@pytest.mark.parametrize("written", ["10.0.0.53", "10.0.0.53:5353", "::1", "[::1]", "[::1]:53"])
def test_a_name_server_may_have_a_port(written: str) -> None:
    Resolver([written])
