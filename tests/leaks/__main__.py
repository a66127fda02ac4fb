"""Leaks: ``python -m tests.leaks [WORD ...]``: every path again and again, and what stays of each.

``make leaks`` calls it. One process, an embedded cluster in another.
"""

from __future__ import annotations

import argparse
import gc
import logging
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

from bench.machine import write
from tests.leaks import paths
from tests.leaks.levels import at_rest, report, settled
from twolane.testing import EmbeddedCluster


def run(one: paths.Path, times: int, cluster: EmbeddedCluster) -> dict[str, Any]:
    """Go one path so many times; return what was done and what stayed."""
    cluster.reset()
    cluster.create_topic("t", partitions=4)
    with one.open(cluster) as once:
        for i in range(one.warm):
            once(i)
        for _ in range(2):  # what grew once was a cache; a leak grows again
            before = at_rest()
            begun = time.monotonic()
            for i in range(times):
                once(i)
            seconds = time.monotonic() - begun
            after, excess = settled(before, times)
            if not excess:
                break
    return {
        "path": one.name,
        "times": times * one.each,
        "seconds": round(seconds, 1),
        "too_much": excess,
        **report(before, after),
    }


def quiet() -> None:
    """Say nothing of a hundred thousand errors."""
    logging.getLogger("twolane").setLevel(logging.CRITICAL + 1)
    warnings.simplefilter("ignore")
    gc.freeze()


def main() -> int:
    """Go the paths one after another; 1 if anything of one stayed."""
    parser = argparse.ArgumentParser(prog="python -m tests.leaks", description=__doc__)
    parser.add_argument(
        "words",
        nargs="*",
        metavar="WORD",
        help=f"{', '.join(paths.GROUPS)}, or parts of names of paths; all without it",
    )
    parser.add_argument("--times", type=int, default=100_000, help="of each error path")
    parser.add_argument("--producers", type=int, default=1_000, help="in a row, of each kind")
    parser.add_argument("--records", type=int, default=10**8, help="of each way to send")
    parser.add_argument("--quick", action="store_true", help="as the tests do: seconds")
    parser.add_argument("--list", action="store_true", help="print the names")
    parser.add_argument("--json", type=Path, help="write what was seen there")
    given = parser.parse_args()
    asked = {"errors": given.times, "producers": given.producers, "records": given.records}
    chosen = [
        (one, one.quick if given.quick else one.times(asked[group]))
        for group, known in paths.GROUPS.items()
        for name, one in known.items()
        if not given.words or any(word == group if word in paths.GROUPS else word in name for word in given.words)
    ]
    if given.list:
        print(*(one.name for one, _ in chosen), sep="\n")
        return 0
    quiet()
    # Where the wheel is tested there is no git work tree, and no file to write.
    git = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip() if given.json else ""
    seen = []
    with EmbeddedCluster() as cluster:
        for one, times in chosen:
            seen.append(run(one, times, cluster))
            grown = ", ".join(f"{name} {n:+}" for name, n in seen[-1]["grown"].items() if n)
            failed = "LEFT BEHIND " if seen[-1]["too_much"] else ""
            print(
                f"{failed}{one.name}: {seen[-1]['times']} in {seen[-1]['seconds']} s: {grown or 'as before'}",
                flush=True,
            )
            if given.json:
                what = "what stays of errors, producers and records (python -m tests.leaks)"
                write(given.json, what, commit=commit, paths=seen)
    return any(one["too_much"] for one in seen)


if __name__ == "__main__":
    sys.exit(main())
