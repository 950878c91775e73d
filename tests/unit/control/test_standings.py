"""Who is asked about endpoints, what operators command, and which marks follow."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from tests.support.plans import plan_of, planned_check, planned_pool, static
from tests.support.toy_endpoint import ToyEndpoint, response

from bascule import contract
from bascule.clock import ManualClock, SystemClock
from bascule.contract import TcpAddress
from bascule.control.standing import Command
from bascule.control.standings import Standings
from bascule.errors import BasculeError
from bascule.health.check import CheckFailed, Target
from bascule.health.duty import Duty
from bascule.plan.found import Found, FoundEndpoint
from bascule.plan.plan import Plan, PlannedAgent, PlannedLoad
from bascule.tasks import Tasks

KEY = ("site", "10.0.0.1:1")


def found(*ports: int, weight: int = 1) -> Found:
    addresses = [f"10.0.0.1:{port}" for port in ports]
    return {"site": tuple(FoundEndpoint(it, contract.TcpAddress(it), weight, None) for it in addresses)}


class Bench:
    """Standings under a manual clock, and the marks they told."""

    def __init__(self) -> None:
        self.clock, self.tasks, self.marks = ManualClock(), Tasks(), list[contract.Mark]()
        self.standings = Standings(self.clock, self.tasks, self.marks.extend, 1)
        self.sick = False
        self.checks = 0

    def plan(self, *, agent: PlannedAgent | None = None) -> Plan:
        check = planned_check("python", {"function": self._check}, fall=1)
        pool = replace(planned_pool("site", (static(),), check), agent=agent)
        return replace(plan_of(), pools=(pool,))

    async def _check(self, _: Target) -> None:
        self.checks += 1
        if self.sick:
            raise CheckFailed("feels unwell")

    def last(self) -> tuple[bool | None, bool | None, bool | None, int | None]:
        mark = self.marks[-1]
        return mark.up, mark.draining, mark.maintenance, mark.weight


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    bench.standings.watch(bench.plan(), found(1, 2))
    await bench.clock.advance(0.1)
    yield bench
    await bench.standings.stop()


async def test_a_command_is_a_mark_at_once(bench: Bench) -> None:
    bench.standings.command(KEY, Command(Duty.DRAIN))
    assert bench.marks == [
        contract.Mark("site", "10.0.0.1:1", up=True, draining=True, maintenance=False),
    ]
    bench.standings.command(KEY, Command(Duty.MAINTENANCE))
    assert bench.last() == (True, False, True, None)
    bench.standings.command(KEY, Command())
    assert bench.last() == (True, False, False, None)


async def test_a_weight_that_was_marked_once_is_marked_from_then_on(bench: Bench) -> None:
    bench.standings.command(KEY, Command(weight=5))
    assert bench.last() == (True, False, False, 5)
    bench.standings.command(KEY, Command())
    assert bench.last() == (True, False, False, 1), "the data plane would keep the old one"
    marks = bench.standings.marks(bench.plan(), found(1, 2, weight=3))
    assert [mark.weight for mark in marks] == [3, None]


async def test_a_check_does_not_change_what_an_operator_commanded(bench: Bench) -> None:
    bench.standings.command(KEY, Command(Duty.DRAIN))
    bench.sick = True
    await bench.clock.advance(2.5)
    mark = next(it for it in bench.marks if it.up is False and it.endpoint == KEY[1])
    assert mark.draining is True


async def test_checks_pause_in_maintenance_and_go_on_at_once_after_it(bench: Bench) -> None:
    bench.standings.watch(bench.plan(), found(1))
    bench.standings.command(KEY, Command(Duty.MAINTENANCE))
    before, bench.sick = bench.checks, True
    await bench.clock.advance(60)
    assert bench.checks == before
    bench.standings.command(KEY, Command())
    assert bench.last() == (True, False, False, None)
    await bench.clock.advance(0)
    assert (bench.checks, bench.last()) == (before + 1, (False, False, False, None))


async def test_in_maintenance_by_command_an_agent_is_not_asked_either(bench: Bench) -> None:
    nowhere = PlannedAgent(1, "127.0.0.1", every_ms=2_000, timeout_ms=1_000, send=None)
    bench.standings.watch(bench.plan(agent=nowhere), found(1))
    asking = {"agent site/10.0.0.1:1", "python check site/10.0.0.1:1"}
    assert asking <= set(bench.tasks.names())
    for duty, asked in ((Duty.MAINTENANCE, set[str]()), (Duty.DRAIN, asking)):
        bench.standings.command(KEY, Command(duty))
        await bench.clock.advance(0)
        assert asking & set(bench.tasks.names()) == asked


async def test_an_endpoint_that_drains_is_checked(bench: Bench) -> None:
    bench.standings.command(KEY, Command(Duty.DRAIN))
    before = bench.checks
    await bench.clock.advance(10)
    assert bench.checks >= before + 8


async def test_a_command_stays_while_its_endpoint_is_there(bench: Bench) -> None:
    bench.standings.command(KEY, Command(Duty.DRAIN, weight=5))
    bench.standings.watch(bench.plan(), found(1, 3))
    assert bench.standings.standing(KEY).command == Command(Duty.DRAIN, weight=5)
    bench.standings.watch(bench.plan(), found(3))
    bench.standings.watch(bench.plan(), found(1, 3))
    assert bench.standings.standing(KEY).command == Command()
    assert bench.standings.marks(bench.plan(), found(1))[0].weight is None, "the older mark was taken back"


async def test_a_weight_that_a_pool_has_no_room_for_is_refused_and_changes_nothing(bench: Bench) -> None:
    with pytest.raises(BasculeError, match="must be 0 to 65535, not 65536"):
        bench.standings.command(KEY, Command(Duty.DRAIN, weight=65_536))
    agent = PlannedAgent(9, None, every_ms=60_000, timeout_ms=1, send=None)
    bench.standings.watch(bench.plan(agent=agent), found(1))
    with pytest.raises(BasculeError, match=r"must be 0 to 655, not 656\n.*hundredths"):
        bench.standings.command(KEY, Command(weight=656))
    assert bench.marks == []
    assert bench.standings.standing(KEY).command == Command()


async def test_who_is_not_there_cannot_be_commanded(bench: Bench) -> None:
    with pytest.raises(KeyError):
        bench.standings.command(("site", "10.0.0.9:1"), Command())


class Talker:
    """Says the same to everybody who connects, on a real socket, until a test changes it."""

    def __init__(self, says: bytes) -> None:
        self.says = says
        self.toy = ToyEndpoint(self._say)
        self._asked: asyncio.Queue[None] = asyncio.Queue()

    async def _say(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._asked.put_nowait(None)
        writer.write(self.says)
        await reader.read()

    @property
    def port(self) -> int:
        assert isinstance(self.toy.address, TcpAddress)
        return int(self.toy.address.address.rpartition(":")[2])

    async def asked(self, times: int) -> None:
        """Returns when it was asked so often from now on: all answers but the last have been heard then."""
        while not self._asked.empty():
            self._asked.get_nowait()
        async with asyncio.timeout(10):
            for _ in range(times):
                await self._asked.get()


class Told:
    """Marks as they are told, to wait for."""

    def __init__(self) -> None:
        self.marks: list[contract.Mark] = []
        self._new = asyncio.Event()

    def tell(self, marks: contract.Marks) -> None:
        self.marks.extend(marks)
        self._new.set()

    async def until(self, **fields: object) -> None:
        """Returns when the last mark says this."""
        async with asyncio.timeout(10):
            while not (self.marks and all(getattr(self.marks[-1], it) == fields[it] for it in fields)):
                self._new.clear()
                await self._new.wait()


@asynccontextmanager
async def following(plan: Plan, endpoints: Found) -> AsyncIterator[tuple[Standings, Told]]:
    """Standings by the system's clock: real sockets cannot be hurried."""
    told = Told()
    standings = Standings(SystemClock(), Tasks(), told.tell, 1)
    standings.watch(plan, endpoints)
    yield standings, told
    await standings.stop()


