"""A configuration as it would be written: with every default, or for a reader elsewhere."""

from typing import Any

from bascule.config.model import Config, FileSource


def effective(config: Config) -> dict[str, object]:
    """The whole configuration with every default filled in, in its long forms.

    Reading it back gives an equal configuration, except that checks which are functions appear by
    their name.
    """
    return config.model_dump(mode="json", by_alias=True)


def portable(config: Config, *, defaults: bool, secrets: bool = False) -> dict[str, Any]:
    """The configuration so that it says the same wherever it is read: its paths are absolute.

    Without `defaults` only what was written, in its long forms. Without `secrets` each is an ellipsis.
    """
    written: dict[str, Any] = config.model_dump(
        mode="json", by_alias=True, exclude_unset=not defaults, context={"secrets": secrets}
    )
    if config.access_log is not None and config.access_log.path is not None:
        path = config.places.beside(("access_log", "path"), config.access_log.path)
        written["access_log"]["path"] = path
    for name, pool in config.pools.items():
        for at, source in enumerate(pool.endpoints):
            if isinstance(source, FileSource):
                path = config.places.beside(("pools", name, "endpoints", at, "file"), source.file)
                written["pools"][name]["endpoints"][at]["file"] = path
    return written
