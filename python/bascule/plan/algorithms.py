"""Algorithms as a configuration writes them → as the catalogue and the data plane know them."""

from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter, ValidationError

from bascule import contract
from bascule.config.keys import KeyBy, OneKey
from bascule.config.model import Algorithm
from bascule.config.problems import Mistake
from bascule.config.values import shown
from bascule.plan.protecting import plan_key

_KEY: TypeAdapter[KeyBy] = TypeAdapter(OneKey)


def plan_algorithm(algorithm: Algorithm) -> contract.Algorithm:
    """The algorithm, whose option `by` may be written as everywhere else (`client`, `{header: X-User}`).

    Raises `Mistake` when that is no part of a request.
    """
    options = dict(algorithm.options)
    if "by" in options and not _is_planned(options["by"]):
        options["by"] = _key(options["by"])
    return contract.Algorithm(algorithm.name, options)


def _is_planned(by: object) -> bool:
    return isinstance(by, dict) and "kind" in by


def _key(by: object) -> dict[str, Any]:
    try:
        return asdict(plan_key(_KEY.validate_python(by)))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        mistake = first.get("ctx", {}).get("error")
        if isinstance(mistake, Mistake):
            raise mistake from error
        what = f"expected a part of the request, not {shown(by)}"
        raise Mistake(what, "write client, host, path, uri or {header: NAME}") from error