def plan_with(*, agent: PlannedAgent | None = None, load: PlannedLoad | None = None) -> Plan:
    pool = replace(planned_pool("site", (static(),)), agent=agent, load=load)
    return replace(plan_of(), pools=(pool,))


async def test_what_an_agent_says_becomes_a_mark() -> None:
    agent = Talker(b"up\n")
    async with agent.toy:
        planned = PlannedAgent(agent.port, None, every_ms=10, timeout_ms=1_000, send=None)
        plan, endpoints = plan_with(agent=planned), {"site": (agent.toy.found(),)}
        async with following(plan, endpoints) as (standings, told):
            assert [mark.weight for mark in standings.marks(plan, endpoints)] == [100]
            agent.says = b"75%\n"
            await told.until(weight=75, up=True, draining=False, maintenance=False)
            agent.says = b"drain\n"
            await told.until(weight=75, draining=True)
            agent.says = b"ready, down #disk full\n"
            await told.until(up=False, draining=False)
            agent.says = b"up 100%\n"
            await told.until(up=True, weight=100)
            agent.says = b"maint\n"
            await told.until(maintenance=True)
            agent.says = b"ready\n"
            await told.until(maintenance=False)


async def test_an_agent_that_asks_for_maintenance_pauses_the_checks_and_is_asked_still() -> None:
    agent = Talker(b"maint\n")
    checks = 0

    async def note(_: Target) -> None:
        nonlocal checks
        checks += 1

    async with agent.toy:
        planned = PlannedAgent(agent.port, None, every_ms=10, timeout_ms=1_000, send=None)
        check = planned_check("python", {"function": note}, every_ms=10)
        pool = replace(planned_pool("site", (static(),), check), agent=planned)
        plan = replace(plan_of(), pools=(pool,))
        async with following(plan, {"site": (agent.toy.found(),)}) as (standings, told):
            await told.until(maintenance=True)
            before = checks
            await agent.asked(5)
            assert checks == before
            standings.command(("site", "toy"), Command(Duty.DRAIN))
            await agent.asked(5)
            assert checks == before, "the operator's word does not undo the agent's"
            agent.says = b"ready\n"
            await told.until(maintenance=False, draining=True)
            await agent.asked(5)
            assert checks > before


