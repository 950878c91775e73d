"""Endpoints listed in a file: followed as it changes, kept when it breaks."""

import os
from pathlib import Path

import pytest
from tests.support.reports import running

from bascule.clock import ManualClock
from bascule.discovery.sources.file import LARGEST_BYTES, FileSource
from bascule.errors import BasculeError


class Bench:
    """A file, a manual clock, and a source that reads the one by the other."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "endpoints.yaml"
        self.clock = ManualClock()
        self.source = FileSource.from_options({"path": str(self.path), "every_ms": 1000})

    async def write(self, text: str) -> None:
        """Replaces the content and lets two rounds pass, in which the source must notice."""
        self.path.write_text(text)
        await self.clock.advance(2.5)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_a_change_is_followed(bench: Bench) -> None:
    bench.path.write_text("- 10.0.0.1:80\n")
    async with running(bench.source, bench.clock) as report:
        await bench.clock.advance(0)
        assert report.ids == ["10.0.0.1:80"]
        await bench.write("- 10.0.0.1:80\n- 10.0.0.2:80\n")
        assert report.ids == ["10.0.0.1:80", "10.0.0.2:80"]


async def test_a_file_that_does_not_change_is_reported_once(bench: Bench) -> None:
    bench.path.write_text("- 10.0.0.1:80\n")
    async with running(bench.source, bench.clock) as report:
        await bench.clock.advance(30)
    assert report.said == 1


async def test_a_change_of_the_same_size_and_time_is_noticed(bench: Bench) -> None:
    bench.path.write_text("- 10.0.0.1:80\n")
    before = bench.path.stat()
    async with running(bench.source, bench.clock) as report:
        await bench.clock.advance(0)
        bench.path.write_text("- 10.0.0.2:80\n")
        os.utime(bench.path, ns=(before.st_atime_ns, before.st_mtime_ns))
        await bench.clock.advance(2)
        assert report.ids == ["10.0.0.2:80"]


@pytest.mark.parametrize("broken", ["", "- 10.0.0.1:80\n- {address: 10.0", "- 10.0.0.1\n", "\0\x80"])
async def test_a_broken_file_is_a_failure_and_its_return_is_an_answer(bench: Bench, broken: str) -> None:
    bench.path.write_text("- 10.0.0.1:80\n")
    async with running(bench.source, bench.clock) as report:
        await bench.clock.advance(0)
        await bench.write(broken)
        assert len(report.answers) == 1
        assert report.failures[0].startswith(str(bench.path))
        await bench.write("- 10.0.0.1:80\n")
        assert report.ids == ["10.0.0.1:80"]
        assert report.problems == ()


async def test_a_file_that_is_not_there_yet_is_found_when_it_comes(bench: Bench) -> None:
    async with running(bench.source, bench.clock) as report:
        await bench.clock.advance(0)
        assert report.failures == [f"{bench.path}: no such file or directory"]
        await bench.write("10.0.0.1:80\n")
        assert report.ids == ["10.0.0.1:80"]


async def test_a_file_that_is_half_written_is_read_when_it_is_whole(bench: Bench) -> None:
    bench.path.write_text("10.0.0.1:80\n")
    async with running(bench.source, bench.clock) as report:
        await bench.clock.advance(0.99)
        # Half of an address is an address too.
        bench.path.write_text("10.0.0.1:80\n10.0.0.2:80")
        await bench.clock.advance(0.02)
        bench.path.write_text("10.0.0.1:80\n10.0.0.2:8000\n")
        await bench.clock.advance(1)
        assert [[it.id for it in answer] for answer in report.answers] == [
            ["10.0.0.1:80"],
            ["10.0.0.1:80", "10.0.0.2:8000"],
        ]


async def test_a_swapped_symbolic_link_is_followed(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "one").write_text("- 10.0.0.1:80\n")
    (tmp_path / "two").write_text("- 10.0.0.2:80\n")
    bench.path.symlink_to(tmp_path / "one")
    async with running(bench.source, bench.clock) as report:
        await bench.clock.advance(0)
        (tmp_path / "next").symlink_to(tmp_path / "two")
        (tmp_path / "next").replace(bench.path)
        await bench.clock.advance(2)
        assert report.ids == ["10.0.0.2:80"]


async def test_an_empty_list_empties_the_pool(bench: Bench) -> None:
    bench.path.write_text("- 10.0.0.1:80\n")
    async with running(bench.source, bench.clock) as report:
        await bench.write("[]\n")
        assert report.answers[-1] == ()


async def failure_of(bench: Bench) -> str:
    async with running(bench.source, bench.clock) as report:
        await bench.clock.advance(0)
    return report.failures[0]


async def test_what_is_not_a_file_is_not_opened(bench: Bench) -> None:
    os.mkfifo(bench.path)
    assert await failure_of(bench) == f"{bench.path}: is not a file"


async def test_a_file_that_is_too_large_is_refused(bench: Bench) -> None:
    bench.path.write_text("#" * (LARGEST_BYTES + 1))
    assert await failure_of(bench) == f"{bench.path}: is larger than 1MiB"


async def test_bytes_that_are_no_text_are_refused(bench: Bench) -> None:
    bench.path.write_bytes(b"10.0.0.1:80\n\xff\n")
    assert await failure_of(bench) == f"{bench.path}: is not UTF-8 at byte 12"


@pytest.mark.parametrize("options", [{}, {"path": ""}, {"path": "/x", "every_ms": 0}])
def test_options_that_make_no_sense_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(BasculeError):
        FileSource.from_options(options)
