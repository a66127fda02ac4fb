"""What a record costs through the sinks of Spark, Ray and Dask, and through the engines' own: CPU and records/s.

An engine is started once for each number of workers, with its rows already in its memory; each contender is a job of
it, rounds in turn, the first round not counted. CPU is that of the whole process tree (driver, workers, JVM; user and
system, children that have ended included), read before and after a job. No figure of a run counts whose records are
not in the log: all are read back in the first round, a sample in the others, after the time has been taken.
``python -m bench.sinks --json FILE`` takes about twelve minutes on a machine with nothing else to do.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.machine import write as write_json
from bench.safe.__main__ import show
from bench.sinks import data, usage
from bench.sinks.cases import CASES, COMPARISONS, ENGINES, NO_SINK, Case
from bench.sinks.log import Log
from twolane.testing import EmbeddedCluster, KafkaCluster

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parents[2]
PARTITIONS = 12
END_SECONDS = 60.0
# Counts of CPU that contenders are compared by.
COUNTS = {
    "cpu_us_per_record": "whole job",
    "above_engine_us": "above the engine",
    "task_cpu_us": "in the task",
}
Runs = dict[tuple[int, Case], list[dict[str, Any]]]


class Session:
    """An engine in a process of its own."""

    def __init__(self, engine: str, workers: int, folder: Path, said: Any) -> None:
        self._name = f"{engine}, {workers} workers"
        self._said = said
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        # Ray would tell its makers of its use.
        environment = {**os.environ, "PYTHONPATH": path, "RAY_USAGE_STATS_ENABLED": "0"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.sinks.session", engine, str(workers), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            env=environment,
            text=True,
        )
        self.versions: dict[str, str] = self._answer()["versions"]

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._said.seek(0)
            sys.exit(f"{self._name}: ended with {self._process.wait()}: {self._said.read().decode()[-3000:]}")
        found: dict[str, Any] = json.loads(line)
        return found

    def write(self, case: Case, bootstrap: str, topic: str) -> dict[str, Any]:
        """Run one job; return its seconds, and the CPU of the tree and of the tasks."""
        assert self._process.stdin is not None
        before = usage.of_tree(self._process.pid)
        print(json.dumps({"case": case.name, "bootstrap": bootstrap, "topic": topic}), file=self._process.stdin)
        self._process.stdin.flush()
        found = self._answer()
        after = usage.of_tree(self._process.pid)
        return {**found, "cpu": after.cpu - before.cpu, "ended": len(before.processes - after.processes)}

    def close(self) -> None:
        """End the engine, and what it leaves behind."""
        family = usage.of_tree(self._process.pid).processes
        assert self._process.stdin is not None
        self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_SECONDS)
        for pid in usage.alive(family):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@contextlib.contextmanager
def _session(engine: str, workers: int, folder: Path) -> Iterator[Session]:
    with tempfile.TemporaryFile() as said:
        session = Session(engine, workers, folder, said)
        try:
            yield session
        finally:
            session.close()


@contextlib.contextmanager
def _topic(cluster: Any) -> Iterator[str]:
    """Make a topic for a round, so that no disk fills up."""
    topic = f"bench-sinks-{uuid.uuid4().hex[:8]}"
    cluster.create_topic(topic, PARTITIONS)
    yield topic
    if hasattr(cluster, "delete_topic"):
        cluster.delete_topic(topic, wait=False)


def measure(
    session: Session, cases: Sequence[Case], workers: int, cluster: Any, given: argparse.Namespace, runs: Runs
) -> None:
    """Run an engine's contenders in turn, and once before that counts."""
    bootstrap = cluster.bootstrap_servers
    with contextlib.closing(Log(bootstrap, PARTITIONS)) as log:
        for number in range(given.rounds + 1):
            with _topic(cluster) as topic:
                for case in cases:
                    before = log.ends(topic)
                    found = session.write(case, bootstrap, topic)
                    rows = given.rows if case.serializer else 0
                    log.check(topic, before, rows, case.reader, is_whole=number == 0)
                    if number:
                        runs.setdefault((workers, case), []).append(found)


def _spread(values: list[float]) -> float:
    """Return the distance of the quartiles as part of the median."""
    if len(values) < 2:
        return 0.0
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return round((high - low) / middle, 3) if middle else 0.0


