"""The data plane in this process: the extension `bascule.plane._plane`, with errors made readable."""

from collections.abc import Sequence
from types import ModuleType

from bascule import contract
from bascule.contract import CONTRACT_VERSION, codec
from bascule.errors import BasculeError
from bascule.plane.plane import MaterialRefused, Plane, SnapshotRefused


def start(settings: contract.Settings) -> Plane:
    """Starts the data-plane threads. They accept nothing until the first snapshot is applied."""
    extension = _load()
    return _Embedded(extension, settings)


def catalog() -> contract.Catalog:
    """The algorithms and matchers that the extension was built with."""
    return codec.decode(contract.Catalog, _load().catalog())


def explain(
    snapshot: bytes, question: contract.Question, marks: tuple[contract.Mark, ...] = ()
) -> contract.Explanation:
    """What would become of a request if `snapshot` were live and nothing but `marks` had happened yet.

    Raises `BasculeError` when the question makes no sense, or the snapshot would be refused.
    """
    try:
        told = _load().explain(snapshot, codec.encode(marks), codec.encode(question))
        return codec.decode(contract.Explanation, told)
    except ValueError as error:
        raise BasculeError(str(error)) from None


def contract_schema() -> bytes:
    """JSON Schema of every message, from the Rust types: one object, by the message's name."""
    schema: bytes = _load().contract_schema()
    return schema


class _Embedded:
    """Passes every call on; only a refusal becomes something else."""

    def __init__(self, extension: ModuleType, settings: contract.Settings) -> None:
        self._refused: type[Exception] = extension.Refused
        self._plane: Plane = extension.Plane(codec.encode(settings))

    def apply(self, snapshot: bytes) -> bytes:
        try:
            return self._plane.apply(snapshot)
        except self._refused as refused:
            raise SnapshotRefused(codec.decode(contract.Receipt, refused.args[0])) from None

    def inherit(self, sockets: Sequence[tuple[str, Sequence[int]]]) -> None:
        self._plane.inherit(sockets)

    def sockets(self) -> Sequence[tuple[str, Sequence[int]]]:
        return self._plane.sockets()

    def bequeath(self) -> None:
        self._plane.bequeath()

    def give(self, material: bytes) -> None:
        try:
            self._plane.give(material)
        except ValueError as error:
            raise MaterialRefused(str(error)) from None

    def mark(self, marks: bytes) -> None:
        self._plane.mark(marks)

    def stats(self) -> bytes:
        return self._plane.stats()

    def explain(self, question: bytes) -> bytes:
        try:
            return self._plane.explain(question)
        except ValueError as error:
            raise BasculeError(str(error)) from None

    def events(self, limit: int) -> bytes:
        return self._plane.events(limit)

    def wake_fd(self) -> int:
        return self._plane.wake_fd()

    def reopen_logs(self) -> None:
        self._plane.reopen_logs()

    def stop(self, grace_ms: int | None) -> None:
        self._plane.stop(grace_ms)


def _load() -> ModuleType:
    # Not at the top of the file: `bascule --help` and `bascule echo` must work, and start fast, without it.
    try:
        from bascule.plane import _plane  # noqa: PLC0415
    except ImportError as error:
        raise BasculeError(
            f"the data plane cannot be loaded: {error}",
            "build it with `make build`, or install a wheel that was built for this Python and system",
        ) from error
    spoken = _plane.contract_version()
    if spoken != CONTRACT_VERSION:
        raise BasculeError(
            f"the data plane speaks contract {spoken}, the control plane {CONTRACT_VERSION}",
            "they come from different builds; build both anew with `make build`",
        )
    return _plane
