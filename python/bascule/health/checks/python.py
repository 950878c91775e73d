"""Asks a function of the operator's own."""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import ClassVar, Self

from bascule.errors import BasculeError
from bascule.health.check import CheckFailed, Target

Function = Callable[[Target], Awaitable[object]]


class PythonCheck:
    """Passes when the function returns anything but `False`; fails when it returns `False` or raises.

    The text of the exception becomes the reason. Option: `function`, an `async def` of one argument, the
    `Target`. It runs on the event loop of the control plane, so it must await whatever takes time.
    """

    name: ClassVar[str] = "python"

    def __init__(self, function: Function) -> None:
        self._function = function
        self._name = getattr(function, "__name__", type(function).__name__)

    @classmethod
    def from_options(cls, options: Mapping[str, object]) -> Self:
        function = options.get("function")
        if not callable(function):
            raise BasculeError(f"a python check needs a function, not {function!r}")
        check = cls(function)
        if not (inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(_called(function))):
            raise BasculeError(
                f"check {check._name}() is not async: it would hold up every other check",
                f"write `async def {check._name}(endpoint): …`",
            )
        return check

    async def run(self, target: Target) -> None:
        try:
            answer = await self._function(target)
        except CheckFailed:
            raise
        except Exception as error:
            raise CheckFailed(f"{self._name}(): {str(error) or type(error).__name__}") from error
        if answer is False:
            raise CheckFailed(f"{self._name}() returned False")


def _called(function: object) -> object:
    # An instance with `async def __call__` is as good as a function.
    return getattr(type(function), "__call__", None)  # noqa: B004 (the method is looked at, not asked for)
