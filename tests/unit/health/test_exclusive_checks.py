"""What a prober makes of checks that only one endpoint of a pool may pass."""

import asyncio
from dataclasses import replace

from bascule.clock import ManualClock
from bascule.contract import Secret, TcpAddress
from bascule.health.check import CheckFailed, Target
from bascule.health.prober import HealthChange, Prober
from bascule.plan.found import FoundEndpoint
from bascule.plan.plan import PlannedCheck
from bascule.tasks import Tasks


class Databases:
    """Three of them, some of which say that they are the primary, and a prober of them all."""

    def __init__(self, *primaries: str) -> None:
        self.primaries = set(primaries)
        self.dead: set[str] = set()
        self.asked: list[str] = []
        self.clock = ManualClock()
        self.changes: list[HealthChange] = []
        self.prober = Prober(self.clock, Tasks(), self._note, 1)
        self.check = PlannedCheck(
            "python", {"function": self._ask}, 2_000, 1_000, 1, 1, initially_up=False, exclusive=True
        )
        self.watch()

    def watch(self, *, paused: str = "", check: PlannedCheck | None = None) -> None:
        found = {
            name: FoundEndpoint(name, TcpAddress(f"10.0.0.1:{at}"), 1, None)
            for at, name in enumerate("abc", 1)
        }
        targets = {("db", name): (check or self.check, it) for name, it in found.items()}
        self.prober.update(targets, {("db", name) for name in paused})

    def up(self) -> str:
        return "".join(name for (_, name), it in sorted(self.prober.states().items()) if it.up)

    def reason(self, name: str) -> str:
        return self.prober.states()["db", name].reason

    def _note(self, change: HealthChange) -> None:
        self.changes.append(change)
        told = {it.endpoint: it.up for it in self.changes}
        assert sum(told.values()) <= 1, "two were told to be up"

    async def _ask(self, target: Target) -> None:
        self.asked.append(target.id)
        if target.id in self.dead:
            await asyncio.Event().wait()
        if target.id not in self.primaries:
            raise CheckFailed("is a replica, wanted the primary")


async def test_the_one_that_passes_is_up_once_all_were_asked() -> None:
    databases = Databases("a")
    await databases.clock.advance(0)
    assert databases.up() == ""
    assert databases.reason("a") == "passes, but b has not been asked yet, and only one may pass"
    await databases.clock.advance(0.1)
    assert databases.up() == "a"
    assert [(it.endpoint, it.up) for it in databases.changes] == [("a", True)]
    await databases.prober.stop()


async def test_of_two_none_is_up_until_one_gives_way() -> None:
    databases = Databases("a")
    await databases.clock.advance(1)
    databases.primaries.add("b")
    await databases.clock.advance(2.2)
    assert databases.up() == ""
    both = "a and b pass a check that only one may pass: none of them is used"
    assert (databases.reason("a"), databases.reason("b")) == (both, both)
    assert [(it.endpoint, it.up, it.reason) for it in databases.changes[1:]] == [("a", False, both)]
    databases.primaries.remove("a")
    await databases.clock.advance(2.2)
    assert databases.up() == "b"
    assert databases.reason("a") == "is a replica, wanted the primary"
    await databases.prober.stop()


async def test_after_a_switch_the_old_one_is_asked_at_once_and_not_believed() -> None:
    databases = Databases("a")
    await databases.clock.advance(1)
    databases.primaries = {"b"}
    # Whoever of the two is asked first, the news makes the others be asked as well.
    databases.asked.clear()
    while not {"a", "b"} & set(databases.asked):
        await databases.clock.advance(0.01)
    await databases.clock.advance(0.01)
    assert databases.up() == "b"
    assert [(it.endpoint, it.up) for it in databases.changes] == [("a", True), ("a", False), ("b", True)]
    assert databases.clock.now() < 1 + 2.2
    await databases.prober.stop()


async def test_one_that_is_silent_keeps_nobody_out_for_longer_than_its_time_limit() -> None:
    databases = Databases("a")
    await databases.clock.advance(1)
    databases.dead.add("a")
    databases.primaries = {"b"}
    await databases.clock.advance(2.2 + 1)
    assert databases.up() == "b"
    await databases.prober.stop()


async def test_two_that_go_on_claiming_are_not_asked_more_often() -> None:
    databases = Databases("a", "b")
    await databases.clock.advance(10)
    assert len(databases.asked) <= 3 * 6 + 6
    await databases.prober.stop()


async def test_one_in_maintenance_does_not_keep_the_new_one_out() -> None:
    databases = Databases("a", "b")
    await databases.clock.advance(1)
    assert databases.up() == ""
    databases.watch(paused="a")
    await databases.clock.advance(2.2)
    assert databases.up() == "b"
    databases.watch()
    assert databases.up() == "b", "it is not believed what it said before"
    await databases.clock.advance(0.1)
    assert databases.up() == ""
    await databases.prober.stop()


async def test_nothing_is_kept_of_what_another_check_said() -> None:
    databases = Databases("a", "b", "c")
    any_role = replace(databases.check, exclusive=False)
    databases.watch(check=any_role)
    # Of those that may all pass, all are up, and the changes are no longer those of one.
    databases.prober._on_change = lambda _: None
    await databases.clock.advance(0.1)
    assert databases.up() == "abc"
    databases.watch()
    assert databases.up() == ""
    assert not databases.prober.is_up(("db", "a"), databases.check)
    await databases.prober.stop()


async def test_a_reload_with_the_same_question_or_another_password_keeps_the_one_that_is_up() -> None:
    databases = Databases("a")
    await databases.clock.advance(1)
    databases.watch()
    assert databases.up() == "a"
    options = {**databases.check.options, "password": Secret("another")}
    assert databases.check.question == replace(databases.check, options=options, every_ms=1).question
    assert databases.check.question != replace(databases.check, options={"role": "replica"}).question
    await databases.prober.stop()


async def test_a_check_is_made_at_another_port() -> None:
    seen: list[str] = []

    async def note(target: Target) -> None:
        seen.append(str(target))

    prober = Prober(clock := ManualClock(), Tasks(), lambda _: None, 1)
    check = PlannedCheck("python", {"function": note}, 2_000, 1_000, 1, 1, True, port=9000)
    prober.update({("web", "a"): (check, FoundEndpoint("a", TcpAddress("10.0.0.1:80"), 1, None))})
    await clock.advance(0)
    assert seen == ["10.0.0.1:9000"]
    await prober.stop()
