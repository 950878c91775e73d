"""The limit on open files."""

import resource
from collections.abc import Iterator

import pytest
import structlog.testing

from bascule.control.open_files import raise_limit

Limits = tuple[int, int]


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Limits]]:
    """What the system is asked for; it begins with a soft limit of 1024."""
    known: list[Limits] = [(1024, 65_536)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: known[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: known.append(limits))
    yield known


def test_the_soft_limit_becomes_the_hard_one(limits: list[Limits]) -> None:
    assert raise_limit() == 65_536
    assert limits[-1] == (65_536, 65_536)


def test_a_low_limit_is_said_with_what_to_do(limits: list[Limits]) -> None:
    limits.append((1024, 4095))
    with structlog.testing.capture_logs() as said:
        assert raise_limit() == 4095
    assert said[0]["log_level"] == "warning"
    assert "LimitNOFILE" in said[0]["hint"]


def test_a_system_that_refuses_keeps_the_limit_it_has(
    limits: list[Limits], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_kind: int, _limits: Limits) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert raise_limit() == 1024


def test_no_limit_at_all_is_no_reason_to_warn(limits: list[Limits]) -> None:
    limits.append((1024, resource.RLIM_INFINITY))
    with structlog.testing.capture_logs() as said:
        raise_limit()
    assert said == []
