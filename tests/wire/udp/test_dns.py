"""A resolver that asks two name servers through the balancer."""

import asyncio

import dns.asyncquery
import dns.message
from tests.support.datagrams import udp_listener
from tests.support.plane import RunningPlane, pool
from tests.support.toy_dns import ToyDns


async def test_questions_are_answered_by_two_name_servers_in_turn() -> None:
    async with ToyDns() as one, ToyDns() as two:
        for server in (one, two):
            server.set("www.example.com", "A", "192.0.2.7")
        listener = udp_listener(responses=1)
        with RunningPlane([pool(one.nameserver, two.nameserver)], [listener], threads=2) as plane:
            host, _, port = plane.address().rpartition(":")
            for number in range(20):
                question = dns.message.make_query("www.example.com", "A")
                answer = await dns.asyncquery.udp(question, host, timeout=10, port=int(port))
                # With the number of the question, and from the address that was asked: dnspython looks.
                assert [str(record) for record in answer.answer[0]] == ["192.0.2.7"], number
            assert len(one.asked) + len(two.asked) == 20
            assert min(len(one.asked), len(two.asked)) >= 8
            assert plane.wait_stats(lambda stats: stats.listeners[0].flows == 0)


async def test_dig_gets_its_answer() -> None:
    async with ToyDns() as server:
        server.set("www.example.com", "TXT", '"as it is"')
        with RunningPlane([pool(server.nameserver)], [udp_listener(responses=1)]) as plane:
            host, _, port = plane.address().rpartition(":")
            words = ("dig", f"@{host}", "-p", port, "+short", "+tries=1", "www.example.com", "TXT")
            asked = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
            said, _ = await asked.communicate()
            assert said == b'"as it is"\n'
