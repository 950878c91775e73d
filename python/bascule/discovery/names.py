"""One name, followed over time: its last good addresses, and when to ask again."""

from dataclasses import dataclass

from bascule.discovery.resolver import Addresses, Family, Resolver

SHORTEST_S = 0.1
"""No answer is asked for more often, whatever its TTL and the options say."""

FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 30.0


@dataclass(frozen=True, slots=True)
class Ttl:
    """The bounds within which an answer's own time to live is believed."""

    minimum_s: float
    maximum_s: float

    def clamp(self, ttl_s: float) -> float:
        """The TTL to go by."""
        return max(SHORTEST_S, min(max(ttl_s, self.minimum_s), self.maximum_s))


class Retry:
    """How long to wait after failures in a row: 1 s, doubling, 30 s at most."""

    def __init__(self) -> None:
        self._next = FIRST_RETRY_S

    def after_failure(self) -> float:
        """Seconds to wait before the next try."""
        wait, self._next = self._next, min(self._next * 2, LONGEST_RETRY_S)
        return wait

    def reset(self) -> None:
        """It worked."""
        self._next = FIRST_RETRY_S


class Name:
    """The addresses of one name, as last known.

    A failure, a name that has gone, or an answer without addresses changes nothing: traffic to addresses
    that were right a minute ago beats no traffic, and checks find out about those that are not.
    """

    def __init__(self, name: str, resolver: Resolver, ttl: Ttl) -> None:
        self.name = name
        self.problem: str | None = None
        """What went wrong the last time, in words."""
        self.wait_s = 0.0
        """From the last `refresh` to the next one."""
        self._resolver = resolver
        self._ttl = ttl
        self._retry = Retry()
        self._known: dict[Family, tuple[str, ...]] = {"A": (), "AAAA": ()}

    @property
    def addresses(self) -> tuple[str, ...]:
        """IPv4 first, each family in numerical order; empty when it was never resolved."""
        return self._known["A"] + self._known["AAAA"]

    @property
    def one_family(self) -> tuple[str, ...]:
        """IPv4, or IPv6 when there is none.

        For names that stand for one endpoint: both families are then two ways to the same program, which may
        listen on one of them only, as many do on `localhost`.
        """
        return self._known["A"] or self._known["AAAA"]

    async def refresh(self) -> None:
        """Asks once. Afterwards `addresses`, `problem` and `wait_s` are what to go by. Never raises."""
        answers = await self._resolver.addresses(self.name)
        good = {family: it for family, it in answers.items() if isinstance(it, Addresses)}
        unanswered = [it.reason for it in answers.values() if not isinstance(it, Addresses)]
        if any(it.found for it in good.values()):
            # One family may have failed: what was known of it stands, the other is used already.
            self._known |= {family: it.found for family, it in good.items()}
            ttl = min(it.ttl_s for it in good.values() if it.found)
            self._settle(unanswered[0] if unanswered else None, self._ttl.clamp(ttl))
        else:
            self._settle(unanswered[0] if unanswered else "has no addresses", self._ttl.maximum_s)

    def _settle(self, problem: str | None, wait_s: float) -> None:
        self.problem = None if problem is None else f"{self.name}: {problem}"
        if problem is None:
            self._retry.reset()
            self.wait_s = wait_s
        else:
            self.wait_s = min(wait_s, self._retry.after_failure())
