"""The operator's own function decides."""

import pytest

from bascule.errors import BasculeError
from bascule.health.check import CheckFailed, Target
from bascule.health.checks.python import PythonCheck

TARGET = Target("api", "10.0.0.1:8000", host="10.0.0.1", port=8000)


async def failure(function: object) -> str:
    with pytest.raises(CheckFailed) as failed:
        await PythonCheck.from_options({"function": function}).run(TARGET)
    return failed.value.reason


@pytest.mark.parametrize("answer", [None, True, 0, "", []])
async def test_anything_but_false_passes(answer: object) -> None:
    async def ok(_: Target) -> object:
        return answer

    await PythonCheck.from_options({"function": ok}).run(TARGET)


async def test_the_function_is_told_which_endpoint() -> None:
    async def ok(endpoint: Target) -> None:
        raise ValueError(f"{endpoint.host} {endpoint.port} {endpoint.id} {endpoint.pool} {endpoint}")

    assert await failure(ok) == "ok(): 10.0.0.1 8000 10.0.0.1:8000 api 10.0.0.1:8000"


async def test_false_fails() -> None:
    async def ok(_: Target) -> bool:
        return False

    assert await failure(ok) == "ok() returned False"


async def test_an_exception_fails_with_its_text_or_else_its_name() -> None:
    async def lagging(_: Target) -> None:
        raise RuntimeError("replica is 30s\nbehind")

    async def odd(_: Target) -> None:
        raise KeyError

    assert await failure(lagging) == "lagging(): replica is 30s\\nbehind"
    assert await failure(odd) == "odd(): KeyError"


async def test_a_check_failed_keeps_its_own_words() -> None:
    async def ok(_: Target) -> None:
        raise CheckFailed("queue is 900 deep, wanted at most 100")

    assert await failure(ok) == "queue is 900 deep, wanted at most 100"


async def test_an_object_with_an_async_call_is_a_function_too() -> None:
    class Ok:
        async def __call__(self, _: Target) -> bool:
            return False

    assert await failure(Ok()) == "Ok() returned False"


def test_a_function_that_is_not_async_is_refused_with_what_to_write() -> None:
    def ok(_: Target) -> bool:
        return True

    with pytest.raises(BasculeError, match=r"(?s)check ok\(\) is not async.*async def ok\(endpoint\)"):
        PythonCheck.from_options({"function": ok})
