"""Routes that answer by themselves, and edits that tell generations apart."""

from tests.support.plane import route

from bascule import contract


def own(status: int) -> contract.Route:
    """Answers everything with `status`, without an endpoint."""
    return route(contract.RespondAction(status=status, headers=(), body=""), id=f"always {status}")


def says(value: str) -> contract.HeaderEdits:
    """Adds `X-Says: value` to each response."""
    return contract.HeaderEdits(add=(contract.HeaderValue("X-Says", value),))
