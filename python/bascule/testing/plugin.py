"""The pytest plugin: the fixture `balancer`, a rehearsal of the project's configuration."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from bascule.testing.rehearsal import Rehearsal

_OPTION = "bascule_config"
_DEFAULT = "bascule.yaml"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The configuration that is tested, for a run and for a project."""
    parser.getgroup("bascule").addoption(
        "--bascule-config", dest=_OPTION, metavar="FILE", help="the configuration that `balancer` rehearses"
    )
    parser.addini(_OPTION, f"the configuration that `balancer` rehearses (default: {_DEFAULT})")


@pytest.fixture(scope="session")
def _bascule_rehearsal(pytestconfig: pytest.Config) -> "Rehearsal":
    from bascule.testing.rehearsal import Rehearsal  # noqa: PLC0415 (other projects' runs stay fast)

    named = pytestconfig.getoption(_OPTION) or pytestconfig.getini(_OPTION) or _DEFAULT
    return Rehearsal.of_file(pytestconfig.rootpath / Path(named))


@pytest.fixture
def balancer(_bascule_rehearsal: "Rehearsal") -> "Iterator[Rehearsal]":
    """What would become of a request: `balancer.route("GET https://shop.example/cart").pool`.

    What a test marks as down is up again in the next one.
    """
    yield _bascule_rehearsal
    _bascule_rehearsal.reset()
