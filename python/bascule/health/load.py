"""A load URL: an endpoint says how busy it is, as an ORCA load report in JSON or text.

The fields are those of `xds.data.orca.v3.OrcaLoadReport`, the forms those of the `endpoint-load-metrics`
header: `{"application_utilization": 0.7}` (also in camel case, as protobuf's JSON has it),
`application_utilization=0.7, cpu_utilization=0.5`, and either with `JSON` or `TEXT` before it.
"""

import json
import math
import re
from collections.abc import Mapping
from functools import partial

from bascule.health.check import CheckFailed, Target
from bascule.health.fetch import fetch
from bascule.health.reports import Listening
from bascule.health.rounds import Question
from bascule.plan.plan import PlannedLoad

MOVED_PERMILLE = 10
"""A load counts as another when it has moved by more than this: one percent of what the endpoint can do."""

MOST_PERMILLE = 100_000
"""More counts as that: a hundred times what an endpoint can do."""

UTILIZATIONS = ("application_utilization", "cpu_utilization")
"""What counts as load. The first of them that is more than zero decides, as in gRPC: protobuf cannot tell a
zero from a value that was never set."""

_FORM = re.compile(r"\s*(?:(JSON|TEXT|BIN)[ \t]+)?(.*)", re.DOTALL)
_PAIR = re.compile(r"\s*([\w.\-]+)\s*[=:]\s*([^\s,]+)\s*", re.ASCII)


async def fetch_load(path: str, target: Target) -> int:
    """How loaded `target` says it is, in thousandths of what it can do.

    Raises `CheckFailed` when there is no answer, or one that is no load report.
    """
    fields = {"accept": "application/json, text/plain"}
    answer = await fetch(target, "GET", path, fields)
    if not 200 <= answer.status <= 299:
        raise CheckFailed(f"HTTP {answer.status} from GET {path}, wanted a load report")
    try:
        return load_permille(answer.body)
    except ValueError as error:
        raise CheckFailed(f"body of GET {path} is no load report: {error}") from error


def load_permille(report: str) -> int:
    """The load in a report, in thousandths, 0 to `MOST_PERMILLE`. Raises `ValueError` with a reason. Pure."""
    found = _FORM.fullmatch(report)
    form, content = (found[1], found[2]) if found else (None, report)
    if form == "BIN":
        raise ValueError("protobuf is not read here, JSON and text are")
    is_json = form == "JSON" or (form is None and content.lstrip().startswith("{"))
    fields = _from_json(content) if is_json else _from_text(content)
    known = [_number(name, fields[name]) for name in UTILIZATIONS if name in fields]
    if not known:
        raise ValueError(f"it has neither {UTILIZATIONS[0]} nor {UTILIZATIONS[1]}")
    load = next((it for it in known if it > 0), 0.0)
    return min(round(1000 * load), MOST_PERMILLE)


def _from_json(content: str) -> Mapping[str, object]:
    try:
        read = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(read, dict):
        raise ValueError(f"a JSON object was wanted, not {content[:40]!r}")
    return {_snake(name): value for name, value in read.items()}


def _from_text(content: str) -> Mapping[str, object]:
    fields: dict[str, object] = {}
    for pair in filter(str.strip, re.split(r"[,\n]", content)):
        found = _PAIR.fullmatch(pair)
        if found is None:
            raise ValueError(f"name=value was wanted, not {pair.strip()[:40]!r}")
        fields[found[1]] = found[2]
    return fields


def _number(name: str, value: object) -> float:
    is_number = isinstance(value, int | float | str) and not isinstance(value, bool)
    try:
        number = float(value) if isinstance(value, int | float | str) and is_number else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(f"{name} is {value!r:.40}, wanted a number from 0")
    return number


def _snake(name: str) -> str:
    return re.sub(r"([A-Z])", lambda it: "_" + it[1].lower(), name)


def _question(planned: PlannedLoad) -> Question[int]:
    return Question("load report", partial(fetch_load, planned.path))


def _heed(before: int | None, said: int) -> int:
    return said if before is None or abs(said - before) > MOVED_PERMILLE else before


LOADS: Listening[PlannedLoad, int, int | None] = Listening(_question, None, _heed)
"""Load reports: in thousandths; `None` before the first."""
