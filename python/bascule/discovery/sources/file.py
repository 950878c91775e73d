"""Endpoints listed in a file, which is looked at again and again."""

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Self

from bascule.clock import Clock
from bascule.discovery.directory import Directory, Listing, names_in
from bascule.discovery.endpoint_file import EndpointFileRefused, read_endpoints
from bascule.discovery.options import LONGEST_MS, read_text, read_whole
from bascule.discovery.resolver import Resolver
from bascule.discovery.source import Report
from bascule.discovery.written import Written
from bascule.units import format_size
from bascule.wording import in_words

LARGEST_BYTES = 1 << 20

EVERY_MS = 1_000

AGAIN_S = 0.05
"""A file that changed is believed when it reads the same twice, this far apart."""
TRIES = 20


class FileSource:
    """Options: `path`, and `every_ms` at which it is read again.

    Its content is compared, not its times: two writes within one tick of the file system's clock, a
    replaced file and a swapped symbolic link all look the same to a reader, and a megabyte a second is
    cheap. A file that cannot be read, or is broken, changes nothing; replace it by renaming another over it.
    """

    kind: ClassVar[str] = "file"

    def __init__(self, path: Path, every_s: float, resolver: Resolver | None = None) -> None:
        self._path = path
        self._every_s = every_s
        self._resolver = resolver or Resolver()
        self._directory: Directory | None = None
        self._written: tuple[Written, ...] | None = None

    @classmethod
    def from_options(cls, options: Mapping[str, object]) -> Self:
        every_ms = read_whole(options, "every_ms", EVERY_MS, 10, LONGEST_MS)
        return cls(Path(read_text(options, "path")), every_ms / 1000)

    async def run(self, report: Report, clock: Clock) -> None:
        # Kept over runs: it holds the last good addresses.
        directory = self._directory = self._directory or Directory(clock, self._resolver)
        told: str | None = None
        while True:
            try:
                text = await self._read_settled(told, clock)
                if text != told:
                    self._written = read_endpoints(text, str(self._path))
                    directory.follow(names_in(self._written))
            except EndpointFileRefused as refused:
                report.failed(str(refused))
                # Whatever comes next is news, also the text from before.
                told = None
                await clock.sleep(self._every_s)
                continue
            if text != told or directory.wait_s <= 0:
                await directory.refresh()
                self._tell(directory.listing(self._written or ()), report)
                told = text
            await clock.sleep(min(self._every_s, directory.wait_s))

    async def _read_settled(self, before: str | None, clock: Clock) -> str:
        """The text, once it reads the same twice or is that of `before`. The very first is taken as it is."""
        text = self._read()
        if self._written is None:
            return text
        for _ in range(TRIES):
            if text == before:
                return text
            await clock.sleep(AGAIN_S)
            previous, text = text, self._read()
            if text == previous:
                return text
        raise EndpointFileRefused(f"{self._path}: is being written all the time")

    def _read(self) -> str:
        try:
            # Opening a named pipe would wait for its writer, and everything else with it.
            if not stat.S_ISREG(self._path.stat().st_mode):
                raise EndpointFileRefused(f"{self._path}: is not a file")
            with self._path.open("rb") as file:
                content = file.read(LARGEST_BYTES + 1)
            text = content.decode("utf-8")
        except OSError as error:
            raise EndpointFileRefused(f"{self._path}: {in_words(error)}") from error
        except UnicodeDecodeError as error:
            raise EndpointFileRefused(f"{self._path}: is not UTF-8 at byte {error.start}") from error
        if len(content) > LARGEST_BYTES:
            raise EndpointFileRefused(f"{self._path}: is larger than {format_size(LARGEST_BYTES)}")
        return text

    def _tell(self, listing: Listing, report: Report) -> None:
        if listing.problems and not listing.endpoints:
            report.failed("; ".join(listing.problems))
        else:
            report.found(listing.endpoints, listing.problems)
