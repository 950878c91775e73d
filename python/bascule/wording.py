"""What the system and strangers say, made fit for one line of ours."""

import os

LONGEST_LINE = 300
"""Characters that are kept: part of a reason may have been written by a hostile endpoint or name server."""


def in_words(error: OSError) -> str:
    """What the system said, without Python's wrapping: "connection refused"."""
    # asyncio replaces the text by "Connect call failed ('127.0.0.1', 9001)"; the number survives.
    said = os.strerror(error.errno) if error.errno is not None and error.errno > 0 else str(error)
    return said[:1].lower() + said[1:] if said else type(error).__name__


def in_one_line(text: str) -> str:
    """`text` fit for a log line: control characters escaped, cut at `LONGEST_LINE`."""
    printable = "".join(it if it.isprintable() else it.encode("unicode_escape").decode() for it in text)
    return printable if len(printable) <= LONGEST_LINE else printable[: LONGEST_LINE - 1] + "…"
