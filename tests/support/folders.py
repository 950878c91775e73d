"""A folder whose path is short enough for Unix sockets, and open to programs without the rights of root."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="b") as name:
        Path(name).chmod(0o755)
        yield Path(name)
