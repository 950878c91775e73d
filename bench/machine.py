"""What a figure depends on besides the balancer: the machine, the kernel, the versions."""

import os
import platform
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from bench.peers import Target, version


def describe() -> str:
    """The processor, how many cores there are, the kernel and the system, in a line."""
    model = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    system = platform.freedesktop_os_release().get("PRETTY_NAME", "an unknown system")
    processor = model[1] if model else platform.machine()
    # The release only: what follows it names the machine's owner as often as not.
    kernel = platform.release().partition("-")[0]
    return f"{os.cpu_count()} cores of {processor}, Linux {kernel}, {system}"


def versions(targets: Iterable[Target]) -> Mapping[str, str]:
    """What each installed balancer says about its version."""
    return {it.name: shorten(version(it)) for it in targets if it.version and it.installed()}


def shorten(said: str) -> str:
    """The version number in what a program says about itself, or all of it when there is none."""
    found = re.search(r"\d+\.\d+(?:\.\d+)?", said)
    return found[0] if found else said
