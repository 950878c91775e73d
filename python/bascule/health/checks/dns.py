"""Does a name server resolve? Asks one question and looks at the records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self, cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

from bascule.errors import BasculeError
from bascule.health.check import CheckFailed, Target
from bascule.health.datagrams import sent
from bascule.wording import in_words

_OPTIONS = {"name", "type", "expect", "transport"}


@dataclass(frozen=True, slots=True)
class DnsCheck:
    """Passes when the answer has records of the type, and among them those expected.

    Options: `name`; `type`, `A` by default; `expect`, values as a zone file writes them; `transport`, `udp`
    (TCP is tried when the answer is cut off, as resolvers do) or `tcp`.
    """

    name: ClassVar[str] = "dns"

    asked: dns.name.Name
    type: dns.rdatatype.RdataType = dns.rdatatype.A
    expect: tuple[str, ...] = ()
    transport: str = "udp"

    @classmethod
    def from_options(cls, options: Mapping[str, object]) -> Self:
        if unknown := options.keys() - _OPTIONS:
            raise BasculeError(f"a dns check has no option {', '.join(sorted(unknown))}")
        try:
            asked = dns.name.from_text(str(options["name"]))
            kind = dns.rdatatype.from_text(str(options.get("type", "A")))
        except KeyError as error:
            raise BasculeError("a dns check needs a name to ask for") from error
        except dns.exception.DNSException as error:
            raise BasculeError(f"a dns check cannot ask that: {error}") from error
        transport = str(options.get("transport", "udp"))
        if transport not in ("udp", "tcp"):
            raise BasculeError(f"transport must be udp or tcp, not {transport!r}")
        expect = cast("Sequence[str]", options.get("expect") or ())
        return cls(asked, kind, tuple(it.lower().rstrip(".") for it in expect), transport)

    async def run(self, target: Target) -> None:
        query = dns.message.make_query(self.asked, self.type)
        answer = None if self.transport == "tcp" else await self._over_udp(target, query)
        if answer is None or answer.flags & dns.flags.TC:
            answer = await self._over_tcp(target, query)
        self._judge(answer)

    async def _over_udp(self, target: Target, query: dns.message.QueryMessage) -> dns.message.Message:
        async with sent(target, query.to_wire()) as receive:
            while True:
                # What answers another question is late or forged; the one to ours may still come.
                if (answer := _read(query, await receive())) is not None:
                    return answer

    async def _over_tcp(self, target: Target, query: dns.message.QueryMessage) -> dns.message.Message:
        reader, writer = await target.connect()
        try:
            writer.write(query.to_wire(prepend_length=True))
            length = int.from_bytes(await reader.readexactly(2))
            answer = _read(query, await reader.readexactly(length))
        except EOFError as error:
            raise CheckFailed(f"{target}: closed before the answer was complete") from error
        except OSError as error:
            raise CheckFailed(f"{target}: {in_words(error)}") from error
        finally:
            writer.transport.abort()
        if answer is None:
            raise CheckFailed(f"{target}: what came is no answer to the question")
        return answer

    def _judge(self, answer: dns.message.Message) -> None:
        what = f"{self.asked.to_text(omit_final_dot=True)} {dns.rdatatype.to_text(self.type)}"
        if (code := answer.rcode()) != dns.rcode.NOERROR:
            raise CheckFailed(f"{what}: {dns.rcode.to_text(code)}")
        # Sorted: name servers rotate their answers, and a reason is not news for that.
        records = sorted(
            record.to_text().lower().rstrip(".")
            for rrset in answer.answer
            if rrset.rdtype == self.type
            for record in rrset
        )
        if not records:
            raise CheckFailed(f"{what}: no records")
        if missing := [it for it in self.expect if it not in records]:
            raise CheckFailed(f"{what} is {', '.join(records)}, wanted {', '.join(missing)}")


def _read(query: dns.message.QueryMessage, wire: bytes) -> dns.message.Message | None:
    try:
        answer = dns.message.from_wire(wire, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError):
        return None
    return answer if query.is_response(answer) else None
