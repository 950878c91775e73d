"""Exit codes: documented and stable, because scripts depend on them."""

from enum import IntEnum

from bascule.errors import BasculeError


class Exit(IntEnum):
    """How a command ended."""

    OK = 0
    WRONG = 1
    """What was checked is wrong, or the command failed."""
    USAGE = 2
    UNREACHABLE = 3
    """No balancer answers on the admin address."""
    TIMED_OUT = 4


class UsageWrong(BasculeError):  # noqa: N818 (an answer to the operator)
    """The command line makes no sense."""


class Unreachable(BasculeError):  # noqa: N818 (an answer to the operator)
    """No balancer answers on the admin address."""


class TimedOut(BasculeError):  # noqa: N818 (an answer to the operator)
    """The balancer did not answer, or did not do it, in time."""


def exit_code_of(error: BasculeError) -> Exit:
    """The exit code of a command that ends with `error`."""
    codes = {UsageWrong: Exit.USAGE, Unreachable: Exit.UNREACHABLE, TimedOut: Exit.TIMED_OUT}
    return codes.get(type(error), Exit.WRONG)
