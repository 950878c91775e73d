"""Which part of a request is its key: what a hash, a session or a rate limit goes by."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import model_validator

from bascule.config.http_values import CookieName, HeaderName, Parameter
from bascule.config.messages import did_you_mean
from bascule.config.problems import Mistake
from bascule.config.section import Section, alternative
from bascule.config.values import ShortForm, shown

WHOLE = ("client", "host", "path", "uri")
"""Parts that need no name."""
NAMED = ("header", "cookie", "query")
"""Parts of which there are several."""

_FORM = "write client, host, path, uri, {header: NAME}, {cookie: NAME} or {query: NAME}"


class KeyBy(Section):
    """Which part of a request is its key. One of them."""

    title: ClassVar[str] = "a key"

    client: Literal[True] | None = alternative()
    """The client's address, as the listener's `trusted` networks tell it."""
    host: Literal[True] | None = alternative()
    """The host that was asked for."""
    path: Literal[True] | None = alternative()
    """The normalised path."""
    uri: Literal[True] | None = alternative()
    """The normalised path with the query."""
    header: HeaderName | None = alternative()
    """The value of this header."""
    cookie: CookieName | None = alternative()
    """The value of this cookie."""
    query: Parameter | None = alternative()
    """The value of this query parameter."""

    @model_validator(mode="after")
    def _is_one(self) -> "KeyBy":
        given = [key for key in (*WHOLE, *NAMED) if getattr(self, key) is not None]
        if len(given) != 1:
            raise Mistake(
                f"a key is one part of the request, not {' and '.join(given) or 'none'}",
                _FORM,
            )
        return self


def _in_full(value: Any) -> Any:
    """A word as the part that it names."""
    if not isinstance(value, str):
        return value
    if value not in WHOLE:
        near = did_you_mean(value, (*WHOLE, *NAMED))
        hint = f"write {{{value}: NAME}}" if value in NAMED else near or _FORM
        raise Mistake(f"expected a part of the request, not {shown(value)}", hint)
    return {value: True}


OneKey = Annotated[KeyBy, ShortForm(_in_full, ({"enum": list(WHOLE)},))]
"""A part of a request, as one word where that is enough."""
