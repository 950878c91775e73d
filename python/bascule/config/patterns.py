"""Regular expressions as the data plane reads them: linear time, so no look-around and no back-references.

Python's `re` checks the syntax, after what only the data plane's `regex` crate knows is replaced by
something alike. What slips through here is still refused when the snapshot is applied.
"""

import re
import warnings
from typing import Annotated

from pydantic import BeforeValidator, StrictStr

from bascule.config.problems import Mistake
from bascule.config.values import shown, text
from bascule.errors import BasculeError

LONGEST = 4096
_ESCAPE_HINT = "escape literal characters with \\"

_LINEAR_HINT = "patterns are matched in linear time, which rules that out; use several routes instead"
_REFUSED = (
    (re.compile(r"\(\?<?[=!]"), "look-around", _LINEAR_HINT),
    (re.compile(r"\\[1-9]|\(\?P=|\\k[<{]"), "back-references", _LINEAR_HINT),
    (re.compile(r"\(\?>|[*+?}]\+"), "atomic groups or possessive quantifiers", _LINEAR_HINT),
    (re.compile(r"\(\?\("), "conditions", _LINEAR_HINT),
    (re.compile(r"\(\?#"), "a comment in (?#…)", "leave the comment out"),
    (re.compile(r"\\[pP][{A-Za-z]"), "Unicode classes", "patterns are matched on bytes; list the characters"),
    (re.compile(r"\\Z"), r"\Z", r"write \z"),
    (
        re.compile(r"\\[0N]"),
        "an escape that only Python knows",
        r"write \x{…} with the number of the character",
    ),
    (re.compile(r"\(\?[a-zA-Z]*[aL]"), "a flag that only Python knows", "leave out the flags a and L"),
    (
        re.compile(r"(?<!\\[xuU])\{(?![0-9]+(,[0-9]*)?\})"),
        "a brace that counts nothing",
        r"write \{ for the character, {0,3} for at most 3",
    ),
)
_IN_CLASS = re.compile(r"\[(?:\\.|[^\]\\])*[^\x00-\x7f](?:\\.|[^\]\\])*\]")
_ONLY_OURS = (
    (re.compile(r"\(\?<([A-Za-z_])"), r"(?P<\1"),
    (re.compile(r"\\[xuU]\{[0-9A-Fa-f]+\}"), "x"),
    (re.compile(r"\\z"), r"\\Z"),
    (re.compile(r"\[:\^?[a-z]+:\]"), r"\\w"),
    (re.compile(r"\(\?([a-zA-Z]*)(-[a-zA-Z]+)?([:)])"), r"(?:"),
)
_ESCAPED = re.compile(r"\\[^0-9A-Za-z]|\[(?:\\.|[^\]\\])*\]", re.DOTALL)


def read_regex(value: object) -> str:
    """A pattern that both sides agree on. Raises `Mistake` saying what the engine cannot do."""
    pattern = text(value, "a regular expression")
    if len(pattern) > LONGEST:
        raise Mistake(f"a regular expression has at most {LONGEST} characters, this one {len(pattern)}")
    # Inside a class, and behind a backslash, the same characters mean something else.
    outside = _ESCAPED.sub(lambda found: "." * len(found[0]), pattern)
    for form, name, hint in _REFUSED:
        if form.search(outside):
            raise Mistake(f"the regular expression {shown(pattern)} uses {name}", hint)
    if _IN_CLASS.search(pattern):
        what = f"the regular expression {shown(pattern)} lists a character beyond ASCII"
        raise Mistake(what, "patterns are matched on bytes: write (é|è) in place of [éè]")
    _check_syntax(pattern)
    return pattern


def _check_syntax(pattern: str) -> None:
    alike = pattern
    for form, ours in _ONLY_OURS:
        alike = form.sub(ours if ours != "(?:" else _flag_group, alike)
    try:
        with warnings.catch_warnings():
            # Nested sets mean one thing to Python's future and another to the crate; neither is an error.
            warnings.simplefilter("ignore", FutureWarning)
            re.compile(alike)
    except (re.error, OverflowError, RecursionError) as error:
        reason = error.msg if isinstance(error, re.error) else str(error)
        raise Mistake(f"{shown(pattern)} is not a regular expression: {reason}", _ESCAPE_HINT) from error


def _flag_group(found: re.Match[str]) -> str:
    # A group with flags stays a group; flags alone, which Python allows only in front, vanish.
    return "(?:" if found[3] == ":" else ""


def read_body_pattern(value: object) -> str:
    """A pattern that the control plane searches for: everything that Python's `re` can do, and more."""
    from bascule.health.body import BodyPattern  # noqa: PLC0415 (few configurations have one)

    pattern = text(value, "a regular expression")
    if len(pattern) > LONGEST:
        raise Mistake(f"a regular expression has at most {LONGEST} characters, this one {len(pattern)}")
    try:
        BodyPattern.read(pattern)
    except BasculeError as error:
        raise Mistake(f"{shown(pattern)} is {error}", _ESCAPE_HINT) from error
    return pattern


BodyPattern = Annotated[StrictStr, BeforeValidator(read_body_pattern)]
Regex = Annotated[StrictStr, BeforeValidator(read_regex)]
