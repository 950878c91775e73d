"""A client that does one thing after the other, and connects again when its connection breaks."""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.support.eventually import PATIENCE, eventually

PACE = 0.002
"""Seconds between two things: enough of them happen, and others have some of the machine, too."""
HELD = 0.3
"""Seconds after which a connect that is not answered is one that somebody holds."""

Session = AbstractContextManager[Callable[[int], str]]
"""A connection: does the thing with this number, and says who has done it."""


@dataclass(frozen=True)
class Deed:
    """Something that was done, and acknowledged. Times are those of the system's clock."""

    number: int
    began: float
    ended: float
    by: str


class Steady:
    """Works for as long as the `with` lasts. `errors` are how its library says that something failed."""

    def __init__(self, connect: Callable[[], Session], *errors: type[Exception]) -> None:
        self._connect = connect
        self._errors = errors
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self.tried = 0
        """The number of the latest thing that was begun."""
        self.done: list[Deed] = []
        self.refused: list[str] = []
        """Why it could not connect, each time."""
        self.broken: list[str] = []
        """Why what was begun was not acknowledged, each time."""
        self._connects_since: float | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(PATIENCE)

    def by(self, who: str) -> list[Deed]:
        """What `who` has done so far."""
        return [it for it in self.done if it.by == who]

    def wait_done(self, who: str, more: int = 5) -> Self:
        """Itself, once `who` has done so many more things from now on."""
        before = len(self.by(who))
        eventually(lambda: len(self.by(who)) >= before + more, self._story)
        return self

    def wait_broken(self, count: int) -> Self:
        """Itself, once so many things have failed altogether."""
        eventually(lambda: len(self.broken) >= count, self._story)
        return self

    def wait_held(self) -> Self:
        """Itself, once it has waited for a connection for so long that somebody must be holding it."""

        def is_held() -> bool:
            since = self._connects_since
            return since is not None and time.time() - since > HELD

        eventually(is_held, self._story)
        return self

    def report_pause(self, what: str, before: str, after: str) -> None:
        """Says how long nothing was done from the last deed of one to the first one of the other."""
        last = self.by(before)[-1].ended
        first = next(it.ended for it in self.by(after) if it.ended > last)
        print(f"{what}: nothing was done for {first - last:.3f} s")

    def _work(self) -> None:
        while not self._over.wait(PACE):
            with ExitStack() as connected:
                self._connects_since = time.time()
                try:
                    do = connected.enter_context(self._connect())
                except self._errors as error:
                    self.refused.append(str(error))
                    continue
                finally:
                    self._connects_since = None
                self._go_on(do)

    def _go_on(self, do: Callable[[int], str]) -> None:
        while not self._over.wait(PACE):
            self.tried += 1
            began = time.time()
            try:
                by = do(self.tried)
            except self._errors as error:
                self.broken.append(str(error))
                return
            self.done.append(Deed(self.tried, began, time.time(), by))

    def _story(self) -> str:
        who = {it.by for it in self.done}
        did = {it: len(self.by(it)) for it in who}
        return f"did {did}, tried {self.tried}, refused {self.refused}, broken {self.broken}"
