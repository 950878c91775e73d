"""Addresses as people type them at a command line: `:8080`, `:9001-9003`, `localhost:9001`, `unix:/path`."""

import re

from bascule.cli.exits import UsageWrong

LONGEST_RANGE = 1000
"""Ports. A longer range is a slip of the keyboard."""

_HOST_AND_PORTS = re.compile(
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s:\[\]/]*):(?P<first>[0-9]{1,5})(-(?P<last>[0-9]{1,5}))?"
)


def binds(text: str) -> list[tuple[str, int]]:
    """Host and port of each toy endpoint in `:9001-9003`. Without a host: 127.0.0.1. Port 0: any free one."""
    host, ports = _split(text)
    return [(host.strip("[]") or "127.0.0.1", port) for port in ports]


def endpoints(text: str) -> list[str]:
    """What `--to` names, one or a range, as a configuration writes it. Without a host: 127.0.0.1."""
    if text.startswith("unix:"):
        return [text]
    host, ports = _split(text)
    if 0 in ports:
        raise UsageWrong(f"'{text}': an endpoint has no port 0", "write for example :9001 or 10.0.0.1:9001")
    return [f"{host or '127.0.0.1'}:{port}" for port in ports]


def listener(text: str) -> str:
    """What a listener binds, as a configuration writes it. Without a host: all addresses."""
    if text.startswith("unix:"):
        return text
    host, ports = _split(text)
    if len(ports) > 1:
        raise UsageWrong(f"'{text}': a listener has one port", "write for example :8080")
    return f"{host}:{ports[0]}"


def _split(text: str) -> tuple[str, list[int]]:
    found = _HOST_AND_PORTS.fullmatch(text)
    if found is None:
        raise UsageWrong(
            f"'{text}' is not an address", "write for example :9001, :9001-9003 or 10.0.0.1:9001"
        )
    first = int(found["first"])
    last = int(found["last"] or first)
    if not first <= last <= 65_535 or last - first >= LONGEST_RANGE:
        raise UsageWrong(f"'{text}': not a range of ports", "ports go from 1 to 65535, the lower one first")
    return found["host"], list(range(first, last + 1))
