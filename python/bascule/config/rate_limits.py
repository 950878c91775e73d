"""How many requests are let through in a time."""

import re
from typing import Annotated, Any, ClassVar

from pydantic import Field

from bascule.config.keys import OneKey
from bascule.config.problems import Mistake
from bascule.config.section import Section, alternative
from bascule.config.values import Duration, Name, ShortForm, one_or_list, shown

SECOND = 1000
_RATE = re.compile(r"([0-9]{1,12})[ ]?/[ ]?(s|m|h|d|[0-9][0-9a-z.]*)(?:[ ]+by[ ]+([a-z]+))?", re.ASCII)

Requests = Annotated[int, Field(strict=True, ge=1, le=1_000_000_000)]


class RateLimit(Section):
    """How many requests are let through in a time; the others get 429 with `Retry-After` and `RateLimit`."""

    title: ClassVar[str] = "a rate limit"

    requests: Annotated[Requests, Field(examples=[100])]
    """Requests …"""
    per: Duration = 1 * SECOND
    """… in this time, on average."""
    burst: Requests | None = alternative()
    """Requests that may come at once; by default as many as `requests`."""
    by: OneKey | None = alternative()
    """Whose requests are counted together: `client`, `host`, `path`, `uri`, `{header: X-Api-Key}`, `{cookie:
    name}` or `{query: name}`. By default all of the route."""
    store: Name | None = alternative()
    """The store in which several balancers count together; by default each counts for itself."""


def _in_full(value: Any) -> Any:
    """`100/s`, `1000/10s by client` as mappings."""
    if type(value) is int:
        raise Mistake(f"expected a rate such as 100/s, not {shown(value)}", f'did you mean "{value}/s"?')
    if not isinstance(value, str):
        return value
    found = _RATE.fullmatch(value.strip())
    if found is None:
        hint = "write {requests: 100, per: 1s, by: {header: X-Api-Key}} for all that has no short form"
        raise Mistake(f"expected a rate such as 100/s or 100/s by client, not {shown(value)}", hint)
    unit = found[2]
    limit: dict[str, Any] = {
        "requests": int(found[1]),
        "per": f"1{unit}" if unit in ("s", "m", "h", "d") else unit,
    }
    return limit if found[3] is None else {**limit, "by": found[3]}


OneRateLimit = Annotated[
    RateLimit, ShortForm(_in_full, ({"type": "string", "examples": ["100/s by client"]},))
]
RateLimits = Annotated[tuple[OneRateLimit, ...], ShortForm(one_or_list, ({"type": ["string", "object"]},))]
