#!/usr/bin/env python3
"""Measures how well balancers choose, wait and recover, next to each other and to an oracle."""

import argparse
import resource
import shlex
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

# Run as a script, only this folder is on the path, and not the one that holds the package.
sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from bench import machine, measure, results
from bench.load import BUILT, Failed, build
from bench.quality import trial
from bench.quality.balancers import BALANCERS, Balancer
from bench.quality.fleet import MOST, Size
from bench.quality.page import page, write_into_readme
from bench.quality.scenarios import SPARE, Scenario, scenarios
from bench.quality.trace import Arrival
from bench.results import Measurement, Run

RESULTS = BUILT / "quality"
ORACLE = "oracle"
QUICK = ("nginx", "haproxy", "bascule")
PATIENCE_SECONDS = 1.5
"""Waited for a quiet moment, before each trial."""


def main(arguments: Sequence[str]) -> int:
    """The exit code: 0 when everything asked for was measured, 1 when something could not be."""
    options = parse(arguments)
    if options.table:
        path = results.latest(RESULTS) if options.table == "last" else Path(options.table)
        if path is None:
            print("nothing was measured yet", file=sys.stderr)
            return 1
        return finish(path, options.write)
    # So that `finally` stops what was started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    _allow_all_files()
    try:
        build()
    except Failed as failed:
        print(failed, file=sys.stderr)
        return 1
    path, complete = carry_out(options)
    return finish(path, options.write) or (0 if complete else 1)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options, with scenarios and balancers checked to exist."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="Example: bench/quality/run.py hetero80 grayhole --only bascule --rounds 1",
    )
    known, names = [it.name for it in scenarios(Size())], [*(it.name for it in BALANCERS), ORACLE]
    parser.add_argument(
        "scenarios", nargs="*", metavar="SCENARIO", help=f"default: all of {', '.join(known)}"
    )
    parser.add_argument("--only", metavar="NAMES", help=f"default: {','.join(names)}")
    parser.add_argument("--rounds", type=int, default=3, help="of each scenario; default: %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="of the first round; each next one has the next")
    parser.add_argument("--endpoints", type=int, default=10, help="default: %(default)s")
    parser.add_argument("--workers", type=int, default=4, help="of each endpoint; default: %(default)s")
    parser.add_argument("--load", type=float, help="share of capacity, instead of each scenario's own")
    parser.add_argument("--threads", type=int, default=2, help="of each balancer; default: %(default)s")
    parser.add_argument("--tries", type=int, default=2, help="while others disturb; default: %(default)s")
    parser.add_argument(
        "--quick", action="store_true", help=f"one round; by default only of {', '.join([*QUICK, ORACLE])}"
    )
    parser.add_argument(
        "--table",
        nargs="?",
        const="last",
        metavar="FILE",
        help="print an earlier run's tables, measure nothing",
    )
    parser.add_argument("--write", action="store_true", help="put the tables into bench/README.md")
    options = parser.parse_args(arguments)
    options.command = shlex.join(["bench/quality/run.py", *arguments])
    usual = [*QUICK, ORACLE] if options.quick else names
    options.only = options.only.split(",") if options.only else usual
    if options.quick:
        options.rounds = options.tries = 1
    unknown = {*options.scenarios, *options.only} - {*known, *names}
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    if not 3 <= options.endpoints <= MOST - SPARE:
        parser.error(f"3 to {MOST - SPARE} endpoints, not {options.endpoints}")
    options.scenarios = options.scenarios or known
    return options


def carry_out(options: argparse.Namespace) -> tuple[Path, bool]:
    """Measures everything asked for; gives the file with the figures, and whether it is complete."""
    wanted = [it for it in BALANCERS if it.name in options.only]
    for absent in [it.target for it in wanted if not it.target.installed()]:
        print(f"{absent.name} is left out: {absent.program} is not installed", file=sys.stderr)
    present = [it for it in wanted if it.target.installed()]
    now = datetime.now(UTC)
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{now:%Y%m%d-%H%M%S}.jsonl"
    versions = machine.versions([it.target for it in present if it.name != "haproxy-maxconn"])
    results.write(path, Run(now.isoformat(timespec="seconds"), options.command, machine.describe(), versions))
    complete = all(it in present or it.target.optional for it in wanted)
    for scenario in scenarios(Size(options.endpoints, options.workers), options.load):
        if scenario.name not in options.scenarios:
            continue
        for number, name, figures in _rounds(scenario, options, present):
            complete &= figures is not None
            if figures is not None:
                results.write(path, Measurement(scenario.name, "", name, number, figures))
                _say(scenario, name, number, figures)
    return path, complete


def _rounds(
    scenario: Scenario, options: argparse.Namespace, balancers: Sequence[Balancer]
) -> Iterator[tuple[int, str, trial.Figures | None]]:
    """Round by round, and within a round balancer by balancer on the same trace. Nothing where it failed."""
    for number in range(options.rounds):
        trace = trial.arrivals(scenario, options.seed + number)
        for balancer in balancers:
            attempts = (_attempt(scenario, trace, balancer, options.threads) for _ in range(options.tries))
            yield number, balancer.name, _cleanest(attempts)
        if ORACLE in options.only:
            yield number, ORACLE, trial.ask_oracle(scenario, trace)


def _attempt(
    scenario: Scenario, trace: Sequence[Arrival], balancer: Balancer, threads: int
) -> trial.Figures | None:
    measure.wait_until_quiet(PATIENCE_SECONDS)
    try:
        return trial.measured(scenario, trace, balancer, threads)
    except Failed as failed:
        print(f"{scenario.name}, {balancer.name}: {failed}", file=sys.stderr)
        return None


def _cleanest(attempts: Iterable[trial.Figures | None]) -> trial.Figures | None:
    """Makes attempts until one is undisturbed, and gives the one that was disturbed least."""
    best: trial.Figures | None = None
    for one in attempts:
        if one and (best is None or one["foreign_percent"] < best["foreign_percent"]):
            best = one
        if best and best["foreign_percent"] < measure.QUIET_PERCENT:
            break
    return best


def _say(scenario: Scenario, name: str, number: int, figures: trial.Figures) -> None:
    shown = [
        f"{it.figure}={figures[it.figure]:.{it.digits}f}" for it in scenario.columns if it.figure in figures
    ]
    statuses = [f"{key}={value:.0f}" for key, value in figures.items() if key.startswith("status_")]
    others = [f"errors={figures['errors']:.0f}", f"foreign={figures.get('foreign_percent', 0):.0f}%"]
    print(f"{scenario.name} {number} {name}: {' '.join([*shown, *statuses, *others])}", file=sys.stderr)


def _allow_all_files() -> None:
    # Under overload thousands of connections are open in the clients and in a balancer.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def finish(path: Path, write: bool) -> int:
    """Prints the tables of a file, and puts them into the README where asked to."""
    text = page(*results.read(path))
    print(text)
    if write:
        write_into_readme(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
