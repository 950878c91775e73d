"""What is shown of a file without the secrets that stand in it."""

import re

HIDDEN = "…"
"""What is shown in place of a secret, or of each of its characters."""

_NAMED = re.compile(
    r"""((?<![\w-])(?:keys|(?:sentinel_)?password|hmac_key)["']?\s*[:=]\s*)"""
    r"""(\[[^\]]*\]?|"(?:\\.|[^"\\])*"?|'(?:''|[^'])*'?|[^\s,}\]#][^,}\]#]*)"""
)
_IN_ADDRESS = re.compile(r"""(://[^\s:@/"']*:)([^\s"']{1,512})(?=@)""")
_NO_SECRET = re.compile(r"""(\$\{\w*(?::-)?|[\[\]{}"',\s]+)""", re.ASCII)


def concealed(line: str) -> str:
    """A line of a configuration in which each character of what looks like a secret is an ellipsis.

    Columns stay as they are, and variables (`${KEY}`) are shown: they are no secrets. A secret that stands
    on a line of its own does not look like one; problems that point at it hide it by themselves.
    """
    line = _NAMED.sub(lambda found: found[1] + concealed_value(found[2]), line)
    return _IN_ADDRESS.sub(lambda found: found[1] + concealed_value(found[2]), line)


def concealed_value(written: str) -> str:
    """A secret as it is written, perhaps in quotes or in a list, without the secret."""
    parts = _NO_SECRET.split(written)
    return "".join(part if at % 2 else HIDDEN * len(part) for at, part in enumerate(parts))
