"""Regular expressions: what both Python and the data plane's engine take for one, and what neither does."""

import pytest

from bascule.config.patterns import read_body_pattern, read_regex
from bascule.config.problems import Mistake

GOOD = [
    r"^/a$",
    r"(?<name>a)",
    r"(?P<name>a)",
    r"(?i)abc",
    r"a(?i:b)c",
    r"a(?i)c",
    r"(?-s:.)",
    r"[[:alpha:]]+",
    r"[a-z&&[^b]]",
    r"\x{4F}",
    r"a{2,3}?",
    r"a{2,}",
    r"a\{b\}",
    r"\++",
    r"\(\?=",
    r"[(?=]",
    r"[{]",
    r"é|ü",
    r"\z",
    r"",
]
BAD = [
    r"(a",
    r"*",
    r"a{,3}",
    r"a{",
    r"{",
    r"(?=a)",
    r"(?<!a)",
    r"(a)\1",
    r"(?P<a>x)(?P=a)",
    r"a++",
    r"(?>a)",
    r"(?(1)a)",
    r"(?#comment)",
    r"\Z",
    r"\p{Greek}",
    r"\PL",
    r"\0",
    r"\N{DIGIT ONE}",
    r"(?a)x",
    r"[é]",
    r"\q",
    "a" * 5000,
]


@pytest.mark.parametrize("pattern", GOOD)
def test_what_both_engines_read_is_accepted(pattern: str) -> None:
    assert read_regex(pattern) == pattern


@pytest.mark.parametrize("pattern", BAD)
def test_what_one_engine_cannot_do_is_refused_with_a_hint(pattern: str) -> None:
    with pytest.raises(Mistake) as mistake:
        read_regex(pattern)
    assert mistake.value.message


def test_a_body_may_be_searched_with_all_that_python_can_do() -> None:
    assert read_body_pattern(r"(?=ok)\w+") == r"(?=ok)\w+"
    with pytest.raises(Mistake):
        read_body_pattern("(")
