"""A load balancer configured and extended in Python, with a data plane in Rust.

What a `bascule.py` needs is here: the models of the configuration, and `check`, which marks an async
function as a health check.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bascule.config.own_check import check

__version__ = "0.1.0"

# Loaded when first asked for: pydantic costs more than the rest of the program's start.
_HOMES = {"check": "bascule.config.own_check"}

__all__ = ["__version__", "check"]


def __getattr__(name: str) -> Any:
    if (home := _HOMES.get(name)) is None:
        raise AttributeError(f"module 'bascule' has no attribute {name!r}")
    return getattr(import_module(home), name)
