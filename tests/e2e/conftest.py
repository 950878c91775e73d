"""What the tests of the whole program share: a folder with a short name, and endpoints."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.support.program import ToyEndpoint


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the program runs. Short, because the path of a Unix socket has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="e2e-") as name:
        yield Path(name)


@pytest.fixture
def toys() -> Iterator[list[ToyEndpoint]]:
    """Two endpoints."""
    with ExitStack() as ending:
        yield [ending.enter_context(ToyEndpoint()) for _ in range(2)]
