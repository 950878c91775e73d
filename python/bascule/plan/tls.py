"""TLS of the model → what is planned: paths are absolute, names are known."""

from os.path import normpath

from bascule import contract
from bascule.config.model import (
    ClientCertificates,
    Config,
    DnsSource,
    Hsts,
    Listener,
    ListenerTls,
    Pool,
    PoolTls,
    Route,
    TicketKey,
)
from bascule.config.places import Path
from bascule.plan.acme import planned_orders
from bascule.plan.plan import (
    PlannedAuthorities,
    PlannedCertificate,
    PlannedListenerTls,
    PlannedPoolTls,
    PlannedTicketKey,
)

HTTPS = 443
OURSELVES = ("localhost", "127.0.0.1", "::1")
_KEPT_METHODS = ("GET", "HEAD")


def plan_listener_tls(config: Config, name: str, listener: Listener) -> PlannedListenerTls | None:
    """How a listener speaks TLS; `None`: it does not."""
    tls, path = listener.tls, ("listeners", name, "tls")
    if tls is None:
        return None
    clients = tls.client_certificates
    return PlannedListenerTls(
        certificates=(*planned_certificates(config, name, tls), *planned_orders(config, listener)),
        self_signed=(*OURSELVES, *_hosts(listener)) if tls.self_signed else (),
        refuse_unknown=tls.unknown_name == "refuse",
        oldest="tls12" if tls.min_version == "1.2" else "tls13",
        alpn=_offered(listener),
        tickets=None
        if tls.tickets is None
        else tuple(
            _ticket_key(config, (*path, "tickets", "keys", at), key)
            for at, key in enumerate(tls.tickets.keys)
        ),
        clients=None if clients is None else planned_clients(config, name, clients),
        clients_required=clients is not None and clients.mode == "required",
    )


def planned_certificates(config: Config, name: str, tls: ListenerTls) -> tuple[PlannedCertificate, ...]:
    """Where the certificates of a listener are read, in the order of the configuration."""
    path, handed_over = ("listeners", name, "tls", "certificates"), uploads(config)
    planned = []
    for at, each in enumerate(tls.certificates):
        file = config.places.beside((*path, at, "certificate"), each.certificate)
        key = None if each.key is None else config.places.beside((*path, at, "key"), each.key)
        is_uploads = handed_over is not None and normpath(file) == handed_over
        planned.append(
            PlannedCertificate(
                handed_over if is_uploads and handed_over else file, key, each.default, uploaded=is_uploads
            )
        )
    return tuple(planned)


def uploads(config: Config) -> str | None:
    """The directory of certificates that are handed over; `None`: none are taken."""
    written = config.admin.certificates
    return None if written is None else normpath(config.places.beside(("admin", "certificates"), written))


def _offered(listener: Listener) -> tuple[str, ...]:
    """The protocols of HTTP; of flows those that routes ask for."""
    if listener.protocol != "http":
        return tuple(dict.fromkeys(each for route in listener.routes for each in route.match.alpn))
    return ("http/1.1",) if listener.http2 is None else ("h2", "http/1.1")


def planned_clients(config: Config, name: str, clients: ClientCertificates) -> PlannedAuthorities:
    """Whose certificates clients show."""
    path = ("listeners", name, "tls", "client_certificates")
    return PlannedAuthorities(
        _beside(config, (*path, "ca"), clients.ca), _beside(config, (*path, "crl"), clients.crl)
    )


def plan_pool_tls(config: Config, name: str, pool: Pool) -> PlannedPoolTls | None:
    """How TLS is spoken to the endpoints of a pool; `None`: it is not."""
    tls, path = pool.tls, ("pools", name, "tls")
    if tls is None:
        return None
    return PlannedPoolTls(
        authorities=planned_trust(config, path, tls),
        server_name=tls.server_name or _resolved_name(pool),
        certificate=planned_proof(config, path, tls),
        alpn=("h2",) if pool.protocol == "h2" else ("http/1.1",),
    )


