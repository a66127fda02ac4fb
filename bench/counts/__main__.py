"""Count what the hot loops execute, and compare it with the committed numbers.

Three numbers per record, none of which depends on the machine's speed or load:

- instructions that the package's compiled modules execute themselves (Valgrind's Callgrind); what they call in Python,
  libc and librdkafka has versions of its own and is not their doing, so of that only
- the calls into it are counted: an object made, a malloc, a look-up more per record shows here; and
- bytecodes, Python's own instructions in the package's files: what the safe lane does per record in Python.

Only the sending thread is counted. The numbers hold for one toolchain: with another nothing is compared, and the reason
is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import twolane
from bench.counts import callgrind
from bench.counts.toolchain import compiler, missing, toolchain
from twolane.testing import EmbeddedCluster

COMMITTED = Path(__file__).with_name("counts.json")
LOOPS = "bench.counts.loops"
TOPIC, PARTITIONS = "counts", 4
LIMIT = 1.05
SECONDS = 300
KINDS = ("instructions", "calls", "bytecodes")
# A loop whose count is next to nothing may grow by this much per record; one call in twenty records is no regression.
SLACK = 0.05

Counts = dict[str, dict[str, Any]]


def count() -> Counts:
    """Run all loops twice, under Callgrind and under the tracer, and return what they execute per record."""
    # Under another seed dicts have other collisions; and a run must not read another revision's bytecode cache.
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with tempfile.TemporaryDirectory() as name, EmbeddedCluster() as cluster:
        cluster.create_topic(TOPIC, partitions=PARTITIONS)
        folder = Path(name)
        marks = folder / "marks.so"
        source = Path(__file__).with_name("marks.c")
        subprocess.run([compiler(), "-O2", "-shared", "-fPIC", "-o", marks, source], check=True)
        program = [sys.executable, "-m", LOOPS, cluster.bootstrap_servers]
        _run([*callgrind.command(folder), *program, str(marks)], environment)
        loops = json.loads(_run(program, environment))
        profiles = callgrind.profiles(folder, Path(twolane.__file__).parent)
    return {name: _per_record(profiles[name], **loop) for name, loop in loops.items()}


def _run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode:
        sys.exit(f"{LOOPS} failed:\n{done.stderr or done.stdout}")
    return done.stdout


def _per_record(profile: callgrind.Profile, records: int, bytecodes: int) -> dict[str, Any]:
    total = sum(profile.instructions.values())
    if not total:
        sys.exit(f"{profile.loop}: no instruction of the package was counted")
    return {
        "instructions": round(total / records, 2),
        "calls": round(profile.calls / records, 3),
        "bytecodes": round(bytecodes / records, 3),
        "most": {
            f"{module}: {function}": round(own / records, 2)
            for (module, function), own in profile.instructions.most_common(5)
        },
    }


def regressions(committed: Counts, now: Counts) -> list[str]:
    """Say what executes more than 5 % more than it did, or is not there any more."""
    problems = [f"{loop}: not counted any more" for loop in committed if loop not in now]
    problems += [f"{loop}: has no committed count; --update" for loop in now if loop not in committed]
    for loop in committed.keys() & now.keys():
        for kind in KINDS:
            before, after = committed[loop][kind], now[loop][kind]
            if after > before * LIMIT + SLACK:
                problems.append(f"{loop}: {after} {kind} per record, not {before}")
    return sorted(problems)


def differing(committed: dict[str, str]) -> str | None:
    """Say what the committed counts hold for, if not for the toolchain here."""
    here = toolchain()
    parts = [f"{name} {here[name]}, not {committed[name]}" for name in here if here[name] != committed.get(name)]
    return f"the counts hold for another toolchain: here it is {'; '.join(parts)}" if parts else None


def show(committed: Counts, now: Counts) -> None:
    """Print every loop's numbers, and the committed ones where they differ."""
    print("| loop | " + " | ".join(f"{kind} per record" for kind in KINDS) + " |\n| --- |" + " ---: |" * len(KINDS))
    for loop, numbers in now.items():
        before = committed.get(loop, numbers)
        cells = [str(numbers[k]) + (f" ({before[k]})" if before[k] != numbers[k] else "") for k in KINDS]
        print(f"| {loop} | " + " | ".join(cells) + " |")


def main(arguments: list[str] | None = None) -> int:
    """Return the exit status: 1 after a regression; where nothing can be compared, 0 unless it is to be strict."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.counts", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--update", action="store_true", help="write the counts of this toolchain as the committed ones"
    )
    parser.add_argument("--file", type=Path, default=COMMITTED, help="of the counts to compare with or to write")
    parser.add_argument("--strict", action="store_true", help="fail where nothing can be compared")
    given = parser.parse_args(arguments)
    committed = json.loads(given.file.read_text()) if given.file.exists() else {"toolchain": {}, "loops": {}}
    reason = missing() or (None if given.update else differing(committed["toolchain"]))
    if reason is not None:
        print(f"Not counted: {reason}")
        return int(given.strict)
    now = count()
    show(committed["loops"], now)
    if given.update:
        given.file.write_text(json.dumps({"toolchain": toolchain(), "loops": now}, indent=2) + "\n")
        return 0
    problems = regressions(committed["loops"], now)
    for problem in problems:
        print(problem, file=sys.stderr)
        for function, own in now.get(problem.partition(":")[0], {}).get("most", {}).items():
            print(f"    {own:>10} {function}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
