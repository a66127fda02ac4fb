"""Fuzz: ``python -m tests.fuzz [TARGET ...] --seconds 60``. Inputs that fail are kept in ``build/fuzz``.

``make fuzz`` calls it. A failure that is mended becomes a test: its file goes to ``tests/fuzz/regressions/TARGET``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from bench.machine import write
from tests.fuzz.engine import TARGETS, fuzz

CRASHES = Path("build/fuzz")


def main() -> int:
    """Run the targets one after another; 1 if an input failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; all without it")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each target")
    parser.add_argument("--runs", type=int, default=2**62, help="of each target, at most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write what was run there")
    given = parser.parse_args()
    unknown = set(given.targets) - set(TARGETS)
    if unknown:
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    outcomes = []
    for target in given.targets or TARGETS:
        outcome = fuzz(target, seed=given.seed, runs=given.runs, seconds=given.seconds, crashes=CRASHES)
        rate = outcome.executions / max(outcome.seconds, 0.1)
        print(
            f"{target}: {outcome.executions} executions in {outcome.seconds} s ({rate:.0f}/s), {outcome.crashes}",
            flush=True,
        )
        outcomes.append(outcome)
        if given.json:
            commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
            write(
                given.json,
                "executions of fuzz targets",
                commit=commit.stdout.strip(),
                executions=sum(one.executions for one in outcomes),
                targets=[asdict(one) for one in outcomes],
            )
    return any(outcome.crashes for outcome in outcomes)


if __name__ == "__main__":
    sys.exit(main())
