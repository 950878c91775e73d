"""Marks a function of the operator's own as a health check: `@bascule.check` in a `bascule.py`."""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from bascule.errors import BasculeError

Function = TypeVar("Function", bound=Callable[..., Awaitable[Any]])

_MARK = "__bascule_check__"


def check(function: Function) -> Function:
    """Allow an async function of one argument, the endpoint, as the `check` of a pool.

    The check passes when the function returns anything but `False`, and fails when it returns
    `False` or raises; the exception's text is the reason that operators see. It must be async:
    a blocking one would hold up every other check. Raises `BasculeError` when it is not.
    """
    is_async = inspect.iscoroutinefunction(function)
    if not is_async:
        name = getattr(function, "__name__", repr(function))
        raise BasculeError(f"check {name}() is not async", f"write `async def {name}(endpoint): …`")
    setattr(function, _MARK, True)
    return function


def is_check(value: object) -> bool:
    """Whether `value` went through `check`."""
    return getattr(value, _MARK, False) is True
