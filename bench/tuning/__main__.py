"""Compare what a machine can do for the throughput lane, one change at a time.

In each scene the variants run in turn, round after round, each in a process of its own; a ratio is that of two runs of
one round. ``python -m bench.tuning --json FILE`` takes about forty minutes on a machine with nothing else to do. An
allocator that the dynamic linker does not find is named and left out; ``--library jemalloc=FILE`` says where it lies,
such as what ``apt-get download libjemalloc2`` and ``dpkg -x`` unpack.
"""

from __future__ import annotations

import argparse
import ctypes.util
import json
import os
import statistics
import sys
from pathlib import Path
from typing import Any

from bench.machine import write
from bench.measure import line_of
from bench.tuning import clusters, variants
from bench.tuning.contender import BATCH

SECONDS = 300


def run(
    place: clusters.Place,
    scene: variants.Scene,
    variant: variants.Variant,
    preload: str,
    given: argparse.Namespace,
    number: int,
) -> dict[str, float]:
    """Run one variant once."""
    environment = {**os.environ, **variant.environment} | ({"LD_PRELOAD": preload} if preload else {})
    with place.topic(f"tuning-{number}") as topic:
        what = {
            "topic": topic,
            "settings": {"linger.ms": "5", **place.settings, **scene.settings, **variant.settings},
            "producers": variant.producers,
            "processors": variant.processors,
            "preload": preload,
            "batches": max(1, given.records // BATCH),
        }
        command = [sys.executable, "-m", "bench.tuning.contender", json.dumps(what)]
        return line_of(f"{scene.name}, {variant.name}", command, env=environment, timeout=SECONDS)


def summary(scene: str, variant: str, lines: list[dict[str, float]], bases: list[dict[str, float]]) -> dict[str, Any]:
    """Return a variant's medians, and its ratios to the unchanged one, round by round."""
    row: dict[str, Any] = {"scene": scene, "variant": variant}
    row |= {key: round(statistics.median(line[key] for line in lines), 1) for key in lines[0]}
    for key in ("cpu_ns_per_record", "records_per_second", "rss_mib"):
        ratios = sorted(line[key] / base[key] for line, base in zip(lines, bases, strict=True))
        row[f"{key}_ratio"] = [round(statistics.median(ratios), 3), round(ratios[0], 3), round(ratios[-1], 3)]
    return row


def compare(scene: variants.Scene, libraries: dict[str, str], given: argparse.Namespace) -> list[dict[str, Any]]:
    """Run a scene's variants in turn, and return a row of each."""
    tried = [one for one in variants.of(scene) if not one.preload or one.preload in libraries]
    tried = [one for one in tried if one is variants.BASE or given.only in one.name]
    runs: dict[str, list[dict[str, float]]] = {one.name: [] for one in tried}
    with clusters.start(scene.cluster) as place:
        run(place, scene, variants.BASE, "", given, 0)  # The brokers' first records are not like the others.
        for number in range(given.rounds * len(tried)):
            # Each round begins with another variant.
            one = tried[(number + number // len(tried)) % len(tried)]
            runs[one.name].append(run(place, scene, one, libraries.get(one.preload, ""), given, number + 1))
    rows = [summary(scene.name, name, lines, runs[variants.BASE.name]) for name, lines in runs.items()]
    for row in rows:
        print(json.dumps(row), flush=True)
    return rows


def find_libraries(given: list[str]) -> dict[str, str]:
    """Return the allocators that are here: the linker's name of each, and what to preload."""
    named = dict(word.split("=", 1) for word in given)
    found = {}
    for name, library in variants.ALLOCATORS.items():
        path = named[name] if name in named else ctypes.util.find_library(library)
        if path:
            found[library] = str(Path(path).resolve()) if name in named else path
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.tuning", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--records", type=int, default=1_000_000, help="of one run")
    parser.add_argument("--scene", default="", metavar="WORDS", help="scenes that have these in their name")
    parser.add_argument("--only", default="", metavar="WORDS", help="variants that have these in their name")
    parser.add_argument("--library", action="append", default=[], metavar="NAME=FILE", help="where an allocator lies")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    libraries = find_libraries(given.library)
    left_out = [f"{name}: not found" for name, library in variants.ALLOCATORS.items() if library not in libraries]
    rows = []
    for scene in variants.SCENES:
        if given.scene not in scene.name:
            continue
        rows += compare(scene, libraries, given)
    for line in left_out:
        print(line, file=sys.stderr)
    if given.json:
        what = (
            f"bench.tuning: {given.records} records of about 100 bytes with keys, 12 partitions, {given.rounds} rounds"
        )
        write(
            given.json,
            f"{what} in turn; medians, and ratios with the least and most of a round",
            left_out=left_out,
            runs=rows,
        )


if __name__ == "__main__":
    main()
