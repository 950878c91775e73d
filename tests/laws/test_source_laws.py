"""What every source must obey, over the registry: stable ids, and the last good answer kept."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.plans import plan_of
from tests.support.reports import running
from tests.support.toy_dns import ToyDns

from bascule.clock import ManualClock
from bascule.discovery.registry import SOURCES, build, find, names
from bascule.discovery.source import Source
from bascule.discovery.watch import Watch
from bascule.plan.plan import PlannedSource
from bascule.tasks import Tasks


@dataclass
class World:
    """Where endpoints can be found, and how that place can be damaged and mended."""

    dns: ToyDns
    file: Path

    def mend(self) -> None:
        self.dns.failure = None
        self.dns.set("app.internal", "A", "10.0.0.2", "10.0.0.1", ttl=1)
        self.dns.set("_http._tcp.app.internal", "SRV", "1 1 80 app.internal.", ttl=1)
        self.file.write_text("- 10.0.0.1:80\n- 10.0.0.2:80\n")

    def turn(self) -> None:
        """The same, as another answer might put it."""
        self.dns.set("app.internal", "A", "10.0.0.1", "10.0.0.2", ttl=2)

    def damage(self) -> None:
        self.dns.failure = "SERVFAIL"
        self.file.write_text("- 10.0.0.1:80\n- {address: ")


OPTIONS: Mapping[str, Callable[[World], dict[str, object]]] = {
    "dns": lambda world: {"name": "app.internal", "port": 80, "nameservers": [world.dns.nameserver]},
    "dns_srv": lambda world: {"name": "_http._tcp.app.internal", "nameservers": [world.dns.nameserver]},
    "file": lambda world: {"path": str(world.file), "every_ms": 1000},
    "static": lambda _: {"endpoints": [{"address": "10.0.0.1:80"}, {"address": "10.0.0.2:80"}]},
}
"""How each source finds the endpoints of the world. A source that is added needs a line here."""

EXPECTED = ["10.0.0.1:80", "10.0.0.2:80"]

every_source = pytest.mark.parametrize("source", SOURCES, ids=lambda it: it.kind)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with ToyDns() as dns:
        world = World(dns, tmp_path / "endpoints")
        world.mend()
        yield world


def planned(source: type[Source], world: World) -> PlannedSource:
    return PlannedSource(source.kind, OPTIONS[source.kind](world))


async def ids_of(source: type[Source], world: World) -> list[str]:
    async with running(build(planned(source, world)), ManualClock()) as report:
        await report.until(1)
        return report.ids


@asynccontextmanager
async def watching(source: PlannedSource, clock: ManualClock) -> AsyncIterator[Watch]:
    tasks = Tasks()
    watch = Watch(clock, tasks, lambda: None)
    watch.update(plan_of(api=(source,)))
    async with AsyncExitStack() as stack:
        stack.push_async_callback(tasks.stop)
        yield watch


@every_source
def test_a_source_is_found_by_its_kind(source: type[Source]) -> None:
    assert find(source.kind) is source
    assert source.kind in names()


@every_source
async def test_ids_say_what_an_endpoint_is_not_when_or_in_which_order_it_was_found(
    source: type[Source], world: World
) -> None:
    before = await ids_of(source, world)
    world.turn()
    assert await ids_of(source, world) == before == EXPECTED


@every_source
async def test_an_address_is_written_as_the_contract_wants_it(source: type[Source], world: World) -> None:
    async with running(build(planned(source, world)), ManualClock()) as report:
        await report.until(1)
    assert [it.address.address for it in report.answers[0] if it.address.kind == "tcp"] == EXPECTED
    assert all(1 <= it.weight <= 65535 for it in report.answers[0])


@every_source
async def test_the_last_good_answer_is_kept_while_the_place_is_damaged(
    source: type[Source], world: World
) -> None:
    async with running(build(planned(source, world)), clock := ManualClock()) as report:
        await report.until(1)
        world.damage()
        await clock.advance(3)
        if source.kind != "static":
            await report.until(2)
        assert report.ids == EXPECTED


@every_source
async def test_a_watch_serves_the_last_good_answer_and_names_the_damage(
    source: type[Source], world: World
) -> None:
    clock = ManualClock()
    async with watching(planned(source, world), clock) as watch:
        assert await watch.settle(5)
        world.damage()
        for _ in range(200):
            await clock.advance(0.1)
        assert [it.id for it in watch.found()["api"]] == EXPECTED
        # Addresses in a configuration do not break.
        assert bool(watch.problems()) == (source.kind != "static")


@every_source
async def test_a_source_may_be_cancelled_at_any_time(source: type[Source], world: World) -> None:
    for turns in range(0, 20, 3):
        tasks = Tasks()
        async with running(build(planned(source, world)), clock := ManualClock()):
            for _ in range(turns):
                await clock.sleep(0)
        await tasks.stop()
