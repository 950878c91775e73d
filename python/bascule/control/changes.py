"""What a reload would change, and what only a restart can. Pure."""

from bascule.plan.diff import describe
from bascule.plan.plan import Plan


def changes_between(old: Plan | None, new: Plan) -> list[str]:
    """In words, one line each. Listeners that stay are named too: operators ask about those first."""
    return [*describe(old, new), *_needs_restart(old, new)]


def _needs_restart(old: Plan | None, new: Plan) -> list[str]:
    if old is None:
        return []
    fixed = {
        "threads": old.threads != new.threads,
        "admin.bind": old.admin.bind != new.admin.bind,
        "admin.metrics": old.admin.metrics != new.admin.metrics,
    }
    return [f"{name}: differs; takes effect at the next start" for name, differs in fixed.items() if differs]
