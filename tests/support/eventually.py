"""Waits for what other threads bring about: until it holds, and never longer than a test may take."""

import time
from collections.abc import Callable

PATIENCE = 10.0
"""Seconds after which a test gives up. Only failing tests wait that long."""


def eventually(
    holds: Callable[[], bool], what: Callable[[], object] | str, patience: float = PATIENCE
) -> None:
    """Returns as soon as `holds()`; fails with `what` after `patience` seconds."""
    give_up = time.monotonic() + patience
    while not holds():
        if time.monotonic() > give_up:
            raise AssertionError(f"waited {patience} s in vain: {what if isinstance(what, str) else what()}")
        time.sleep(0.0005)
