"""Which endpoint an operator means: pools by name, endpoints by id or by address. Pure."""

from collections.abc import Collection, Iterable

from bascule.config.messages import did_you_mean
from bascule.discovery.written import address_id
from bascule.errors import BasculeError
from bascule.plan.found import Found, FoundEndpoint

MOST_LISTED = 8
"""Names in an error; an operator with hundreds looks at `bascule status`."""

Key = tuple[str, str]
"""Pool and endpoint."""


class NotThere(BasculeError):  # noqa: N818 (an answer to the operator)
    """There is no such pool or endpoint; the hint lists those that there are."""


def find(found: Found, pools: Collection[str], pool: str, endpoint: str) -> Key:
    """The endpoint that is called `endpoint`, or is at that address, in the pool of that name.

    Raises `NotThere`; and `BasculeError` when several endpoints are at that address.
    """
    if pool not in pools:
        raise NotThere(f'there is no pool "{pool}"', _hint(pool, pools, "the pools"))
    endpoints = found.get(pool, ())
    if any(it.id == endpoint for it in endpoints):
        return pool, endpoint
    there = list(dict.fromkeys(it.id for it in endpoints if _address(it) == endpoint))
    if len(there) > 1:
        raise BasculeError(
            f"several endpoints of pool {pool} are at {endpoint}", f"name one of them: {_listed(there)}"
        )
    if not there:
        names = dict.fromkeys(it.id for it in endpoints)
        raise NotThere(f'pool {pool} has no endpoint "{endpoint}"', _hint(endpoint, names, "its endpoints"))
    return pool, there[0]


def _address(endpoint: FoundEndpoint) -> str:
    return address_id(endpoint.address)


def _hint(word: str, known: Iterable[str], title: str) -> str:
    names = list(known)
    if not names:
        return "none has been found yet"
    lines = (did_you_mean(word, names), f"{title}: {_listed(names)}")
    return "\n  ".join(line for line in lines if line)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    return ", ".join(names[:MOST_LISTED]) + more
