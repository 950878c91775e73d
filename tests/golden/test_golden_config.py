"""What a configuration gives, whole: the problems that an operator reads, or the snapshot that goes live.

One file per case: the configuration, a line of dashes, the exact output. `UPDATE_GOLDEN=1` rewrites
the outputs; read the difference before you commit it.
"""

import json
import os
from pathlib import Path

import pytest
from tests.support.catalogs import catalog

from bascule.config.load import Text
from bascule.config.problems import ConfigRefused, render
from bascule.contract import codec
from bascule.discovery.written import read_endpoint
from bascule.plan.compose import compose, without_secrets
from bascule.plan.diff import describe
from bascule.plan.found import FoundEndpoint
from bascule.plan.plan import Plan
from bascule.plan.review import review

CASES = sorted((Path(__file__).parent / "config").glob("*.golden"))
LINE = "-" * 80
ENVIRONMENT = {"PORT": "8080", "EMPTY": "", "NUMBER": "four"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_a_configuration_gives_exactly_this(case: Path) -> None:
    configuration, _, expected = case.read_text().partition(f"{LINE}\n")
    name = "bascule.py" if "python" in case.stem else "bascule.yaml"
    output = outcome(configuration, name)
    if os.environ.get("UPDATE_GOLDEN"):
        case.write_text(f"{configuration}{LINE}\n{output}")
        return
    assert output == expected


def test_there_are_enough_broken_configurations() -> None:
    assert sum(not case.stem.startswith("good_") for case in CASES) >= 45


def outcome(configuration: str, name: str) -> str:
    """What is said about a configuration; and what it becomes, when there is nothing to say."""
    try:
        plan, problems = review(Text.of(configuration, name, ENVIRONMENT), catalog())
    except ConfigRefused as refused:
        return f"{refused}\n"
    said = [render(problems)] if problems else []
    if plan is not None and not problems:
        said += [*describe(None, plan), *_checks(plan), *_asked(plan), _snapshot(plan)]
    return "\n".join([*said, ""])


def _checks(plan: Plan) -> list[str]:
    return [
        f"check {pool.id}: {pool.check.kind} every {pool.check.every_ms} ms {sorted(pool.check.options)}"
        for pool in plan.pools
        if pool.check is not None
    ]


def _asked(plan: Plan) -> list[str]:
    """What endpoints are asked about themselves, and of whom."""
    agents = [f"agent {pool.id}: {pool.agent}" for pool in plan.pools if pool.agent is not None]
    return [*agents, *(f"load {pool.id}: {pool.load}" for pool in plan.pools if pool.load is not None)]


def _snapshot(plan: Plan) -> str:
    """As it would be sent, indented; endpoints that are written as addresses are found as they are."""
    snapshot = compose(plan, {pool.id: tuple(_found(pool.sources[0].options)) for pool in plan.pools}, 1)
    shown = codec.encode(without_secrets(snapshot))
    return json.dumps(json.loads(shown), indent=1, ensure_ascii=False)


def _found(options: object) -> list[FoundEndpoint]:
    listed = options.get("endpoints", []) if isinstance(options, dict) else []
    return [endpoint for it in listed for endpoint in read_endpoint(it).found_at(("192.0.2.1",))]
