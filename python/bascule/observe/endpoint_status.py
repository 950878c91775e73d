"""What one endpoint does now, and why: each of those who have a say in it, and what follows. Pure."""

from dataclasses import dataclass
from fractions import Fraction

from bascule import contract
from bascule.control.standing import Standing
from bascule.control.troubles import Ejection
from bascule.health.agent import AgentWord
from bascule.health.duty import Duty
from bascule.health.prober import EndpointHealth
from bascule.health.reports import Report
from bascule.observe.rates import Rates
from bascule.plan.found import FoundEndpoint


@dataclass(frozen=True, slots=True)
class Known:
    """All that was observed of one endpoint at one moment."""

    found: FoundEndpoint
    standing: Standing
    counted: contract.EndpointStats
    health: EndpointHealth | None
    """`None`: it has no check."""
    agent: Report[AgentWord] | None
    """`None`: it has no agent."""
    load: Report[int | None] | None
    """`None`: it is not asked."""
    ejection: Ejection | None
    """Why it was ejected, if that was heard."""
    rates: Rates
    now: float
    """By the clock of what else was noted."""


def describe(known: Known) -> dict[str, object]:
    """All of it, for JSON."""
    counted, rates = known.counted, known.rates
    return {
        "endpoint": known.found.id,
        "name": known.found.host,
        "state": state(known),
        "reason": reason(known),
        "up": counted.up,
        "draining": counted.draining,
        "maintenance": counted.maintenance,
        "ejected": counted.ejected,
        "weight": _number(Fraction(counted.weight, known.standing.scale)),
        "operator": {
            "state": known.standing.command.duty.value,
            "weight": known.standing.command.weight,
        },
        "agent": _agent(known),
        "load": _load(known),
        **_health(known),
        "requests_per_s": round(rates.requests_per_s, 1),
        "errors_per_s": round(rates.errors_per_s, 1),
        "p50_us": rates.p50_us,
        "p99_us": rates.p99_us,
        "pace_us": counted.pace_us,
        "limit": counted.limit,
        "learned_limit": counted.learned_limit,
        "in_flight": counted.in_flight,
        "picked": counted.picked,
        "failures": counted.failures,
        "ejections": counted.ejections,
        "connects": counted.connects,
        "connect_failures": counted.connect_failures,
        "retried": counted.retried,
        "idle": counted.idle,
    }


def state(known: Known) -> str:
    """`maintenance`, `down`, `ejected`, `draining` or `up`: of several that hold, the first."""
    counted = known.counted
    states = {
        "maintenance": counted.maintenance,
        "down": not counted.up,
        "ejected": counted.ejected,
        "draining": counted.draining,
    }
    return next((name for name, holds in states.items() if holds), "up")


def reason(known: Known) -> str:
    """Why it is in that state, in words: everybody who has a say in it, the check always."""
    return "; ".join(filter(None, (_of_duty(known.standing), _of_agent(known.standing), _of_traffic(known))))


def _of_duty(standing: Standing) -> str | None:
    by_agent, by_operator = "as its agent says", "by command"
    words = {Duty.MAINTENANCE: "in maintenance", Duty.DRAIN: "draining"}
    if standing.duty in words:
        return f"{words[standing.duty]} {by_operator if standing.command.duty is standing.duty else by_agent}"
    if standing.weight == 0:
        return f"no new work at weight 0 {by_agent if standing.command.weight is None else by_operator}"
    return None


def _of_agent(standing: Standing) -> str | None:
    return None if standing.agent.up else f"down as its agent says: {standing.agent.reason}"


def _of_traffic(known: Known) -> str:
    """The check and traffic do not change each other's mind, so both are told."""
    health = known.health
    if not known.counted.ejected:
        return "no check" if health is None else health.reason
    why = f"ejected by traffic: {known.ejection.reason}" if known.ejection else "ejected by traffic"
    if health is None:
        return f"no check, {why}"
    return f"up by its check, {why}" if health.up else f"{health.reason}; {why}"


def _health(known: Known) -> dict[str, object]:
    health = known.health
    if health is None:
        return {"changed_s_ago": None, "checked_s_ago": None}
    return {
        "changed_s_ago": round(known.now - health.since, 1),
        "checked_s_ago": _ago(known.now, health.last_checked),
    }


def _agent(known: Known) -> dict[str, object] | None:
    if known.agent is None:
        return None
    word = known.agent.word
    return {
        "state": word.duty.value,
        "up": word.up,
        "weight_percent": word.percent,
        "reason": word.reason,
        "problem": known.agent.problem,
        "heard_s_ago": _ago(known.now, known.agent.heard_at),
    }


def _load(known: Known) -> dict[str, object] | None:
    if known.load is None:
        return None
    return {
        "permille": known.load.word,
        "problem": known.load.problem,
        "heard_s_ago": _ago(known.now, known.load.heard_at),
    }


def _ago(now: float, moment: float | None) -> float | None:
    return None if moment is None else round(now - moment, 1)


def _number(exact: Fraction) -> int | float:
    return exact.numerator if exact.denominator == 1 else round(float(exact), 2)
