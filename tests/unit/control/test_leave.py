"""A block that is left early."""

import asyncio

import pytest

from bascule.control.leave import Leave


async def test_a_block_is_left_where_it_waits_and_what_follows_runs() -> None:
    leave = Leave()
    asyncio.get_running_loop().call_soon(leave.now)
    async with leave:
        await asyncio.Event().wait()
    assert leave.was_asked
    await asyncio.sleep(0)


async def test_a_block_is_left_at_once_when_that_was_asked_before() -> None:
    leave, steps = Leave(), []
    leave.now()
    async with leave:
        steps.append("began")
        await asyncio.Event().wait()
    assert steps == ["began"]


async def test_a_block_that_ends_by_itself_is_not_disturbed_later() -> None:
    leave = Leave()
    async with leave:
        pass
    assert not leave.was_asked
    leave.now()
    await asyncio.sleep(0)


async def test_errors_and_cancellations_of_others_pass() -> None:
    for error in (ValueError(), TimeoutError(), asyncio.CancelledError()):
        with pytest.raises(type(error)):
            async with Leave():
                raise error
