"""Why an order failed: what the authority said, and what an operator can do about it."""

from bascule.errors import BasculeError
from bascule.wording import in_one_line

_ANSWERED_ELSEWHERE = (
    "somebody else answered: does the name lead to this balancer, or to all that share its storage?"
)
_HINTS = {
    "connection": "the authority could not reach us: does the name lead here, and is the port open?",
    "unauthorized": _ANSWERED_ELSEWHERE,
    "incorrectResponse": _ANSWERED_ELSEWHERE,
    "dns": "the authority could not look the name up: is it in the DNS, with an A or AAAA record?",
    "dnssec": "the zone's DNSSEC signatures do not verify: have its operator mend them",
    "tls": "its TLS handshake failed: does port 443 lead here, with nothing before that ends TLS?",
    "caa": "a CAA record of the domain names other authorities: add this one, or go to one of those",
    "rateLimited": "nothing helps but time; while you try things, use the authority's staging directory",
    "rejectedIdentifier": "this authority does not issue for the name: correct it, or take another authority",
    "unsupportedIdentifier": "this authority does not issue for such names",
    "externalAccountRequired": "get an account from the authority, for acme: {external_account: …}",
    "invalidContact": "correct acme: {email: …}",
    "unsupportedContact": "correct acme: {email: …}",
    "userActionRequired": "the authority's terms have changed: read them, as its message says how",
    "serverInternal": "the fault is the authority's; it is tried again",
}


class OrderFailed(BasculeError):  # noqa: N818 (an answer, as ConfigRefused is)
    """A certificate was not issued. The words never hold anything of a key."""

    def __init__(self, what: str, hint: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(in_one_line(what), hint)
        self.retry_after_s = retry_after_s
        """How long the authority wants us to stay away."""


def from_problem(
    kind: str, detail: str | None, name: str | None, retry_after_s: float | None = None
) -> OrderFailed:
    """From a problem document (RFC 8555, 6.7), `kind` being the last part of its type."""
    about = f" about {name}" if name else ""
    what = f"the authority says{about}: {kind}: {detail or 'no details'}"
    return OrderFailed(what, _HINTS.get(kind), retry_after_s)
