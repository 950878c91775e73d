"""Examples with servers of a test in the place of those that are written there."""

import re
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def with_servers(name: str, port: int, servers: list[str], timeout: str = "10s") -> str:
    """An example of databases on ports of its own, with these servers, at most three. It looks often."""
    text = (EXAMPLES / name).read_text()
    for at in range(1, 4):
        written = f"10.0.0.{at}:{port}"
        assert written in text
        text = text.replace(written, servers[at - 1] if at <= len(servers) else "127.0.0.1:1")
    text = re.sub(r"bind: [\d.]+:\d+", "bind: 127.0.0.1:0", text)
    return text.replace("every: 1s", f"every: 100ms, timeout: {timeout}")
