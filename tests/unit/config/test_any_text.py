"""Whatever is written, an operator gets an answer with places, and never a traceback."""

from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.support.catalogs import catalog

from bascule.config.load import Text
from bascule.config.problems import ConfigRefused, Problem
from bascule.plan.review import review

GOLDEN = Path(__file__).parents[2] / "golden" / "config"
WRITTEN = [
    case.read_text().partition("-" * 80)[0]
    for case in sorted(GOLDEN.glob("*.golden"))
    if "python" not in case.stem and case.stem not in ("alias_bomb", "long_line")
]
SNIPPETS = [
    "",
    " ",
    "\n",
    "- ",
    ": ",
    "{",
    "}",
    "[",
    "]",
    '"',
    "'",
    "#",
    "&a ",
    "*a",
    "!x ",
    "<<: ",
    "null",
    "5",
    "${",
    "|",
    "\t",
    "é",
    "\x85",
]

SETTINGS = settings(derandomize=True, deadline=None, database=None, max_examples=300)


def answer(text: str) -> list[Problem]:
    try:
        return review(Text.of(text, "any.yaml", {}), catalog())[1]
    except ConfigRefused as refused:
        return list(refused.problems)


def check(problems: list[Problem]) -> None:
    for problem in problems:
        assert problem.what
        if problem.line is not None and problem.column is not None:
            assert problem.source is not None
            assert 1 <= problem.column <= len(problem.source) + 1
        assert "Traceback" not in str(problem)


@SETTINGS
@given(
    written=st.sampled_from(WRITTEN),
    cuts=st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 8), st.sampled_from(SNIPPETS)), min_size=1, max_size=3
    ),
)
def test_a_damaged_configuration_gets_an_answer(written: str, cuts: list[tuple[float, int, str]]) -> None:
    for where, length, snippet in cuts:
        at = int(where * len(written))
        written = written[:at] + snippet + written[at + length :]
    check(answer(written))


@SETTINGS
@given(st.text(max_size=60))
@example("a: \ud800")
def test_any_text_gets_an_answer(text: str) -> None:
    check(answer(text))
