"""Endpoints as people name them at a command line: `POOL/ADDRESS`."""

from typing import Any
from urllib.parse import quote

from bascule.cli.exits import UsageWrong


def state_of(named: str) -> str:
    """The resource of the admin API for `POOL/ADDRESS`. Raises `UsageWrong` when it is not written so."""
    # At the first slash: an address may be the path of a Unix socket, the name of a pool has none.
    pool, slash, endpoint = named.partition("/")
    if not (slash and pool and endpoint):
        raise UsageWrong(
            f"'{named}' does not name an endpoint",
            "write POOL/ADDRESS, for example site/10.0.0.1:8000; `bascule status` lists them",
        )
    return f"/pools/{quote(pool, safe='')}/endpoints/{quote(endpoint, safe='')}/state"


def in_short(endpoint: dict[str, Any]) -> str:
    """One line for people: what it is, what it does, and why."""
    state = "in maintenance" if endpoint["state"] == "maintenance" else endpoint["state"]
    return (
        f"{endpoint['pool']}/{endpoint['endpoint']} is {state}, "
        f"{endpoint['in_flight']} in flight ({endpoint['reason']})"
    )
