"""What a file expects of a configuration, and what is not so."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field, StrictStr, ValidationError

from bascule.config.load import load
from bascule.config.messages import problems_of
from bascule.config.places import Places
from bascule.config.problems import ConfigRefused, Problem
from bascule.config.section import Section, alternative
from bascule.config.tree import read_tree
from bascule.config.values import ShortForm, one_or_list, shown
from bascule.errors import BasculeError
from bascule.testing.rehearsal import Outcome, Rehearsal

_TEXT = {"type": "string"}
_Listed = Annotated[tuple[StrictStr, ...], ShortForm(one_or_list, (_TEXT,))]


class Expected(Section):
    """What is expected of a request. All that is given must be so."""

    title: ClassVar[str] = "an expectation"

    listener: StrictStr | None = alternative()
    """Which listener gets it."""
    route: StrictStr | None = alternative()
    """Which route takes it."""
    pool: StrictStr | None = alternative()
    """Where it goes; of a split the pool with the greatest share."""
    pools: _Listed | None = alternative()
    """All pools that it may go to, in any order."""
    endpoint: StrictStr | None = alternative()
    """Which endpoint it goes to, where only one can be."""
    endpoints: _Listed | None = alternative()
    """The candidates, in any order."""
    status: Annotated[int, Field(strict=True, ge=100, le=599)] | None = alternative()
    """Of an answer that the balancer gives itself."""
    location: StrictStr | None = alternative()
    """Of a redirect."""


class Case(Section):
    """A request, and what is expected of it."""

    title: ClassVar[str] = "a test"

    request: Annotated[StrictStr, Field(examples=["GET https://shop.example/cart"])]
    """Method and URL, or a URL alone."""
    headers: _Listed = ()
    """`Name: value`; one, or a list."""
    client: StrictStr = "127.0.0.1"
    """Where it comes from."""
    listener: StrictStr | None = alternative()
    """Which listener gets it, where the URL leads to several."""
    down: _Listed = ()
    """Endpoints (`POOL/ID`) whose checks fail meanwhile."""
    expect: Annotated[Expected, Field(examples=["{pool: shop}"])]
    """What is expected."""


class Expectations(Section):
    """What a file expects."""

    title: ClassVar[str] = "the tests"

    config: StrictStr = "bascule.yaml"
    """The configuration, beside this file."""
    tests: tuple[Case, ...]
    """One after the other; none knows of another."""


def read(path: Path) -> tuple[Expectations, Places]:
    """What the file expects, and where it says so. Raises `ConfigRefused`."""
    text = load(path)
    tree = read_tree(text.sources[0])
    places = Places(tree.place)
    if not isinstance(tree.value, dict):
        what = f"expected tests ({{tests: [{{request: …, expect: …}}]}}), not {shown(tree.value)}"
        raise ConfigRefused([tree.place.value.problem(what)])
    problems = [*text.problems, *tree.problems]
    try:
        expectations = Expectations.model_validate(tree.value)
    except ValidationError as error:
        raise ConfigRefused([*problems, *problems_of(error, Expectations, places)]) from error
    if problems:
        raise ConfigRefused(problems)
    return expectations, places


def run(case: Case, rehearsal: Rehearsal) -> tuple[Outcome, dict[str, str]]:
    """What became of a case, and by key what is not as expected. Raises `BasculeError`."""
    rehearsal.reset()
    rehearsal.down(*case.down)
    outcome = rehearsal.route(case.request, case.headers, client=case.client, listener=case.listener)
    return outcome, dict(_differences(case.expect, outcome))


def failures(
    expectations: Expectations, places: Places, rehearsal: Rehearsal
) -> Iterator[tuple[Problem, str] | None]:
    """For each test what is not as expected, first things first, and what was decided; `None` when all is."""
    for at, case in enumerate(expectations.tests):
        path = ("tests", at)
        try:
            outcome, wrong = run(case, rehearsal)
        except BasculeError as error:
            yield places.value((*path, "request")).problem(error.message, error.hint), ""
            continue
        if not wrong:
            yield None
            continue
        key, difference = next(iter(wrong.items()))
        span = places.value((*path, "expect", key))
        yield span.problem(f"{case.request}: {difference}"), outcome.why


def _differences(expected: Expected, outcome: Outcome) -> Iterator[tuple[str, str]]:
    for key in type(expected).model_fields:
        wanted: Any = getattr(expected, key)
        found: Any = getattr(outcome, key)
        if wanted is None:
            continue
        if isinstance(wanted, tuple):
            wanted, found = sorted(wanted), sorted(found)
        if wanted != found:
            yield key, f"{key} is {_said(found)}, not {_said(wanted)}"


def _said(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return "none" if value is None else str(value)
