"""Trials under strace: how many system calls a request takes. Approximate, for tracing slows all down."""

import shutil
import signal
import subprocess
from pathlib import Path

from bench import measure
from bench.load import Failed, pinned, send
from bench.measure import LOAD_CPU
from bench.peers import running, wait_for
from bench.traffic import WARM_SECONDS
from bench.trial import Figures, Lab, Trial

PREFIX = "calls:"
"""Before the name of a system call, in the names of figures."""


def syscalls(lab: Lab, trial: Trial) -> Figures:
    """Calls per request, all and by name. Raises `Failed` without strace, or the right to use it."""
    strace = shutil.which("strace")
    if strace is None:
        raise Failed("strace is not installed")
    with running(trial.target, trial.wanted) as balancer:
        send(trial.load, balancer.port, WARM_SECONDS)
        everyone = measure.tree(balancer.pid)
        summary = balancer.folder / "strace"
        command = [strace, "-c", "-f", "-o", str(summary), *(f"-p{one}" for one in everyone)]
        with pinned(LOAD_CPU):
            tracer = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            if not wait_for(lambda: all(_is_traced(one) for one in everyone), 5):
                raise Failed("strace cannot attach: root, or kernel.yama.ptrace_scope=0, is needed")
            counted = send(trial.load, balancer.port, trial.seconds)
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.wait()
        calls = parse_summary(summary.read_text())
    each = {PREFIX + name: number / counted["requests"] for name, number in calls.items()}
    return {
        **each,
        "calls": sum(each.values()),
        "requests": counted["requests"],
        "errors": counted["errors"],
    }


def parse_summary(text: str) -> dict[str, int]:
    """Calls by name, from the table that `strace -c` prints."""
    calls = {}
    for line in text.splitlines():
        fields = line.split()
        # share, seconds, microseconds per call, calls, errors (may be missing), name
        if len(fields) in (5, 6) and fields[3].isdigit() and fields[-1] != "total":
            calls[fields[-1]] = int(fields[3])
    return calls


def _is_traced(one: int) -> bool:
    status = (Path("/proc") / str(one) / "status").read_text()
    return "TracerPid:\t0\n" not in status
