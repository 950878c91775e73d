"""The operator's own code for DNS-01: a Python file that puts TXT records into the DNS and removes them."""

import importlib.util
import inspect
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

from bascule.acme.apart import Apart
from bascule.acme.failure import OrderFailed
from bascule.clock import Clock

LIMIT_S = 300.0


class Hook:
    """The functions of one file, read anew for every order: what was mended counts."""

    def __init__(self, file: str, clock: Clock, apart: Apart) -> None:
        self._file = file
        self._clock = clock
        self._apart = apart
        self._module: ModuleType | None = None

    async def present(self, name: str, value: str) -> None:
        """Adds a TXT record; others of that name stay. Raises `OrderFailed`."""
        await self._call("present", name, value)

    async def remove(self, name: str, value: str) -> None:
        """Takes it away. Raises `OrderFailed`."""
        await self._call("remove", name, value)

    async def _call(self, what: str, name: str, value: str) -> None:
        try:
            async with self._clock.timeout(LIMIT_S):
                if self._module is None:
                    self._module = await self._apart(_load, self._file)
                function: Callable[[str, str], Any] = getattr(self._module, what)
                if inspect.iscoroutinefunction(function):
                    await function(name, value)
                else:
                    await self._apart(function, name, value)
        except TimeoutError as late:
            raise OrderFailed(f"{self._file}: {what}() took longer than {LIMIT_S:.0f} seconds") from late
        except Exception as error:  # (it is not our code)
            said = f"{type(error).__name__}: {error}"
            raise OrderFailed(f"{self._file}: {what}({name!r}, …) raised {said}") from error


def _load(file: str) -> ModuleType:
    name = f"bascule_dns_hook_{Path(file).stem}"
    spec = importlib.util.spec_from_loader(name, SourceFileLoader(name, file))
    assert spec is not None and spec.loader is not None, "a loader was given"
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
