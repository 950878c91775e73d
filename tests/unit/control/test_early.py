"""Signals before anybody listens to them."""

import os
import signal

import pytest

from bascule.control import early


@pytest.mark.parametrize("number", early.LEAVE)
def test_a_wish_to_stop_ends_the_start_in_order(number: signal.Signals) -> None:
    steps = []
    with early.signals():
        steps.append("before")
        os.kill(os.getpid(), number)
        steps.append("after")
    assert steps == ["before"]


def test_a_configuration_that_catches_everything_does_not_catch_a_wish_to_stop() -> None:
    with early.signals():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except Exception:
            pytest.fail("caught")


def test_no_other_signal_ends_the_program_and_a_reload_is_asked_for_again() -> None:
    heard = []
    with early.signals() as held:
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
            os.kill(os.getpid(), number)
        signal.signal(signal.SIGHUP, lambda number, _: heard.append(number))
        held.repeat()
        held.repeat()
    assert heard == [signal.SIGHUP]


def test_afterwards_signals_mean_what_they_meant_before() -> None:
    before = [signal.getsignal(number) for number in early.SIGNALS]
    with early.signals():
        pass
    assert [signal.getsignal(number) for number in early.SIGNALS] == before
