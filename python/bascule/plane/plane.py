"""What the control plane may ask of a data plane, and the one way in which it says no."""

from collections.abc import Callable, Sequence
from typing import Protocol

from bascule import contract
from bascule.errors import BasculeError


class SnapshotRefused(BasculeError):  # noqa: N818 (an answer, as ConfigRefused is)
    """The data plane said no. The receipt says why; what was live before is live still."""

    def __init__(self, receipt: contract.Receipt) -> None:
        super().__init__("\n".join(receipt.problems) or f"generation {receipt.generation} was refused")
        self.receipt = receipt


class MaterialRefused(BasculeError):  # noqa: N818 (an answer, as SnapshotRefused is)
    """A certificate, key or authority cannot be used by the data plane."""


class Plane(Protocol):
    """A running data plane. Messages cross as canonical JSON (`bascule.contract.codec`).

    None of the calls waits for traffic, so all may be made on the event loop.
    """

    def inherit(self, sockets: Sequence[tuple[str, Sequence[int]]]) -> None:
        """Takes copies of the listening sockets of a process before this one, as its `sockets` gave them.

        The first snapshot serves those of its binds; the others are closed. The caller closes its own.
        """

    def sockets(self) -> Sequence[tuple[str, Sequence[int]]]:
        """Copies of all listening sockets, for a process after this one; the caller closes them."""

    def bequeath(self) -> None:
        """A process after this one has taken the sockets over: files of Unix sockets stay after a stop."""

    def apply(self, snapshot: bytes) -> bytes:
        """Makes a `Snapshot` live and gives its `Receipt`.

        All or nothing: raises `SnapshotRefused` and leaves the live one alone.
        """

    def give(self, material: bytes) -> None:
        """Takes a list of `Material` that the next snapshot names. It is forgotten once no live one does.

        Raises `MaterialRefused` when something of it cannot be used.
        """

    def mark(self, marks: bytes) -> None:
        """Takes a list of `Mark`. Those of endpoints that are not live are kept until they are taken back."""

    def stats(self) -> bytes:
        """The `Stats` of this moment."""

    def explain(self, question: bytes) -> bytes:
        """The `Explanation` of a `Question`: what would become of a request now. Nothing is sent or counted.

        Raises `BasculeError` when it makes no sense, such as a question about a listener that is not there.
        """

    def events(self, limit: int) -> bytes:
        """Takes at most `limit` events out of the ring: a list of `Event`, oldest first."""

    def wake_fd(self) -> int:
        """An eventfd that is readable while events wait. Read 8 bytes to clear it, then call `events`."""

    def reopen_logs(self) -> None:
        """Opens the access log anew, after a log rotation has moved the old file away."""

    def stop(self, grace_ms: int | None) -> None:
        """Begins to drain and returns at once; the event `stopped` says when all work has ended.

        `None` waits for the last exchange, however long it takes. A second call may only shorten the grace.
        """


StartPlane = Callable[[contract.Settings], Plane]
"""How the supervisor gets its plane: `embedded.start`, or a fake's."""
