"""Every source there is, by kind."""

from importlib.metadata import entry_points
from typing import cast

from bascule.discovery.source import Source
from bascule.discovery.sources.dns import DnsSource
from bascule.discovery.sources.dns_srv import DnsSrvSource
from bascule.discovery.sources.file import FileSource
from bascule.discovery.sources.static import StaticSource
from bascule.errors import BasculeError
from bascule.plan.plan import PlannedSource

SOURCES: tuple[type[Source], ...] = (DnsSource, DnsSrvSource, FileSource, StaticSource)
"""Every source that ships. Packages add their own through the `bascule.sources` entry point."""


def names() -> tuple[str, ...]:
    """Every source that a configuration may name, sorted; nothing is imported to find out."""
    theirs = {entry.name for entry in entry_points(group="bascule.sources")}
    return tuple(sorted(theirs | {source.kind for source in SOURCES}))


def find(kind: str) -> type[Source]:
    """The source of that kind; one of ours cannot be replaced by a package's.

    Raises `BasculeError` when there is none, or when the package that brings it cannot be imported.
    """
    for source in SOURCES:
        if source.kind == kind:
            return source
    for entry in entry_points(group="bascule.sources", name=kind):
        try:
            return cast("type[Source]", entry.load())
        except Exception as error:
            raise BasculeError(
                f"source {kind!r} ({entry.value}) cannot be imported: {error}",
                "repair or uninstall the package that brings it",
            ) from error
    raise BasculeError(f"there is no source {kind!r}", f"there are: {', '.join(names())}")


def build(planned: PlannedSource) -> Source:
    """The source that `planned` asks for. Raises `BasculeError` also when it refuses its options."""
    return find(planned.kind).from_options(planned.options)
