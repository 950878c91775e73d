"""Everything that is wrong with a text, of shape and of meaning, in one go."""

from bascule import contract
from bascule.config.load import Text
from bascule.config.parse import parse
from bascule.config.problems import ConfigRefused, Problem
from bascule.plan.build import check
from bascule.plan.plan import Plan
from bascule.plan.rules import problems


def review(text: Text, catalog: contract.Catalog) -> tuple[Plan | None, list[Problem]]:
    """Steps 2 and 3: the plan, or `None` when a problem is an error; and every problem, in order."""
    try:
        return check(parse(text), catalog)
    except ConfigRefused as refused:
        return None, list(completed(refused, catalog).problems)


def completed(refused: ConfigRefused, catalog: contract.Catalog) -> ConfigRefused:
    """A refusal by `parse`, with the mistakes of meaning in what is left without those of shape.

    Warnings are left out: half of a configuration is unused for no fault of its own. So is what points
    at a place where a mistake has been told: it is a consequence.
    """
    if refused.rest is None:
        return refused
    told = {problem.place for problem in refused.problems}
    more = [
        problem
        for problem in problems(refused.rest, catalog)
        if problem.severity == "error" and problem.place not in told
    ]
    return ConfigRefused([*refused.problems, *more])