async def test_an_agent_that_is_not_understood_changes_nothing() -> None:
    agent = Talker(b"50%\n")
    async with agent.toy:
        planned = PlannedAgent(agent.port, None, every_ms=10, timeout_ms=1_000, send=None)
        async with following(plan_with(agent=planned), {"site": (agent.toy.found(),)}) as (standings, told):
            await told.until(weight=50)
            agent.says = b"HTTP/1.0 200 OK\n"
            await agent.asked(3)
            report = standings.agents.states()["site", "toy"]
            assert report.word.percent == 50
            assert report.problem == (
                "the agent's answer is not understood: 'http/1.0' is no word of an agent"
            )
            assert [mark.weight for mark in told.marks] == [50]


async def test_a_load_report_becomes_a_mark_when_it_has_moved_by_more_than_one_percent() -> None:
    endpoint = Talker(response(200, b'{"application_utilization": 0.7}'))
    async with endpoint.toy:
        planned = PlannedLoad("/load", every_ms=10, timeout_ms=1_000)
        async with following(plan_with(load=planned), {"site": (endpoint.toy.found(),)}) as (_, told):
            await told.until(load_permille=700)
            endpoint.says = response(200, b"application_utilization=0.705")
            await endpoint.asked(3)
            assert [mark.load_permille for mark in told.marks] == [700]
            endpoint.says = response(200, b"application_utilization=0.72")
            await told.until(load_permille=720)


async def test_a_load_is_taken_back_while_its_url_says_nothing() -> None:
    endpoint = Talker(response(200, b"application_utilization=0.7"))
    async with endpoint.toy:
        planned = PlannedLoad("/load", every_ms=10, timeout_ms=1_000)
        async with following(plan_with(load=planned), {"site": (endpoint.toy.found(),)}) as (_, told):
            await told.until(load_permille=700, forget=False)
            endpoint.says = response(500, b"")
            await told.until(load_permille=None, forget=True, up=True, draining=False)
            endpoint.says = response(200, b"application_utilization=0.7")
            await told.until(load_permille=700, forget=False)
