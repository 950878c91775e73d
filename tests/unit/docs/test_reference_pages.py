"""The generated reference pages say what the code says."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = ("admin-api.md", "catalogue.md", "command-line.md", "configuration.md", "metrics.md")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages, written anew."""
    folder = tmp_path_factory.mktemp("reference")
    subprocess.run([sys.executable, ROOT / "tools" / "reference.py", folder], check=True)
    return folder


def test_every_generated_page_is_known(written: Path) -> None:
    assert sorted(page.name for page in written.iterdir()) == sorted(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_up_to_date(page: str, written: Path) -> None:
    committed = (ROOT / "docs" / "reference" / page).read_text()
    assert committed == (written / page).read_text(), "run `make docs`"
