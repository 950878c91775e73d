"""Commands to a Redis, Valkey or Sentinel on a connection of its own, through redis-py."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from bascule.health.check import CheckFailed, Target
from bascule.health.databases import Login
from bascule.wording import in_one_line

Command = Sequence[str]


async def ask(target: Target, login: Login, *commands: Command) -> list[Any]:
    """The answer to each command, its texts as they came (bytes).

    Raises `CheckFailed` when there is no connection, no log-in, or no answer; never says the password.
    """
    from redis.exceptions import RedisError  # noqa: PLC0415 (an extra; it is imported already)

    reader, writer = await target.connect()
    try:
        connection = _connection(target, login, reader, writer)
        await connection.connect()
        answers = []
        for command in commands:
            await connection.send_command(*command)
            answers.append(await connection.read_response())
        return answers
    # It reads lines, and one without an end is a `ValueError` to it.
    except (RedisError, OSError, ValueError) as error:
        raise CheckFailed(f"{target}: {_in_words(login, error)}") from error
    finally:
        # Cannot wait and cannot be cancelled, and all that matters was said.
        writer.transport.abort()


def fields_of(info: bytes) -> dict[str, str]:
    """What `INFO` says, by key."""
    lines = info.decode("utf-8", "replace").splitlines()
    return {key: value for key, _, value in (line.partition(":") for line in lines) if value}


def _connection(
    target: Target, login: Login, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> Any:
    from redis.asyncio.connection import AbstractConnection  # noqa: PLC0415
    from redis.asyncio.retry import Retry  # noqa: PLC0415
    from redis.backoff import NoBackoff  # noqa: PLC0415

    class Connected(AbstractConnection):
        """Speaks on what is open already: how to get there is the same for all checks."""

        def repr_pieces(self) -> Iterable[Any]:
            return [("target", target)]

        async def _connect(self) -> None:
            self._reader, self._writer = reader, writer

        def _host_error(self) -> str:
            return str(target)

    return Connected(
        username=login.user,
        password=login.password,
        protocol=2,
        # The check has a time limit of its own, and is made again soon enough.
        socket_timeout=None,
        socket_connect_timeout=None,
        retry=Retry(NoBackoff(), 0),
        # Else it would introduce itself, which old servers and narrow users refuse.
        driver_info=None,
    )


def _in_words(login: Login, error: BaseException) -> str:
    return in_one_line(login.without_secrets(str(error) or type(error).__name__))
