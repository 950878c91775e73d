"""What may not be of TLS: certificates that cannot be used, and settings without effect. Reads files."""

import time
from collections.abc import Iterator

from bascule import contract
from bascule.config.model import Config, PoolTls
from bascule.config.places import Path, Span
from bascule.config.problems import Problem
from bascule.plan.acme import wanted_names
from bascule.plan.plan import PlannedAuthorities, PlannedCertificate
from bascule.plan.tls import check_tls, planned_certificates, planned_clients, planned_proof, planned_trust


def certificates_can_be_shown(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """Each certificate of a listener is there, has its key, is in order, and has not expired."""
    for name, listener in config.listeners.items():
        if listener.tls is None:
            continue
        path = ("listeners", name, "tls", "certificates")
        for at, planned in enumerate(planned_certificates(config, name, listener.tls)):
            yield from _certificate(config, (*path, at), planned)


def clients_can_be_verified(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """The authorities of clients are there, and what they have revoked is up to date."""
    for name, listener in config.listeners.items():
        clients = None if listener.tls is None else listener.tls.client_certificates
        if clients is not None:
            path = ("listeners", name, "tls", "client_certificates")
            yield from _authorities(config, path, planned_clients(config, name, clients))


def endpoints_can_be_verified(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """Whom a pool or its check trusts and what they show is there."""
    for name, pool in config.pools.items():
        if pool.tls is not None:
            yield from _spoken(config, ("pools", name, "tls"), pool.tls)
        if (written := check_tls(name, pool)) is not None:
            yield from _spoken(config, *written)


def _spoken(config: Config, path: Path, tls: PoolTls) -> Iterator[Problem]:
    authorities = planned_trust(config, path, tls)
    if authorities is not None:
        yield from _authorities(config, path, authorities)
    else:
        yield _unverified(config, path)
    shown = planned_proof(config, path, tls)
    if shown is not None:
        yield from _certificate(config, path, shown)


def http_2_is_spoken_where_it_says(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """`h2` is HTTP/2 within TLS, and `h2c` HTTP/2 without."""
    for name, pool in config.pools.items():
        span = config.places.value(("pools", name, "protocol"))
        if pool.protocol == "h2" and pool.tls is None:
            yield span.problem(
                "`h2` is HTTP/2 within TLS, which this pool does not speak", "add tls: on, or write h2c"
            )
        if pool.protocol == "h2c" and pool.tls is not None:
            yield span.problem("`h2c` is HTTP/2 without TLS, which this pool speaks", "write h2")


def certificates_are_asked_for(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """A route by client certificate is on a listener that asks for one."""
    for name, listener in config.listeners.items():
        asked = listener.tls is not None and listener.tls.client_certificates is not None
        for at, route in enumerate(listener.routes):
            if route.match.client_certificate is not None and not asked:
                span = config.places.key(("listeners", name, "routes", at, "match", "client_certificate"))
                what = f'no client shows a certificate: listener "{name}" does not ask for one'
                yield span.problem(what, "add tls: {client_certificates: {mode: optional, ca: …}}")


def ticket_keys_can_be_read(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """Files of ticket keys are there, and long enough."""
    from bascule.certificates.fault import CertificateRefused  # noqa: PLC0415 (few configurations need it)
    from bascule.certificates.read import read_secret  # noqa: PLC0415

    for name, listener in config.listeners.items():
        tickets = None if listener.tls is None else listener.tls.tickets
        for at, key in enumerate(() if tickets is None else tickets.keys):
            if key.file is None:
                continue
            path = ("listeners", name, "tls", "tickets", "keys", at, "file")
            try:
                read_secret(config.places.beside(path, key.file))
            except CertificateRefused as refused:
                yield config.places.value(path).problem(str(refused), refused.hint)


def https_is_somewhere_else(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """A listener that redirects to HTTPS speaks it not, and does nothing else with what is left."""
    for name, listener in config.listeners.items():
        path = ("listeners", name, "redirect_to_https")
        if listener.redirect_to_https is None:
            continue
        if listener.tls is not None:
            what = f'listener "{name}" speaks TLS already: it would redirect to itself'
            yield config.places.key(path).problem(what, "set it on the listener of port 80")
        if listener.pool is not None:
            what = "this pool is never reached: everything is redirected to HTTPS"
            hint = "remove it, or `redirect_to_https`; `routes` are tried first"
            yield config.places.value(("listeners", name, "pool")).problem(what, hint)


def hsts_is_sent_over_tls(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """Browsers ignore it where it came in the clear (RFC 6797, 8.1)."""
    for name, listener in config.listeners.items():
        if listener.hsts is not None and listener.tls is None:
            at = config.places.key(("listeners", name, "hsts"))
            yield at.problem("browsers ignore `hsts` without TLS", "set it on the listener with `tls`")


def hosts_have_certificates(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """A host that a route wants and no certificate is for is one that browsers refuse."""
    from bascule.certificates.fault import CertificateRefused  # noqa: PLC0415 (few configurations need it)
    from bascule.certificates.read import SHARED  # noqa: PLC0415

    for name, listener in config.listeners.items():
        if listener.tls is None or listener.tls.self_signed:
            continue
        try:
            names = {
                known
                for planned in planned_certificates(config, name, listener.tls)
                for certificate in SHARED.read(planned, time.time()).certificates
                for known in certificate.names
            }
            names |= {each for ordered in wanted_names(listener) for each in ordered}
        except CertificateRefused:
            continue  # Told elsewhere.
        for at, route in enumerate(listener.routes):
            for position, host in enumerate(route.match.host):
                if not host.startswith("[") and not _is_covered(host, names):
                    span = config.places.value(("listeners", name, "routes", at, "match", "host", position))
                    what = f"no certificate of this listener is for {host}"
                    yield span.problem(what, f"they are for {_some(names)}", "warning")


def what_is_handed_over_is_shown(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """Some listener names the directory of certificates that are handed over."""
    if config.admin.certificates is None:
        return
    planned = (
        each
        for name, listener in config.listeners.items()
        if listener.tls is not None
        for each in planned_certificates(config, name, listener.tls)
    )
    if not any(each.uploaded for each in planned):
        span = config.places.value(("admin", "certificates"))
        what = "no client is shown what is handed over: no listener names this directory"
        hint = "name it among the `certificates` of a listener's `tls`"
        yield span.problem(what, hint, "warning")


def _is_covered(host: str, names: set[str]) -> bool:
    return host in names or f"*.{host.partition('.')[2]}" in names


def _some(names: set[str]) -> str:
    few = sorted(names)[:5]
    return (
        ", ".join(few) + (f" and {len(names) - len(few)} more" if len(names) > len(few) else "") or "nothing"
    )


def _certificate(config: Config, path: Path, planned: PlannedCertificate) -> Iterator[Problem]:
    from bascule.certificates.fault import CertificateRefused  # noqa: PLC0415 (few configurations need it)
    from bascule.certificates.read import SHARED  # noqa: PLC0415

    spans = {planned.key: config.places.value((*path, "key"))} if planned.key is not None else {}
    shown = config.places.value((*path, "certificate"))
    try:
        found = SHARED.read(planned, time.time())
    except CertificateRefused as refused:
        yield spans.get(refused.fault.file, shown).problem(str(refused.fault), refused.hint)
        return
    for fault in found.faults:
        # Of a directory: one of thousands must not keep the others from being served.
        yield shown.problem(f"{fault}; it is left out", fault.hint, "warning")
    for doubt in (doubt for certificate in found.certificates for doubt in certificate.doubts):
        yield shown.problem(str(doubt), doubt.hint, "warning")


def _authorities(config: Config, path: Path, planned: PlannedAuthorities) -> Iterator[Problem]:
    from bascule.certificates import read  # noqa: PLC0415 (few configurations need it)
    from bascule.certificates.fault import CertificateRefused  # noqa: PLC0415

    try:
        files = planned.files or (read.system_authorities(),)
        read.read_authorities(files, planned.revoked, time.time())
    except CertificateRefused as refused:
        yield _named(config, path, planned, refused.fault.file).problem(str(refused.fault), refused.hint)


def _named(config: Config, path: Path, planned: PlannedAuthorities, file: str) -> Span:
    for key, files in (("ca", planned.files), ("crl", planned.revoked)):
        if file in files:
            return config.places.value((*path, key, files.index(file)))
    return config.places.value(path)


def _unverified(config: Config, path: Path) -> Problem:
    what = "whoever can get in between can read and change what is said to these endpoints"
    hint = "name their authority with `ca` instead of `verify: false`"
    return config.places.value((*path, "verify")).problem(what, hint, "warning")


RULES = (
    certificates_can_be_shown,
    hosts_have_certificates,
    what_is_handed_over_is_shown,
    clients_can_be_verified,
    certificates_are_asked_for,
    endpoints_can_be_verified,
    http_2_is_spoken_where_it_says,
    ticket_keys_can_be_read,
    https_is_somewhere_else,
    hsts_is_sent_over_tls,
)
"""Every rule of this file."""
