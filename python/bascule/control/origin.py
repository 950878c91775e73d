"""Where a configuration comes from: a file that can be read again, or a command line that cannot."""

from pathlib import Path
from typing import Protocol

from bascule.config.load import load
from bascule.config.model import Config
from bascule.config.parse import parse
from bascule.errors import BasculeError


class Origin(Protocol):
    """Gives the configuration as it is now."""

    name: str
    """As the operator knows it."""

    def read(self) -> Config:
        """May block on files. Raises `ConfigRefused` with every problem, or another `BasculeError`."""

    def files(self) -> tuple[Path, ...]:
        """What the last configuration was read from, and would change it."""


class FileOrigin:
    """A file and what it includes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files: tuple[Path, ...] = (path,)
        self.name = str(path.absolute())

    def read(self) -> Config:
        text = load(self._path)
        # As it was named too: where a symbolic link leads is all that `text` knows, and that may change.
        self._files = (self._path, *text.files)
        return parse(text)

    def files(self) -> tuple[Path, ...]:
        return self._files


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

    def files(self) -> tuple[Path, ...]:
        return ()
