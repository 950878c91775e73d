"""What may not be of the PROXY protocol: shared connections, and anybody who claims to be anybody."""

from collections.abc import Iterator

from bascule import contract
from bascule.config.model import Config
from bascule.config.problems import Problem


def one_client_is_announced(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """A connection to an HTTP/2 endpoint is for many clients, and a header names one."""
    for name, pool in config.pools.items():
        if pool.proxy_protocol is not None and pool.protocol != "http1":
            at = config.places.key(("pools", name, "proxy_protocol"))
            what = f"a PROXY header names one client, and a connection of {pool.protocol} is for many"
            yield at.problem(what, "write protocol: http1, or have endpoints read X-Forwarded-For")


def not_everybody_announces(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """Who may send a header may claim to be anybody."""
    for name, listener in config.listeners.items():
        announced = listener.proxy_protocol
        for at, network in enumerate(() if announced is None else announced.from_):
            if network.endswith("/0"):
                place = config.places.value(("listeners", name, "proxy_protocol", "from", at))
                what = f"{network} lets every client say who it is"
                yield place.problem(what, "list the networks of your own balancers only", "warning")


RULES = (one_client_is_announced, not_everybody_announces)
"""Every rule of this file."""
