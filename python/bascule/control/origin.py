"""Where a configuration comes from: a file that can be read again, or a command line that cannot."""

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from bascule.config.load import load
from bascule.config.model import Config
from bascule.config.parse import parse
from bascule.errors import BasculeError

Print = tuple[tuple[str, int, int, int], ...]
"""What tells one state of some files from another."""


class Origin(Protocol):
    """Gives the configuration as it is now."""

    name: str
    """As the operator knows it."""

    def read(self) -> Config:
        """May block on files. Raises `ConfigRefused` with every problem, or another `BasculeError`."""

    def files_read(self) -> Print:
        """The state of its files when it was read last, whether that went well or not."""

    def files_now(self) -> Print:
        """Their state now. Blocks on files."""


class FileOrigin:
    """A file and what it includes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files: tuple[Path, ...] = (path,)
        self._read = fingerprint(self._files)
        self.name = str(path.absolute())

    def read(self) -> Config:
        # Before it is read: what is written meanwhile is a change.
        self._read = fingerprint(self._files)
        text = load(self._path)
        # As it was named too: where a symbolic link leads is all that `text` knows, and that may change.
        if (files := (self._path, *text.files)) != self._files:
            self._files, self._read = files, fingerprint(files)
        return parse(text)

    def files_read(self) -> Print:
        return self._read

    def files_now(self) -> Print:
        return fingerprint(self._files)


class FixedOrigin:
    """A configuration made by a command, such as `bascule proxy`. It is read once."""

    def __init__(self, name: str, config: Config) -> None:
        self.name = name
        self._config: Config | None = config

    def read(self) -> Config:
        config, self._config = self._config, None
        if config is None:
            raise BasculeError(
                f"there is no file to read again: this balancer was started by `{self.name}`",
                "write a bascule.yaml and start it with `bascule run` to be able to reload",
            )
        return config

    def files_read(self) -> Print:
        return ()

    def files_now(self) -> Print:
        return ()


def fingerprint(files: Iterable[Path]) -> Print:
    """Changes when a file is written, replaced, or its symbolic link leads elsewhere."""
    prints = []
    for file in sorted(files):
        try:
            status = file.stat()
        except OSError:
            prints.append((str(file), 0, 0, 0))
        else:
            prints.append((str(file), status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(prints)
