"""The wrapper around the extension, with a stand-in for the extension."""

import sys
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
from tests.support.plans import planned_pool

import bascule.plane
from bascule import contract
from bascule.contract import codec
from bascule.errors import BasculeError
from bascule.plane import embedded
from bascule.plane.plane import SnapshotRefused


class Refused(Exception):  # noqa: N818 (the name the extension gives it)
    pass


class RefusingPlane:
    def __init__(self, settings: bytes) -> None:
        self.settings = settings

    def apply(self, snapshot: bytes) -> bytes:
        receipt = contract.Receipt(2, 1, "00", (), ("listener web: 127.0.0.1:80: address in use",))
        raise Refused(codec.encode(receipt))


def stand_in(monkeypatch: pytest.MonkeyPatch, version: int) -> None:
    module: Any = ModuleType("bascule.plane._plane")
    module.contract_version = lambda: version
    module.Refused = Refused
    module.Plane = RefusingPlane
    monkeypatch.setitem(sys.modules, "bascule.plane._plane", module)
    monkeypatch.setattr(bascule.plane, "_plane", module, raising=False)


def test_a_refusal_carries_the_receipt_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, contract.CONTRACT_VERSION)
    plane = embedded.start(contract.Settings(threads=1, seed=None))
    with pytest.raises(SnapshotRefused) as refused:
        plane.apply(b"{}")
    assert str(refused.value) == "listener web: 127.0.0.1:80: address in use"
    assert refused.value.receipt.live == 1


def test_an_extension_of_another_build_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, contract.CONTRACT_VERSION + 1)
    with pytest.raises(BasculeError, match="come from different builds"):
        embedded.start(contract.Settings(threads=1, seed=None))


def test_a_missing_extension_says_how_to_build_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bascule.plane._plane", None)
    monkeypatch.delattr(bascule.plane, "_plane", raising=False)
    with pytest.raises(BasculeError, match="make build"):
        embedded.start(contract.Settings(threads=1, seed=None))


def test_a_mark_that_comes_before_its_endpoint_is_kept() -> None:
    """With the real data plane: the reconciler marks first, so that nothing is sent to who begins as down."""
    endpoint = contract.Endpoint("a", contract.TcpAddress("127.0.0.1:1"), 1)
    pool = replace(planned_pool("site", ()).template, endpoints=(endpoint,))
    snapshot = contract.Snapshot(contract.CONTRACT_VERSION, 1, (), (pool,), None)
    plane = embedded.start(contract.Settings(threads=1, seed=None))
    try:
        plane.mark(codec.encode((contract.Mark("site", "a", up=False),)))
        plane.apply(codec.encode(snapshot))
        (counted,) = codec.decode(contract.Stats, plane.stats()).endpoints
        assert not counted.up
        plane.mark(codec.encode((contract.Mark("site", "a", up=True, draining=False),)))
        assert codec.decode(contract.Stats, plane.stats()).endpoints[0].up
    finally:
        plane.stop(0)
