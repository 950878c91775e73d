"""Which part of a request is its key: what a hash, a session or a rate limit goes by."""

from typing import Any, ClassVar

from pydantic import Field, StrictStr, model_validator

from bascule.config.http_values import HeaderName
from bascule.config.problems import Mistake
from bascule.config.section import Section, alternative
from bascule.config.values import shown

WHOLE = ("client", "host", "path", "uri")
"""Parts that need no name."""
NAMED = ("header", "cookie", "query")
"""Parts of which there are several."""


class KeyBy(Section):
    """Which part of a request is its key. One of them."""

    title: ClassVar[str] = "a key"

    client: bool = Field(default=False, exclude_if=lambda value: not value)
    """The client's address, as the listener's `trusted` networks tell it."""
    host: bool = Field(default=False, exclude_if=lambda value: not value)
    """The host that was asked for."""
    path: bool = Field(default=False, exclude_if=lambda value: not value)
    """The normalised path."""
    uri: bool = Field(default=False, exclude_if=lambda value: not value)
    """The normalised path with the query."""
    header: HeaderName | None = alternative()
    """The value of this header."""
    cookie: StrictStr | None = alternative(min_length=1)
    """The value of this cookie."""
    query: StrictStr | None = alternative(min_length=1)
    """The value of this query parameter."""

    @model_validator(mode="after")
    def _is_one(self) -> "KeyBy":
        given = [key for key in (*WHOLE, *NAMED) if getattr(self, key)]
        if len(given) != 1:
            raise Mistake(
                f"a key is one part of the request, not {' and '.join(given) or 'none'}",
                "write client, host, path, uri, {header: name}, {cookie: name} or {query: name}",
            )
        return self


def key_by(value: Any) -> Any:
    """A word as the part that it names."""
    if not isinstance(value, str):
        return value
    if value not in WHOLE:
        hint = (
            f"write {{{value}: name}}"
            if value in NAMED
            else "write client, host, path, uri or {header: name}"
        )
        raise Mistake(f"expected a part of the request, not {shown(value)}", hint)
    return {value: True}
