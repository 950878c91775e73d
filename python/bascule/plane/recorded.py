"""A fake data plane that remembers what it was told; tests of everything above it use this one."""

import os
from collections import deque

from bascule import contract
from bascule.contract import codec
from bascule.plane.plane import SnapshotRefused


class RecordedPlane:
    """Accepts every snapshot, unless told to refuse the next one.

    A bind to port 0 gets port 40001, 40002 … in the order of asking. Must be closed.
    """

    def __init__(self, settings: contract.Settings | None = None, *, busy: bool = False) -> None:
        self.settings = settings
        self.told: list[contract.Snapshot | contract.Mark] = []
        """Snapshots that were accepted and marks, in the order in which they came."""
        self.stops: list[int | None] = []
        self.reopened = 0
        self.given: dict[str, contract.Material] = {}
        """Certificates, keys and authorities, by their ids."""
        self.counted = contract.Stats()
        self._busy = busy
        self._problems: tuple[str, ...] = ()
        self._waiting: deque[contract.Event] = deque()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK)
        self._ports: dict[str, int] = {}

    @property
    def applied(self) -> list[contract.Snapshot]:
        return [it for it in self.told if isinstance(it, contract.Snapshot)]

    @property
    def marks(self) -> list[contract.Mark]:
        return [it for it in self.told if isinstance(it, contract.Mark)]

    @property
    def live(self) -> contract.Snapshot | None:
        applied = self.applied
        return applied[-1] if applied else None

    def refuse_next(self, *problems: str) -> None:
        self._problems = problems

    def say(self, what: contract.What, at_ms: int = 0) -> None:
        """Puts an event where `events` finds it, as if it had happened now."""
        self._waiting.append(contract.Event(at_ms=at_ms, what=what))
        os.eventfd_write(self._wake, 1)

    def finish(self, cut: int = 0) -> None:
        """The last exchange of a busy plane ends."""
        self._busy = False
        self.say(contract.Stopped(cut=cut))

    def close(self) -> None:
        os.close(self._wake)

    def apply(self, snapshot: bytes) -> bytes:
        offered = codec.decode(contract.Snapshot, snapshot)
        problems, self._problems = self._problems, ()
        if problems:
            raise SnapshotRefused(self._receipt(offered, snapshot, problems))
        self.told.append(offered)
        return codec.encode(self._receipt(offered, snapshot, ()))

    def give(self, material: bytes) -> None:
        self.given.update({it.id: it for it in codec.decode(tuple[contract.Material, ...], material)})

    def mark(self, marks: bytes) -> None:
        self.told.extend(codec.decode(contract.Marks, marks))

    def stats(self) -> bytes:
        return codec.encode(self.counted)

    def events(self, limit: int) -> bytes:
        count = min(limit, len(self._waiting))
        return codec.encode(tuple(self._waiting.popleft() for _ in range(count)))

    def wake_fd(self) -> int:
        return self._wake

    def reopen_logs(self) -> None:
        self.reopened += 1

    def stop(self, grace_ms: int | None) -> None:
        self.stops.append(grace_ms)
        if not self._busy:
            self.say(contract.Stopped(cut=0))
        elif grace_ms == 0:
            self.finish(cut=1)

    def _receipt(
        self, offered: contract.Snapshot, snapshot: bytes, problems: tuple[str, ...]
    ) -> contract.Receipt:
        live = self.live
        return contract.Receipt(
            generation=offered.generation,
            live=live.generation if live else 0,
            digest=codec.digest(snapshot),
            binds=() if problems else tuple(self._bound(offered)),
            problems=problems,
        )

    def _bound(self, offered: contract.Snapshot) -> list[contract.Bound]:
        bound = []
        for listener in offered.listeners:
            for bind in listener.binds:
                asked = _asked(bind)
                bound.append(contract.Bound(listener.id, asked, self._address(listener.id, asked)))
        return bound

    def _address(self, listener: str, asked: str) -> str:
        host, _, port = asked.rpartition(":")
        if port != "0":
            return asked
        return f"{host}:{self._ports.setdefault(listener + asked, 40_001 + len(self._ports))}"


def _asked(bind: contract.Bind) -> str:
    match bind:
        case contract.TcpBind(address):
            return address
        case contract.UdpBind(address):
            return f"udp:{address}"
        case contract.UnixBind(path):
            return f"unix:{path}"
