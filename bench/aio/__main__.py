"""Tasks that await their records, one after the other: acks=all, 100-byte values with keys, three partitions.

Every contender runs in a process of its own, rounds in turn; its records are counted in the log before its figures
count. Ratios are taken round by round, then their median. On the embedded cluster a round trip takes 2 ms; real brokers
are three of this machine, as they are.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.aio import page, targets
from bench.aio.targets import AIOKAFKA, AIOPRODUCER, BATCHER, BLOCKING, POLL_THREAD, SAFE, SAFE_UVLOOP, SUBMIT, Runs
from bench.clusters import EMBEDDED, OWN, open_cluster
from bench.machine import write
from bench.measure import line_of
from bench.pages import ROOT
from bench.peers.harness import missing, versions
from bench.verify import count

if TYPE_CHECKING:
    from bench.clusters import Kafka

PARTITIONS, RTT_MS = 3, 2
TASKS = (1, 50, 1000)
ALL = (SAFE, SAFE_UVLOOP, SUBMIT, AIOKAFKA, AIOPRODUCER, POLL_THREAD, BATCHER)
NEEDS = {AIOKAFKA: "aiokafka", SAFE_UVLOOP: "uvloop"}
BYTES = 500_000_000


def run(name: str, bootstrap: str, topic: str, tasks: int, seconds: float, idempotence: str) -> dict[str, Any]:
    """Run one contender once and count its records in the log."""
    before = count(bootstrap, topic, PARTITIONS)
    arguments = [name, bootstrap, topic, str(PARTITIONS), str(tasks), str(seconds), idempotence]
    command = [sys.executable, "-m", "bench.aio.contender", *arguments]
    line = line_of(name, command, timeout=120 + 5 * seconds)
    added = count(bootstrap, topic, PARTITIONS) - before
    if added != line["records"] + line["warmup"]:
        sys.exit(f"{name}: {line['records']} acknowledged, {line['warmup']} before, and {added} in the log: no figures")
    return line


def measure(kafka: Kafka, given: argparse.Namespace) -> Runs:
    """Run every contender in every round."""
    runs: Runs = {}
    lacking = {name: reason for name, module in NEEDS.items() if (reason := missing(module))}
    for name, reason in lacking.items():
        print(f"{name}: {reason}", file=sys.stderr)
    is_real = kafka.kind != EMBEDDED
    for number in range(given.rounds):
        for tasks in given.tasks:
            for name in (*ALL, *((BLOCKING,) if tasks == 1 else ())):
                if name in lacking or (given.only and name not in given.only):
                    continue
                with kafka.delayed(0 if is_real else RTT_MS) as bootstrap:
                    topic = kafka.topic(PARTITIONS, BYTES // 10)
                    line = run(name, bootstrap, topic, tasks, given.seconds, given.idempotence)
                runs.setdefault((name, tasks), []).append(line)
        print(f"{kafka.kind}: round {number + 1} of {given.rounds}", file=sys.stderr)
    return runs


def rows_of(runs: Runs) -> list[dict[str, Any]]:
    """Return a row of medians per contender and number of tasks."""
    return [
        {
            "tasks": tasks,
            "contender": name,
            "sends_per_second": round(statistics.median(targets.rate(line) for line in lines)),
            "cpu_us_per_record": round(statistics.median(targets.cpu(line) for line in lines) * 1e6, 1),
            "p50_ms": round(statistics.median(line["p50"] for line in lines) * 1e3, 2),
            "p99_ms": round(statistics.median(line["p99"] for line in lines) * 1e3, 2),
        }
        for (name, tasks), lines in sorted(runs.items(), key=lambda entry: entry[0][1])
    ]


def show(rows: list[dict[str, Any]]) -> None:
    if rows:
        print("| " + " | ".join(rows[0]) + " |\n|" + " --- |" * len(rows[0]))
        for row in rows:
            print("| " + " | ".join(str(value) for value in row.values()) + " |")
        print()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.aio", description=__doc__)
    parser.add_argument("--cluster", choices=[EMBEDDED, OWN, "both"], default="both")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of one run")
    parser.add_argument("--tasks", type=int, nargs="+", default=TASKS)
    parser.add_argument("--idempotence", choices=["on", "off"], default="on")
    parser.add_argument("--only", nargs="+", metavar="CONTENDER")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--docs", action="store_true", help="put the figures of --json into docs/asyncio.md")
    given = parser.parse_args()
    parts: dict[str, Any] = {}
    for kind in [EMBEDDED, OWN] if given.cluster == "both" else [given.cluster]:
        with open_cluster(kind) as kafka:
            runs = measure(kafka, given)
            rows, reached = rows_of(runs), targets.rows(runs, is_real=kind != EMBEDDED)
            parts[kind] = {"cluster": kafka.facts(), "runs": rows, "targets": reached}
        show(rows)
        show(reached)
    if given.json:
        what = (
            f"bench.aio: tasks that each await 100-byte values with keys, acks=all, idempotence {given.idempotence}, "
            f"{PARTITIONS} partitions, {RTT_MS} ms on the embedded cluster, {given.rounds} rounds in turn of "
            f"{given.seconds} s, medians"
        )
        write(given.json.resolve(), what, clients=versions("aiokafka", "uvloop", "confluent-kafka"), **parts)
        if given.docs:
            page.write(given.json.resolve().relative_to(ROOT))


if __name__ == "__main__":
    main()
