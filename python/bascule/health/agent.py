"""HAProxy's agent-check protocol: one line in which an endpoint says what it wants to be given.

The words and their meaning are those of HAProxy's manual (`agent-check`). They may come in any order and
case, apart by spaces, tabs or commas: `up ready 75%`, `drain`, `down #disk full`. Words that are left out
change nothing.
"""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from bascule.health.check import CheckFailed, Target
from bascule.health.duty import Duty
from bascule.health.reports import Listening
from bascule.health.rounds import Question
from bascule.plan.plan import PlannedAgent
from bascule.wording import in_one_line, in_words

LONGEST_LINE = 4096
"""Bytes, the end of the line not counted."""

MOST_PERCENT = 25_600
"""More counts as that, as in HAProxy."""

_PERCENT = re.compile(r"([0-9]{1,9})%", re.ASCII)
_MOST_CONNECTIONS = re.compile(r"maxconn:[0-9]{1,9}%?", re.ASCII)
_SEPARATORS = re.compile(r"[ \t,]+")
_DUTIES = {"ready": Duty.READY, "drain": Duty.DRAIN, "maint": Duty.MAINTENANCE}
_IS_UP = {"up": True, "down": False, "fail": False, "failed": False, "stopped": False}


@dataclass(frozen=True, slots=True)
class AgentWord:
    """All that an agent has said about its endpoint so far. Before its first line: that all is well."""

    duty: Duty = Duty.READY
    """What it wants to be given."""
    up: bool = True
    """Whether it says that it works."""
    percent: int = 100
    """The share of its weight that it wants, 0 to `MOST_PERCENT`; 0 is no new work."""
    reason: str | None = None
    """What it said about being down, in one printable line."""

    def after(self, line: str) -> "AgentWord":
        """What it has said with one more line, without its end. Raises `CheckFailed`. Pure."""
        words, mark, comment = line.partition("#")
        said = self
        for word in _words(words):
            said = said._heard(word)
        if said.up:
            return replace(said, reason=None)
        if mark and comment.strip():
            return replace(said, reason=in_one_line(comment.strip()))
        return said

    def _heard(self, word: str) -> "AgentWord":
        if (duty := _DUTIES.get(word)) is not None:
            return replace(self, duty=duty)
        if (up := _IS_UP.get(word)) is not None:
            return replace(self, up=up, reason=None if up else word)
        if percent := _PERCENT.fullmatch(word):
            return replace(self, percent=min(int(percent[1]), MOST_PERCENT))
        if _MOST_CONNECTIONS.fullmatch(word):
            # How much an endpoint may have at a time is learned, or set by the operator.
            return self
        raise _not_understood(f"{word[:60]!r} is no word of an agent")


def agent_of(planned: PlannedAgent, target: Target) -> Target:
    """Where the agent of an endpoint listens. Raises `CheckFailed` when its address does not tell."""
    host = planned.host or target.host
    if host is None:
        raise CheckFailed(
            f"the agent of {target} has no address: a Unix socket has no ports; write the agent's host, too"
        )
    return replace(target, name=None, host=host, port=planned.port, path=None)


async def ask_agent(target: Target, send: str | None) -> str:
    """One line of the agent at `target`, without its end. Raises `CheckFailed` when there is none.

    Sends `send` first, if that is asked for. The line ends with a line break or with the connection.
    """
    reader, writer = await target.connect()
    try:
        if send:
            writer.write(send.encode())
        return await _line(reader)
    except OSError as error:
        raise CheckFailed(f"agent at {target}: {in_words(error)}") from error
    finally:
        # Cannot wait and cannot be cancelled, and all that matters was said.
        writer.transport.abort()


async def _line(reader: asyncio.StreamReader) -> str:
    received = bytearray()
    while not (ends := re.search(rb"[\r\n]", received)) and len(received) <= LONGEST_LINE:
        chunk = await reader.read(LONGEST_LINE + 1 - len(received))
        if not chunk:
            break
        received += chunk
    line = bytes(received[: ends.start()] if ends else received)
    if len(line) > LONGEST_LINE:
        raise _not_understood(f"a line of more than {LONGEST_LINE} bytes")
    if not line.strip():
        raise _not_understood("closed without a word" if not received else "an empty line")
    try:
        return line.decode("ascii")
    except UnicodeDecodeError as error:
        raise _not_understood("a line that is not ASCII") from error


def _words(line: str) -> Iterator[str]:
    words = [word.lower() for word in _SEPARATORS.split(line) if word]
    if not words:
        raise _not_understood("a line without a word")
    return iter(words)


def _not_understood(what: str) -> CheckFailed:
    return CheckFailed(f"the agent's answer is not understood: {what}")


def _question(planned: PlannedAgent) -> Question[str]:
    async def ask(target: Target) -> str:
        return await ask_agent(agent_of(planned, target), planned.send)

    return Question("agent", ask)


AGENTS: Listening[PlannedAgent, str, AgentWord] = Listening(_question, AgentWord(), AgentWord.after)
"""Agents: one line each time, which adds to what was said before."""
