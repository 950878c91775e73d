"""ACME: where certificates are ordered, and for which names."""

import re
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StrictStr, model_validator

from bascule.config.problems import Mistake
from bascule.config.secrets import Password
from bascule.config.section import Section, alternative
from bascule.config.values import DurationOrZero, ShortForm, one_or_list, shown, text

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
MOST_NAMES = 100
"""Of one certificate; Let's Encrypt takes no more."""
SECOND = 1000

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
OF_ROUTES = "on"
"""In the place of names: every host of the listener's routes has a certificate of its own."""
_NAME = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})+", re.ASCII)
_TEXT = {"type": "string"}


def read_certificate_name(value: object) -> str:
    """A host name in lower case, or `*.` and one."""
    if value is True or value == OF_ROUTES:
        return OF_ROUTES
    written = text(value, "a name such as shop.example.com")
    name = written.lower().removesuffix(".")
    if not name.isascii():
        raise Mistake(f"{shown(written)} is not in ASCII", f"write it as {_in_ascii(name)}")
    if not _NAME.fullmatch(name) or len(name) > 253 or name.rpartition(".")[2].isdigit():
        hint = "authorities issue for names such as shop.example.com or *.example.com"
        raise Mistake(f"no certificate can be ordered for {shown(written)}", hint)
    return name


def _in_ascii(name: str) -> str:
    try:
        return name.encode("idna").decode()
    except UnicodeError:
        return "xn--…"


def read_directory(value: object) -> str:
    """An address of a directory: RFC 8555 knows HTTPS only."""
    written = text(value, "an address such as https://ca.example.com/acme/directory")
    if not re.fullmatch(r"https://[^\s/@?#]+(/[^\s#]*)?", written):
        hint = "write https://…, as the authority's documentation has it"
        raise Mistake(f"{shown(written)} is not the address of a directory", hint)
    return written


def read_email(value: object) -> str:
    """One address, without a name."""
    written = text(value, "an address such as ops@example.com")
    if not re.fullmatch(r"[^\s@,;<>]+@[^\s@,;<>]+\.[^\s@,;<>]+", written):
        raise Mistake(f"{shown(written)} is not an e-mail address", "write email: ops@example.com")
    return written


def is_certificate_name(name: str) -> bool:
    """Whether an authority could issue for it."""
    try:
        return read_certificate_name(name) == name
    except Mistake:
        return False


def _few_enough(names: tuple[str, ...]) -> tuple[str, ...]:
    if OF_ROUTES in names and len(names) > 1:
        raise Mistake(f"`{OF_ROUTES}` is an entry by itself", f"write [{OF_ROUTES}, [the, others]]")
    if not 1 <= len(names) <= MOST_NAMES:
        raise Mistake(f"a certificate is for 1 to {MOST_NAMES} names, not {len(names)}")
    return names


CertificateName = Annotated[StrictStr, BeforeValidator(read_certificate_name)]

CertificateNames = Annotated[
    tuple[
        Annotated[
            tuple[CertificateName, ...],
            AfterValidator(_few_enough),
            ShortForm(one_or_list, (_TEXT,)),
        ],
        ...,
    ],
    ShortForm(one_or_list, (_TEXT, {"const": True})),
]
"""Each entry is a certificate: a name, or a list of names; `on` is one for each host of the routes."""


class ExternalAccount(Section):
    """An account that the authority knows already (external account binding)."""

    title: ClassVar[str] = "an external account"

    key_id: Annotated[StrictStr, Field(min_length=1)]
    """As the authority gave it."""
    hmac_key: Password
    """As the authority gave it: base64url. Best from the environment: `"${ACME_HMAC_KEY}"`."""


class Acme(Section):
    """Where certificates are ordered, for listeners with `tls: {acme: …}` (RFC 8555)."""

    title: ClassVar[str] = "`acme`"

    email: Annotated[StrictStr, BeforeValidator(read_email)] | None = alternative()
    """Whom the authority writes to about the account."""
    terms_agreed: bool = False
    """`true`: you agree to the terms of service of the authority. Nothing is ordered without."""
    directory: Annotated[StrictStr, BeforeValidator(read_directory)] = LETS_ENCRYPT
    """The directory of the authority; by default that of Let's Encrypt."""
    storage: Annotated[StrictStr, Field(min_length=1)] | None = alternative()
    """Directory for the account, keys and certificates, readable by us alone. Balancers that share it order
    once for all of them. By default `acme` in the state directory of systemd or of the user."""
    challenge: Literal["http-01", "tls-alpn-01", "dns-01"] = "http-01"
    """How we prove that a name is ours. `http-01`: on port 80, which listeners without `tls` answer by
    themselves. `tls-alpn-01`: on port 443, which listeners with `tls` do. `dns-01`: through `dns_hook`, and
    the only one for wildcards."""
    key: Literal["p256", "p384", "rsa2048", "rsa4096"] = "p256"
    """The key of each certificate that is ordered from now on; those that are there keep theirs until they
    are renewed. `rsa2048` is for clients that know no ECDSA, and makes handshakes dearer."""
    dns_hook: Annotated[StrictStr, Field(min_length=1)] | None = alternative()
    """A Python file with `present(name, value)` and `remove(name, value)`, which put a TXT record into the
    DNS and take it away; plain functions or `async` ones."""
    dns_wait: DurationOrZero = 10 * SECOND
    """Between `present` and asking the authority to look."""
    ca: Annotated[StrictStr, Field(min_length=1)] | None = alternative()
    """A PEM file of whom to trust as the server of `directory`, for an authority of your own; by default the
    authorities of the system."""
    external_account: ExternalAccount | None = alternative()
    """For authorities that want one."""

    @model_validator(mode="after")
    def _is_complete(self) -> "Acme":
        if not self.terms_agreed:
            what = "nothing can be ordered before you agree to the terms of service of the authority"
            raise Mistake(what, f"read them ({self.directory} names them), then add terms_agreed: true")
        if (self.challenge == "dns-01") != (self.dns_hook is not None):
            if self.dns_hook is None:
                raise Mistake("dns-01 needs `dns_hook`", "name a Python file with present() and remove()")
            raise Mistake("`dns_hook` is for dns-01 only", "add challenge: dns-01, or remove it")
        return self
