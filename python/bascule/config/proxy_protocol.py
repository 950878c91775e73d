"""The PROXY protocol in the configuration: who passes connections on, and who is told whose they are."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, WrapSerializer, model_validator

from bascule.config.http_values import Network
from bascule.config.problems import Mistake
from bascule.config.section import Section
from bascule.config.values import (
    OFF,
    NotEmpty,
    ShortForm,
    is_off,
    off_or,
    one_or_list,
    shown,
    written_or_off,
)

_TEXT = {"type": "string"}


class Announced(Section):
    """Whose connections begin with a PROXY header, which says for which client they are. Version 1 and 2."""

    title: ClassVar[str] = "the PROXY protocol of a listener"

    from_: Annotated[
        tuple[Network, ...],
        NotEmpty,
        Field(alias="from", examples=["10.0.0.0/8"]),
        ShortForm(one_or_list, (_TEXT,)),
    ]
    """Networks (CIDR) of the balancers in front. Their connections must begin with a header, or are closed.
    From all others a header is not looked for, and refused like any other nonsense: a client could claim to
    be anybody."""


def _announced(value: Any) -> Any:
    if isinstance(value, Announced | dict):
        return value
    return off_or("{from: 10.0.0.0/8}")(value)


AnnouncedOrOff = Annotated[Announced | None, ShortForm(_announced, (OFF,)), WrapSerializer(written_or_off)]

Tlv = Literal["alpn", "sni", "unique_id", "crc32c"]


def _version(value: Any) -> Any:
    return f"v{value}" if value in (1, 2) and not isinstance(value, bool) else value


class Announce(Section):
    """How endpoints are told whose connection it is: a PROXY header before everything else."""

    title: ClassVar[str] = "the PROXY protocol of a pool"

    version: Annotated[Literal["v1", "v2"], BeforeValidator(_version)]
    """`v1` is a line of text, `v2` binary."""
    tlvs: Annotated[tuple[Tlv, ...], ShortForm(one_or_list, (_TEXT,))] = ()
    """What `v2` tells besides: `alpn` and `sni`, the protocol and the name of the client's TLS; `unique_id`,
    which tells client connections apart; `crc32c`, a checksum."""

    @model_validator(mode="after")
    def _tells_what_it_can(self) -> "Announce":
        if self.tlvs and self.version == "v1":
            raise Mistake(
                "version 1 of the PROXY protocol has no TLVs", "write version: v2, or remove `tlvs`"
            )
        if len(set(self.tlvs)) < len(self.tlvs):
            raise Mistake("one of `tlvs` is there twice", "write each once")
        return self


def _announce(value: Any) -> Any:
    if isinstance(value, Announce | dict):
        return value
    version = _version(value)
    if version in ("v1", "v2"):
        return {"version": version}
    if is_off(value, "v1, v2, or {version: v2, tlvs: [sni]}"):
        return None
    raise Mistake(f"expected v1, v2, off or {{version, tlvs}}, not {shown(value)}")


AnnounceOrOff = Annotated[
    Announce | None,
    ShortForm(_announce, ({"enum": ["v1", "v2"]}, OFF)),
    WrapSerializer(written_or_off),
]