def rows_of(runs: Runs, rows: int) -> list[dict[str, Any]]:
    """Return a row of medians for each engine, contender and number of workers."""
    cpu = {key: [line["cpu"] / rows * 1e6 for line in lines] for key, lines in runs.items()}
    engine_alone = {
        (workers, case.engine): statistics.median(cpu[workers, case]) for workers, case in runs if case.name == NO_SINK
    }
    table = []
    for (workers, case), lines in runs.items():
        walls, cpus = [line["wall"] for line in lines], cpu[workers, case]
        rates = [rows / wall for wall in walls]
        alone = engine_alone.get((workers, case.engine))
        tasks = [line["task_cpu"] for line in lines if line["task_cpu"] is not None]
        table.append(
            {
                "engine": case.engine,
                "contender": case.name,
                "workers": workers,
                "lane": case.lane,
                "format": case.serializer,
                "records_per_second": round(statistics.median(rates)),
                "records_per_second_iqr": _spread(rates),
                "cpu_us_per_record": round(statistics.median(cpus), 3),
                "cpu_us_per_record_iqr": _spread(cpus),
                "above_engine_us": None if alone is None else round(statistics.median(cpus) - alone, 3),
                "task_cpu_us": round(statistics.median(tasks) / rows * 1e6, 3) if tasks else None,
                "wall_s": round(statistics.median(walls), 3),
                "wall": [round(wall, 3) for wall in walls],
                "cpu": [round(line["cpu"], 2) for line in lines],
                # Of those that the run found: the CPU of one that was not waited for is missing.
                "ended": sum(line["ended"] for line in lines),
            }
        )
    return table


def compared(table: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return each comparison by each count of CPU, beside what was promised."""
    found = {(row["engine"], row["contender"], row["workers"]): row for row in table}
    lines = []
    for ours, peer, target in COMPARISONS:
        for workers in sorted({row["workers"] for row in table}):
            both = [found.get((peer.engine, name, workers)) for name in (ours, peer.name)]
            for key, count in COUNTS.items():
                costs = [row[key] for row in both if row is not None and row[key] is not None]
                if len(costs) == 2 and costs[0] > 0:
                    lines.append(
                        {
                            "engine": peer.engine,
                            "ours": ours,
                            "peer": peer.name,
                            "workers": workers,
                            "count": count,
                            "times_cheaper": round(costs[1] / costs[0], 1),
                            "target": target,
                        }
                    )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.sinks", description=__doc__)
    parser.add_argument("patterns", nargs="*", help="parts of 'engine: contender'; Ray, Spark and Dask without")
    parser.add_argument("--workers", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--tasks", type=int, default=8)
    parser.add_argument("--embedded", action="store_true", help="librdkafka's mock brokers, for a try")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    patterns = given.patterns or [f"{engine}: " for engine in ENGINES if engine != "pool"]
    chosen = [case for case in CASES if any(part in f"{case.engine}: {case.name}" for part in patterns)]
    runs: Runs = {}
    versions: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="twolane-sinks-")))
        data.write(folder, given.rows, given.tasks)
        cluster: Any = stack.enter_context(EmbeddedCluster() if given.embedded else KafkaCluster(jvm_options=()))
        for engine in dict.fromkeys(case.engine for case in chosen):
            for workers in given.workers:
                started = time.perf_counter()
                with _session(engine, workers, folder) as session:
                    versions |= session.versions
                    cases = [case for case in chosen if case.engine == engine]
                    measure(session, cases, workers, cluster, given, runs)
                print(f"{engine}, {workers} workers: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    table = rows_of(runs, given.rows)
    targets = compared(table)
    show([{key: value for key, value in row.items() if not isinstance(value, list)} for row in table])
    show(targets)
    if given.json:
        settings = {name: getattr(given, name) for name in ("rows", "tasks", "rounds")}
        settings |= {"columns": len(data.AVRO), "partitions": PARTITIONS, "brokers": 3}
        what = "bench.sinks: jobs of engines, their rows in memory before, medians of rounds in turn"
        kind = "embedded" if given.embedded else f"Apache Kafka {cluster.version}"
        parts = {"cluster": kind, "settings": settings, "engines": versions, "runs": table, "targets": targets}
        write_json(given.json, what, **parts)


if __name__ == "__main__":
    main()
