"""The values of a configuration that gRPC has a say in.

Like those of `values`: a reader gives the one form that is used from there on, or raises `Mistake`.
"""

import re
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, StrictStr, WithJsonSchema

from bascule.config.problems import Mistake
from bascule.config.values import OFF, shown, text

_SERVICE = re.compile(r"[\w.-]+(/[\w.-]+)*", re.ASCII)
_AUTHORITY = re.compile(r"([a-z0-9_.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", re.ASCII | re.IGNORECASE)


def read_service(value: object) -> str:
    """The name of a service as a server reports on it; `true` is the whole server, whose name is empty."""
    if value is True or value == "":
        return ""
    service = text(value, "the name of a service such as shop.v1.Cart, or true for the whole server")
    if not _SERVICE.fullmatch(service):
        hint = (
            "leave out the '/' and the method" if service.startswith("/") else "write it as its .proto does"
        )
        raise Mistake(f"{shown(service)} is not the name of a service", hint)
    return service


CODES = {"cancelled": 1, "deadline_exceeded": 4, "resource_exhausted": 8, "internal": 13, "unavailable": 14}
"""Codes of gRPC with which a server may have done nothing: those that Envoy can be told to retry on."""


def read_codes(value: object) -> tuple[str, ...]:
    """One code or several, in any case; `off` is none."""
    if value is False or value == "off":
        return ()
    written = value if isinstance(value, list | tuple) else [value]
    codes = tuple(dict.fromkeys(text(it, "a code such as unavailable").lower() for it in written))
    for code in codes:
        if code not in CODES:
            raise Mistake(
                f"{shown(code)} is no code of gRPC that calls are tried again for",
                f"there are {', '.join(CODES)}, and off",
            )
    return codes


def read_authority(value: object) -> str:
    """A host, and it may be a port: what a client would have dialled."""
    authority = text(value, "a host such as cart.internal or cart.internal:443")
    if not _AUTHORITY.fullmatch(authority):
        raise Mistake(f"{shown(authority)} is not an authority", "write a host, and it may be `:` and a port")
    return authority


ServiceName = Annotated[
    StrictStr,
    BeforeValidator(read_service),
    WithJsonSchema({"anyOf": [{"const": True}, {"type": "string", "pattern": r"^[\w./-]*$"}]}),
]
"""`shop.v1.Cart`; empty, or written as `true`: the whole server."""

Codes = Annotated[
    tuple[str, ...],
    BeforeValidator(read_codes),
    PlainSerializer(lambda codes: list(codes) or "off"),
    WithJsonSchema({"anyOf": [{"type": "array", "items": {"enum": [*CODES]}}, {"enum": [*CODES]}, OFF]}),
]
"""Names of codes; `off` is none."""

Authority = Annotated[StrictStr, BeforeValidator(read_authority), WithJsonSchema({"type": "string"})]
"""`cart.internal` or `cart.internal:443`."""
