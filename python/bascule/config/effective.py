"""A configuration as it would be written: with every default, or for a reader elsewhere."""

from collections.abc import Iterator
from typing import Any

from bascule.config.carried import pools_of_flows
from bascule.config.model import Config, FileSource, ListenerTls, PoolTls
from bascule.config.places import Path


def effective(config: Config) -> dict[str, object]:
    """The whole configuration with every default filled in, in its long forms.

    Reading it back gives a configuration that means the same, except that checks which are functions appear
    by their name.
    """
    written: dict[str, object] = config.model_dump(mode="json", by_alias=True)
    _say_what_flows_get(config, written)
    return written


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
    if defaults:
        _say_what_flows_get(config, written)
    for where, file in tls_files(config):
        _place(written, where, config.places.beside(where, file))
    if config.admin.certificates is not None:
        where = ("admin", "certificates")
        _place(written, where, config.places.beside(where, config.admin.certificates))
    for key in ("storage", "dns_hook", "ca"):
        if config.acme is not None and (file := getattr(config.acme, key)) is not None:
            _place(written, ("acme", key), config.places.beside(("acme", key), file))
    for name, pool in config.pools.items():
        for at, source in enumerate(pool.endpoints):
            if isinstance(source, FileSource):
                path = config.places.beside(("pools", name, "endpoints", at, "file"), source.file)
                written["pools"][name]["endpoints"][at]["file"] = path
    return written


OF_FLOWS: dict[str, object] = {
    "algorithm": {"name": "least_busy", "options": {}},
    "limit": "off",
    "hedge": "off",
}
"""Where the defaults of a pool of flows are others than those of HTTP, which go by the time of answers."""


def _say_what_flows_get(config: Config, written: dict[str, Any]) -> None:
    for name in pools_of_flows(config) & config.pools.keys():
        unsaid = OF_FLOWS.keys() - config.pools[name].model_fields_set
        written["pools"][name].update({key: OF_FLOWS[key] for key in unsaid})


def tls_files(config: Config) -> Iterator[tuple[Path, str]]:
    """Every file that `tls` names, as it is written, and where."""
    for name, listener in config.listeners.items():
        if listener.tls is not None:
            yield from _of_listener(("listeners", name, "tls"), listener.tls)
    for name, pool in config.pools.items():
        if pool.tls is not None:
            yield from _of_pool(("pools", name, "tls"), pool.tls)
        if (check := pool.check) is not None:
            path: Path = ("pools", name, "check", check.asked_kind)
            if check.tls is not None:
                yield from _of_pool(path, check.tls)
            if check.database is not None and check.database.tls is not None:
                yield from _of_pool((*path, "tls"), check.database.tls)


def _of_pool(path: Path, tls: PoolTls) -> Iterator[tuple[Path, str]]:
    yield from _listed(path, ca=tls.ca, crl=tls.crl)
    for key_name in ("certificate", "key"):
        if (file := getattr(tls, key_name)) is not None:
            yield (*path, key_name), file


def _of_listener(path: Path, tls: ListenerTls) -> Iterator[tuple[Path, str]]:
    for at, each in enumerate(tls.certificates):
        yield (*path, "certificates", at, "certificate"), each.certificate
        if each.key is not None:
            yield (*path, "certificates", at, "key"), each.key
    for at, key in enumerate(tls.tickets.keys if tls.tickets is not None else ()):
        if key.file is not None:
            yield (*path, "tickets", "keys", at, "file"), key.file
    if (clients := tls.client_certificates) is not None:
        yield from _listed((*path, "client_certificates"), ca=clients.ca, crl=clients.crl)


def _listed(path: Path, **files: tuple[str, ...]) -> Iterator[tuple[Path, str]]:
    for key, some in files.items():
        yield from (((*path, key, at), file) for at, file in enumerate(some))


def _place(written: Any, path: Path, value: str) -> None:
    """Puts a value where another is written. What is not written stays so."""
    for part in path[:-1]:
        if isinstance(written, dict) and part not in written:
            return
        written = written[part]
    written[path[-1]] = value
