#!/usr/bin/env python3
"""Measures balancers side by side and prints tables: `bench/run.py --help`, explained in README.md."""

import argparse
import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

# Run as a script, only this folder is on the path, and not the one that holds the package.
sys.path.insert(0, str(Path(__file__).parent.parent))

from bench import machine, results
from bench.encrypted import make_certificate
from bench.load import BUILT, Failed, build, origin
from bench.measure import LOAD_CPU, QUIET_PERCENT
from bench.pages import page, write_into_readme
from bench.peers import TARGETS, Target
from bench.results import Measurement, Run
from bench.scenarios import SCENARIOS, Case, Scenario
from bench.trial import Figures, Lab, Trial

SPARE_SECONDS = 120


def main(arguments: Sequence[str]) -> int:
    """The exit code: 0 when everything asked for was measured, 1 when something could not be."""
    options = parse(arguments)
    if options.table:
        path = results.latest(BUILT) if options.table == "last" else Path(options.table)
        if path is None:
            print("nothing was measured yet", file=sys.stderr)
            return 1
        return finish(path, options.write)
    if not {0, LOAD_CPU} <= os.sched_getaffinity(0):
        print("two cores are needed, 0 and 1: one for the balancer, one for the load", file=sys.stderr)
        return 1
    # So that `finally` stops what was started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    os.sched_setaffinity(0, {LOAD_CPU})
    try:
        build()
        make_certificate()
        path, complete = measure(options)
    except Failed as failed:
        print(failed, file=sys.stderr)
        return 1
    return finish(path, options.write) or (0 if complete else 1)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options, with scenarios and targets checked to exist."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="Example: bench/run.py keepalive close --rounds 3"
    )
    scenarios, targets = [it.name for it in SCENARIOS], [it.name for it in TARGETS]
    parser.add_argument(
        "scenarios", nargs="*", metavar="SCENARIO", help=f"default: all of {', '.join(scenarios)}"
    )
    parser.add_argument("--targets", default=",".join(targets), help="default: %(default)s")
    parser.add_argument("--rounds", type=int, help="of each scenario, interleaved; default: its own, 1 to 5")
    parser.add_argument("--seconds", type=float, help="of each measurement; default: its scenario's own")
    parser.add_argument(
        "--quick", action="store_true", help="one round of a second each, fewer cases, no Envoy"
    )
    parser.add_argument("--tries", type=int, default=2, help="while others disturb; default: %(default)s")
    parser.add_argument(
        "--patience", type=float, default=1.5, help="seconds to wait for a quiet moment; default: %(default)s"
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
    options.targets = options.targets.split(",")
    unknown = {*options.scenarios, *options.targets} - {*scenarios, *targets}
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    options.scenarios = options.scenarios or scenarios
    if options.quick:
        options.rounds, options.seconds, options.tries, options.patience = 1, 1.0, 1, 0.5
    options.command = shlex.join(["bench/run.py", *arguments])
    return options


def measure(options: argparse.Namespace) -> tuple[Path, bool]:
    """Carries out everything asked for; gives the file with the figures, and whether it is complete."""
    targets = [it for it in TARGETS if it.name in options.targets]
    for absent in [it for it in targets if not it.installed()]:
        print(f"{absent.name} is left out: {absent.program} is not installed", file=sys.stderr)
    now = datetime.now(UTC)
    path = BUILT / f"{now:%Y%m%d-%H%M%S}.jsonl"
    about = Run(
        now.isoformat(timespec="seconds"), options.command, machine.describe(), machine.versions(targets)
    )
    results.write(path, about)
    complete = all(it.installed() or it.optional for it in targets)
    with origin() as running:
        lab, attempts = Lab(running, options.patience), Attempts(options.tries)
        for scenario in [it for it in SCENARIOS if it.name in options.scenarios]:
            complete &= carry_out(scenario, options, lab, attempts, path)
    return path, complete


def carry_out(
    scenario: Scenario, options: argparse.Namespace, lab: Lab, attempts: "Attempts", path: Path
) -> bool:
    """All rounds of a scenario. Says whether every measurement could be made."""
    complete = True
    for number, case, target in order(scenario, options):
        trial = Trial(target, case.wanted, case.load, options.seconds or scenario.seconds, case.blocked)
        label = f"{scenario.name} {case.name}".strip()
        try:
            figures = attempts.cleanest(lab, scenario, trial)
        except Failed as failed:
            print(f"{label}, {target.name}: {failed}", file=sys.stderr)
            complete &= scenario.optional
            continue
        results.write(path, Measurement(scenario.name, case.name, target.name, number, figures))
        said = " ".join(
            f"{it.figure}={figures[it.figure]:.{it.digits}f}"
            for it in scenario.columns
            if it.figure in figures
        )
        print(
            f"{label} {number} {target.name}: {said} foreign={foreign(figures):.0f}%",
            file=sys.stderr,
        )
    return complete


def order(scenario: Scenario, options: argparse.Namespace) -> Iterator[tuple[int, Case, Target]]:
    """Round by round, and within a round target by target, so that a slow minute is everybody's."""
    rounds = options.rounds or scenario.rounds
    targets = [
        it for it in TARGETS if it.name in options.targets and it.name in scenario.targets and it.installed()
    ]
    for number in range(rounds):
        for case in scenario.cases:
            for target in targets:
                if not options.quick or (case.quick and not target.optional):
                    yield number, case, target


@dataclass(slots=True)
class Attempts:
    """How often a disturbed measurement is made again."""

    tries: int
    """At most, each."""
    spare: float = SPARE_SECONDS
    """Seconds that all second tries of the run may take together."""

    def cleanest(self, lab: Lab, scenario: Scenario, trial: Trial) -> Figures:
        """Measures again while others disturb, and gives the attempt that was disturbed least."""
        found = scenario.measure(lab, trial)
        for _ in range(self.tries - 1):
            if foreign(found) < QUIET_PERCENT or self.spare < 0:
                break
            began = time.monotonic()
            again = scenario.measure(lab, trial)
            self.spare -= time.monotonic() - began
            found = min(found, again, key=foreign)
        return found


def foreign(figures: Figures) -> float:
    """What others took meanwhile, in percent of a core; nothing where it does not matter."""
    return figures.get("foreign_percent", 0.0)


def finish(path: Path, write: bool) -> int:
    """Prints the tables of a file, and puts them into the README where asked to."""
    run, measurements = results.read(path)
    text = page(run, measurements)
    print(text)
    if write:
        write_into_readme(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
