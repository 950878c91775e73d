"""What an agent may say, and what is made of it."""

import asyncio
from pathlib import Path

import pytest
from tests.support.toy_endpoint import Behaviour, ToyEndpoint, silent

from bascule.contract import TcpAddress
from bascule.health.agent import LONGEST_LINE, AgentWord, agent_of, ask_agent
from bascule.health.check import CheckFailed, Target
from bascule.health.duty import Duty
from bascule.plan.plan import PlannedAgent

FIRST = AgentWord()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("75%", AgentWord(percent=75)),
        ("0%", AgentWord(percent=0)),
        ("150%", AgentWord(percent=150)),
        ("999999999%", AgentWord(percent=25_600)),
        ("drain", AgentWord(duty=Duty.DRAIN)),
        ("MAINT", AgentWord(duty=Duty.MAINTENANCE)),
        ("down", AgentWord(up=False, reason="down")),
        ("failed", AgentWord(up=False, reason="failed")),
        ("fail", AgentWord(up=False, reason="fail")),
        ("stopped", AgentWord(up=False, reason="stopped")),
        ("down #disk full", AgentWord(up=False, reason="disk full")),
        ("down#disk full, 75%", AgentWord(up=False, reason="disk full, 75%")),
        ("down #", AgentWord(up=False, reason="down")),
        ("up ready 75%", AgentWord(percent=75)),
        ("up,ready,\t75%", AgentWord(percent=75)),
        ("maxconn:30", AgentWord()),
        ("maxconn:50% drain", AgentWord(duty=Duty.DRAIN)),
        ("up #fine", AgentWord()),
    ],
)
def test_words_may_come_in_any_order_and_case(line: str, said: AgentWord) -> None:
    assert FIRST.after(line) == said
    assert FIRST.after(f"  {line}") == said


def test_what_is_left_out_stays() -> None:
    word = FIRST.after("drain 50%").after("down #disk full")
    assert word == AgentWord(Duty.DRAIN, up=False, percent=50, reason="disk full")
    assert word.after("80%") == AgentWord(Duty.DRAIN, up=False, percent=80, reason="disk full")
    assert word.after("up") == AgentWord(Duty.DRAIN, percent=50)
    assert word.after("ready") == AgentWord(Duty.READY, up=False, percent=50, reason="disk full")


@pytest.mark.parametrize(
    "line", ["hello", "75", "-5%", "7.5%", "%", "up 200 OK", "maxconn:", "maxconn:x", "readyish", "#up", "²%"]
)
def test_one_word_that_is_not_understood_spoils_the_line(line: str) -> None:
    with pytest.raises(CheckFailed, match=r"^the agent's answer is not understood: "):
        AgentWord(percent=50).after(line)


def test_a_reason_cannot_steer_a_terminal() -> None:
    reason = FIRST.after("down #\x1b[2Jgone").reason
    assert reason == "\\x1b[2Jgone"


def saying(answer: bytes) -> Behaviour:
    """Sends these bytes and waits for the other side to go away."""

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await reader.read()

    return say


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r", b"\nand more\n"])
async def test_an_agent_says_one_line(ending: bytes) -> None:
    async with ToyEndpoint(saying(b"up 75%" + ending)) as toy:
        assert await ask_agent(Target.of("site", toy.found()), None) == "up 75%"


async def test_a_line_may_also_end_with_the_connection() -> None:
    async def say(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in (b"dr", b"ain"):
            writer.write(piece)
            await writer.drain()

    async with ToyEndpoint(say) as toy:
        assert await ask_agent(Target.of("site", toy.found()), None) == "drain"


async def test_an_agent_is_sent_what_is_asked_for() -> None:
    async def repeat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())

    async with ToyEndpoint(repeat) as toy:
        assert await ask_agent(Target.of("site", toy.found()), "ready 60%\n") == "ready 60%"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"\n", "an empty line"),
        (b" \t\r\nup\n", "an empty line"),
        ("up #schön\n".encode(), "a line that is not ASCII"),
        (b"x" * (LONGEST_LINE + 1), f"a line of more than {LONGEST_LINE} bytes"),
    ],
)
async def test_an_answer_that_is_no_line_is_not_understood(answer: bytes, reason: str) -> None:
    async with ToyEndpoint(saying(answer)) as toy:
        with pytest.raises(CheckFailed) as failed:
            await ask_agent(Target.of("site", toy.found()), None)
    assert failed.value.reason == f"the agent's answer is not understood: {reason}"


async def test_the_longest_line_is_read() -> None:
    line = b"down #" + b"x" * (LONGEST_LINE - 6)
    async with ToyEndpoint(saying(line + b"\n")) as toy:
        assert await ask_agent(Target.of("site", toy.found()), None) == line.decode()


async def test_an_agent_that_closes_without_a_word_has_said_nothing() -> None:
    async def close(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        return

    async with ToyEndpoint(close) as toy:
        with pytest.raises(CheckFailed, match="closed without a word"):
            await ask_agent(Target.of("site", toy.found()), None)


def planned(port: int, host: str | None = None) -> PlannedAgent:
    return PlannedAgent(port, host, every_ms=2_000, timeout_ms=1_000, send=None)


async def test_an_agent_is_at_its_port_on_the_host_of_its_endpoint(tmp_path: Path) -> None:
    endpoint = Target("site", "10.0.0.1:8000", "app.internal", host="10.0.0.1", port=8000)
    assert str(agent_of(planned(9707), endpoint)) == "10.0.0.1:9707"
    assert str(agent_of(planned(9707, "::1"), endpoint)) == "[::1]:9707"
    socket = Target("site", "unix:/run/app.sock", path="/run/app.sock")
    assert str(agent_of(planned(9707, "127.0.0.1"), socket)) == "127.0.0.1:9707"
    with pytest.raises(CheckFailed, match="has no address"):
        agent_of(planned(9707), socket)


async def test_an_agent_that_is_asked_at_its_port_answers() -> None:
    async with ToyEndpoint(saying(b"75%\n")) as agent, ToyEndpoint(silent) as endpoint:
        assert isinstance(agent.address, TcpAddress)
        port = int(agent.address.address.rpartition(":")[2])
        target = Target.of("site", endpoint.found())
        assert await ask_agent(agent_of(planned(port), target), None) == "75%"
