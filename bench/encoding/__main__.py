"""Run every script of this folder, keep one JSON, print each target with what was reached.

``python -m bench.encoding --json FILE [--rigorous]`` measures; ``--report FILE`` prints the table
of what was measured before. The quick mode takes about four minutes. Figures are CPU time.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pyperf

from bench.encoding.targets import growth, table
from bench.machine import forget_place

ROOT = Path(__file__).parents[2]
SCRIPTS = [
    "bench_avro",
    "bench_protobuf",
    "bench_json",
    "bench_layouts",
    "bench_timestamps",
    "bench_flat",
    "bench_whole_path",
]
QUICK = ["--processes", "2", "--values", "3", "--warmups", "1", "--min-time", "0.05"]


def measure(rigorous: bool) -> pyperf.BenchmarkSuite:
    """Run the scripts one after the other and return all their benchmarks."""
    benchmarks: list[pyperf.Benchmark] = []
    with tempfile.TemporaryDirectory() as folder:
        for script in SCRIPTS:
            if script == "bench_whole_path" and importlib.util.find_spec("arrow_kafka_pyo3") is None:
                print("arrow-kafka-pyo3 is not installed: its whole path is not measured", file=sys.stderr)
                continue
            path = Path(folder, f"{script}.json")
            options = [] if rigorous else QUICK
            command = [
                sys.executable,
                "-m",
                f"bench.encoding.{script}",
                "--copy-env",
                "--quiet",
                "-o",
                str(path),
                *options,
            ]
            # pyperf starts the script again by its path, from where `bench` is not found.
            subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
            benchmarks += pyperf.BenchmarkSuite.load(str(path)).get_benchmarks()
    benchmarks += [memory(benchmark.get_name()) for benchmark in benchmarks if "_flat_" in benchmark.get_name()]
    return pyperf.BenchmarkSuite(benchmarks)


def memory(case: str) -> pyperf.Benchmark:
    """Measure the memory of a case of bench_flat, in a process of its own."""
    command = [sys.executable, "-m", "bench.encoding.bench_flat", "--memory", case]
    grown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    # A benchmark of pyperf is above zero.
    metadata = {"name": case.replace("_flat_", "_memory_"), "unit": "byte"}
    return pyperf.Benchmark([pyperf.Run([max(1.0, float(grown))], metadata=metadata, collect_metadata=False)])


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.encoding", description=__doc__)
    parser.add_argument("--json", type=Path, help="measure, and write this file")
    parser.add_argument("--report", type=Path, help="print the table of a file")
    parser.add_argument("--rigorous", action="store_true", help="more processes and values")
    arguments = parser.parse_args()
    if (arguments.json is None) == (arguments.report is None):
        parser.error("give either --json or --report")
    if arguments.json is not None:
        measure(arguments.rigorous).dump(str(arguments.json), replace=True)
        forget_place(arguments.json)
    suite = pyperf.BenchmarkSuite.load(str(arguments.json or arguments.report))
    print("\n".join([*table(suite), "", *growth(suite)]))


if __name__ == "__main__":
    main()
