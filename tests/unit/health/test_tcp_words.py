"""What a TCP check says, and what it makes of the answer."""

import asyncio

import pytest
from tests.support.toy_endpoint import Behaviour, ToyEndpoint, endless, silent

from bascule.errors import BasculeError
from bascule.health.check import CheckFailed, Target
from bascule.health.checks.tcp import TcpCheck
from bascule.health.expected import quoted


def answering(asked: bytes, *pieces: bytes) -> Behaviour:
    """Reads exactly what is `asked`, then says these pieces, one at a time, and stays."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(len(asked)) == asked
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        await reader.read()

    return answer


async def ask(behaviour: Behaviour, **options: object) -> None:
    async with ToyEndpoint(behaviour) as toy:
        await TcpCheck.from_options(options).run(Target.of("cache", toy.found()))


async def failure(behaviour: Behaviour, **options: object) -> str:
    with pytest.raises(CheckFailed) as failed:
        await ask(behaviour, **options)
    return failed.value.reason


async def test_it_sends_and_waits_for_what_it_expects_in_as_many_pieces_as_it_comes() -> None:
    await ask(answering(b"PING\r\n", b"+P", b"ON", b"G\r\n"), send="PING\r\n", expect="+PONG")
    await ask(answering(b"\x00\xff", b"..\x01\x02.."), send={"hex": "00 ff"}, expect={"hex": "0102"})
    await ask(answering(b"", b"220 mail ESMTP\r\n"), expect={"regex": "^220 .*ESMTP"})


async def test_without_an_expectation_it_is_enough_that_it_could_be_said() -> None:
    await ask(silent, send="hello")


async def test_one_that_closes_has_not_said_it() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"-ERR go away\r\n")

    said = await failure(refuse, send="PING\r\n", expect="+PONG")
    assert said == "closed after '-ERR go away\\r\\n', wanted '+PONG'"

    async def leave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    assert await failure(leave, expect={"hex": "ff"}) == "closed without a word, wanted 0xff"


async def test_no_more_is_read_than_a_check_may_cost() -> None:
    said = await failure(endless(b"", b"x" * 1000), expect="y")
    assert said.startswith("more than 64 KiB after 'xxx")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"send": {"hex": "0"}}, "send is not hex"),
        ({"send": ""}, "send must be a text"),
        ({"expect": {"regex": "("}}, "not a regular expression"),
        ({"expect": {"text": "a", "hex": "b"}}, "expect must be a text"),
        ({"port": 1}, "no option port"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(BasculeError, match=said):
        TcpCheck.from_options(options)


def test_what_came_is_quoted_as_text_where_it_is_text() -> None:
    assert quoted(b"ok") == "'ok'"
    assert quoted(b"\x00\xff") == "0x00ff"
    assert quoted(("a" * 59 + "é").encode()) == repr("a" * 59)
    assert quoted(b"\x16\x03" * 40) == repr("\x16\x03" * 30)