def plan_check_tls(config: Config, name: str, pool: Pool) -> PlannedPoolTls | None:
    """How the check of a pool speaks TLS: as it says itself, else as the pool does."""
    if (written := check_tls(name, pool)) is None:
        # Databases that begin in the clear, and go over to TLS when they are asked to, do so only then.
        begins_clear = pool.check is not None and (pool.check.postgres or pool.check.mysql)
        return None if begins_clear else plan_pool_tls(config, name, pool)
    path, tls = written
    return PlannedPoolTls(
        authorities=planned_trust(config, path, tls),
        server_name=tls.server_name or _resolved_name(pool),
        certificate=planned_proof(config, path, tls),
        # Who speaks something else than HTTP may refuse to be taken for a web server.
        alpn=(),
    )


def check_tls(name: str, pool: Pool) -> tuple[Path, PoolTls] | None:
    """What the check of a pool says of its own about TLS, and where; `None`: nothing."""
    check = pool.check
    if check is None:
        return None
    path: Path = ("pools", name, "check", check.asked_kind)
    if check.tls is not None:
        # By its values, not by what is written: with every default written out it must say the same.
        said = (key for key in PoolTls.model_fields if getattr(check.tls, key) != getattr(PoolTls(), key))
        is_own = pool.tls is None or any(said)
        return (path, check.tls) if is_own else None
    if check.database is not None and check.database.tls is not None:
        return (*path, "tls"), check.database.tls
    return None


def planned_trust(config: Config, path: Path, tls: PoolTls) -> PlannedAuthorities | None:
    """Whom TLS that is written at `path` trusts; `None`: anybody."""
    if not tls.verify:
        return None
    return PlannedAuthorities(
        _beside(config, (*path, "ca"), tls.ca), _beside(config, (*path, "crl"), tls.crl)
    )


def planned_proof(config: Config, path: Path, tls: PoolTls) -> PlannedCertificate | None:
    """What TLS that is written at `path` shows when it is asked."""
    if tls.certificate is None:
        return None
    return PlannedCertificate(
        config.places.beside((*path, "certificate"), tls.certificate),
        None if tls.key is None else config.places.beside((*path, "key"), tls.key),
    )


def with_hsts(edits: contract.HeaderEdits, hsts: Hsts | None) -> contract.HeaderEdits:
    """Adds the header, unless the route has an opinion of its own."""
    own = {it.lower() for it in edits.remove} | {it.name.lower() for it in (*edits.set, *edits.add)}
    if hsts is None or "strict-transport-security" in own:
        return edits
    header = contract.HeaderValue("Strict-Transport-Security", hsts.value)
    return contract.HeaderEdits(edits.remove, (*edits.set, header), edits.add)


def https_routes(port: int | None) -> list[Route]:
    """What sends every request to its address with https://."""
    if port is None:
        return []
    where = "" if port == HTTPS else f":{port}"
    to = f"https://{{hostname}}{where}{{uri}}"
    return [
        Route.model_validate(
            {"name": "https", "match": {"method": list(_KEPT_METHODS)}, "redirect": {"to": to, "status": 301}}
        ),
        # Of 301 browsers make GET; 308 keeps the method and the body (RFC 9110, 15.4).
        Route.model_validate({"name": "https-kept", "redirect": {"to": to, "status": 308}}),
    ]


def _ticket_key(config: Config, path: Path, key: TicketKey) -> PlannedTicketKey:
    if key.file is not None:
        return PlannedTicketKey(file=config.places.beside((*path, "file"), key.file))
    return PlannedTicketKey(secret=contract.Secret(key.secret or ""))


def _beside(config: Config, path: Path, files: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(config.places.beside((*path, at), file) for at, file in enumerate(files))


def _hosts(listener: Listener) -> tuple[str, ...]:
    hosts = (host for route in listener.routes for host in route.match.host)
    return tuple(dict.fromkeys(host for host in hosts if not host.startswith("[")))


def _resolved_name(pool: Pool) -> str | None:
    """The name that the whole pool is found by."""
    names = {
        source.dns.rpartition(":")[0] if isinstance(source, DnsSource) else None for source in pool.endpoints
    }
    return names.pop() if len(names) == 1 else None
