"""Everything that is wrong with a text, of shape and of meaning, in one go."""

from bascule import contract
from bascule.config.load import Text
from bascule.config.parse import parse
from bascule.config.problems import ConfigRefused, Problem, in_order
from bascule.plan.build import check
from bascule.plan.plan import Plan
from bascule.plan.rules import problems


def review(text: Text, catalog: contract.Catalog) -> tuple[Plan | None, list[Problem]]:
    """Steps 2 and 3: the plan, or `None` when a problem is an error; and every problem, in order.

    Where the shape is wrong, what remains without the mistakes is checked for its meaning all the same.
    Warnings are then left out: half of a configuration is unused for no fault of its own.
    """
    try:
        return check(parse(text), catalog)
    except ConfigRefused as refused:
        rest = problems(refused.rest, catalog) if refused.rest is not None else []
        told = {(problem.path, problem.line, problem.column) for problem in refused.problems}
        errors = [
            problem
            for problem in rest
            if problem.severity == "error" and (problem.path, problem.line, problem.column) not in told
        ]
        return None, in_order([*refused.problems, *errors])
