"""ACME of the model → what is planned: paths are absolute, and every certificate is named once."""

from bascule import contract
from bascule.acme.layout import certificate_file
from bascule.config.acme import OF_ROUTES, is_certificate_name
from bascule.config.model import Acme, Config, Listener
from bascule.plan.plan import PlannedAccount, PlannedAcme, PlannedCertificate

Names = tuple[str, ...]


def plan_acme(config: Config) -> PlannedAcme | None:
    """Where certificates are ordered, and for which names; `None`: no listener wants any."""
    acme, orders = config.acme, _orders(config)
    if acme is None or not orders:
        return None
    account = acme.external_account
    return PlannedAcme(
        directory=acme.directory,
        email=acme.email,
        storage=storage(config, acme),
        challenge=acme.challenge,
        dns_hook=_beside(config, "dns_hook", acme.dns_hook),
        dns_wait_ms=acme.dns_wait,
        ca=_beside(config, "ca", acme.ca),
        account=None
        if account is None
        else PlannedAccount(account.key_id, contract.Secret(account.hmac_key)),
        orders=orders,
        key=acme.key,
    )


def wanted_names(listener: Listener) -> tuple[Names, ...]:
    """The names of each certificate that a listener wants to have ordered."""
    written = () if listener.tls is None else listener.tls.acme
    of_routes = tuple((host,) for host in hosts_of_routes(listener))
    return tuple(it for names in written for it in (of_routes if names == (OF_ROUTES,) else (names,)))


def hosts_of_routes(listener: Listener) -> tuple[str, ...]:
    """The hosts that routes are for, and that an authority could issue for."""
    hosts = (host for route in listener.routes for host in route.match.host)
    return tuple(host for host in dict.fromkeys(hosts) if is_certificate_name(host))


def planned_orders(config: Config, listener: Listener) -> tuple[PlannedCertificate, ...]:
    """Where the certificates will be that a listener has ordered."""
    acme = config.acme
    if acme is None:
        return ()
    place = storage(config, acme)
    files = (certificate_file(place, acme.directory, _unique(names)) for names in wanted_names(listener))
    return tuple(PlannedCertificate(str(file), ordered=True) for file in dict.fromkeys(files))


def storage(config: Config, acme: Acme) -> str:
    """Where everything is kept."""
    if acme.storage is not None:
        return config.places.beside(("acme", "storage"), acme.storage)
    from bascule.certificates.self_signed import state_directory  # noqa: PLC0415 (few configurations need it)

    return str(state_directory().with_name("acme"))


def _orders(config: Config) -> tuple[Names, ...]:
    """Each certificate once, whoever wants it, in the order of the configuration."""
    wanted = [_unique(names) for listener in config.listeners.values() for names in wanted_names(listener)]
    once: dict[frozenset[str], Names] = {}
    for names in wanted:
        once.setdefault(frozenset(names), names)
    return tuple(once.values())


def _unique(names: Names) -> Names:
    return tuple(dict.fromkeys(names))


def _beside(config: Config, key: str, file: str | None) -> str | None:
    return None if file is None else config.places.beside(("acme", key), file)
