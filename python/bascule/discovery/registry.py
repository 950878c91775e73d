"""Every source there is, by kind."""

from bascule import extensions
from bascule.discovery.source import Source
from bascule.discovery.sources.dns import DnsSource
from bascule.discovery.sources.dns_srv import DnsSrvSource
from bascule.discovery.sources.file import FileSource
from bascule.discovery.sources.static import StaticSource
from bascule.plan.plan import PlannedSource

_GROUP = "bascule.sources"

SOURCES: tuple[type[Source], ...] = (DnsSource, DnsSrvSource, FileSource, StaticSource)
"""Every source that ships. Packages add their own through the `bascule.sources` entry point."""


def names() -> tuple[str, ...]:
    """Every source that a configuration may name, sorted; nothing is imported to find out."""
    return extensions.names(_GROUP, _ours())


def find(kind: str) -> type[Source]:
    """The source of that kind. Raises `BasculeError` when it is not there or cannot be imported."""
    return extensions.find("source", kind, _GROUP, _ours())


def _ours() -> dict[str, type[Source]]:
    return {source.kind: source for source in SOURCES}


def build(planned: PlannedSource) -> Source:
    """The source that `planned` asks for. Raises `BasculeError` also when it refuses its options."""
    return find(planned.kind).from_options(planned.options)
