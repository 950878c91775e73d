"""Time for every test: one that hangs ends the run with the stacks of all threads, instead of stopping it."""

import faulthandler
from collections.abc import Iterator

import pytest

_HANGS_AFTER = 60.0


@pytest.fixture(autouse=True)
def _not_for_ever() -> Iterator[None]:
    faulthandler.dump_traceback_later(_HANGS_AFTER, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()
