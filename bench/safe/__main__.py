"""The price of the safe lane's promise, on three real brokers, acks=all, 100-byte records, one partition.

Every contender runs in a process of its own, rounds in turn; its records are counted in the log before its figures
count. Ratios are taken round by round, then their median. Prints the contenders, then each target beside what was
measured, then what bounds the hundred threads.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.floor.__main__ import build
from bench.machine import write
from bench.measure import line_of
from bench.safe import targets
from bench.safe.contender import CONTENDERS
from bench.safe.targets import ASYNC, BATCH, FLOOR, HUNDRED, LOOP, PIPE, POLL, THREADS, Runs, between, p50, rate
from bench.verify import count
from twolane.client import library
from twolane.testing import ExternalCluster, KafkaCluster

if TYPE_CHECKING:
    from collections.abc import Iterator

# Records of a run: about two seconds each.
RECORDS = {
    LOOP: 1_000,
    POLL: 1_000,
    FLOOR: 1_000,
    THREADS: 10_000,
    HUNDRED: 50_000,
    BATCH: 500_000,
    ASYNC: 500_000,
    PIPE: 500_000,
}
# The C loops: how they go about it, and the settings that make them comparable.
LOOPS = {FLOOR: ("wait", "linger.ms=0"), PIPE: ("pipeline", "linger.ms=5")}


def run(name: str, program: Path, bootstrap: str, topic: str, idempotence: str, share: float) -> dict[str, Any]:
    """Run one contender once and count its records in the log."""
    records = max(100, int(RECORDS[name] * share) // 100 * 100)
    if name == BATCH:
        records = max(100_000, records // 100_000 * 100_000)
    before = count(bootstrap, topic, 1)
    if name in LOOPS:
        mode, linger = LOOPS[name]
        flag = "true" if idempotence == "on" else "false"
        command = [str(program), library.PATH, bootstrap, topic, "1", str(records), "100", mode, "acks=all", linger]
        command += ["max.in.flight=1", f"enable.idempotence={flag}", "socket.nagle.disable=true"]
        command += ["queue.buffering.max.messages=10000000", "queue.buffering.max.kbytes=2000000"]
    else:
        command = [sys.executable, "-m", "bench.safe.contender", name, bootstrap, topic, str(records), idempotence]
    line = line_of(name, command)
    added = count(bootstrap, topic, 1) - before - 1
    if line["records"] != records or added != records:
        sys.exit(f"{name}: {line['records']} acknowledged and {added} in the log, of {records}: no figures")
    return line


@contextlib.contextmanager
def brokers(bootstrap: str | None) -> Iterator[tuple[str, str]]:
    """Give (bootstrap servers, a new topic) of a running cluster, or of one started for the run."""
    topic = f"bench-safe-{uuid.uuid4().hex[:8]}"
    with contextlib.nullcontext(ExternalCluster(bootstrap)) if bootstrap else KafkaCluster() as cluster:
        cluster.create_topic(topic, 1)
        try:
            yield cluster.bootstrap_servers, topic
        finally:
            cluster.delete_topic(topic, wait=False)


def rows_of(runs: Runs) -> list[dict[str, Any]]:
    """Return a row of medians per contender and setting."""
    rows = []
    for (idempotence, name), lines in runs.items():
        row = {
            "idempotence": idempotence,
            "contender": name,
            "records_per_second": round(statistics.median(rate(line) for line in lines)),
            "cpu_ns_per_record": round(statistics.median(line["cpu"] / line["records"] for line in lines) * 1e9),
            "x_own_loop": round(between(runs, (idempotence, name), (idempotence, LOOP), rate), 2),
            "x_confluent_async": round(between(runs, (idempotence, name), (idempotence, ASYNC), rate), 2),
        }
        if "p50" in lines[0]:
            row["p50_us"] = round(statistics.median(line["p50"] for line in lines) * 1e6)
            row["p99_us"] = round(statistics.median(line["p99"] for line in lines) * 1e6)
            row["p50_to_c_loop"] = round(between(runs, (idempotence, name), (idempotence, FLOOR), p50), 3)
        rows.append(row)
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    keys = list(dict.fromkeys(key for row in rows for key in row))
    print("| " + " | ".join(keys) + " |\n|" + " --- |" * len(keys))
    for row in rows:
        print("| " + " | ".join(str(row.get(key, "")) for key in keys) + " |")
    print()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.safe", description=__doc__)
    parser.add_argument(
        "--bootstrap-servers", metavar="B", help="a running cluster; three brokers are started without it"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--share", type=float, default=1.0, help="part of the ordinary number of records")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    program = build(Path("build/bench"))
    runs: Runs = {}
    with brokers(given.bootstrap_servers) as (bootstrap, topic):
        for number in range(given.rounds):
            for idempotence in ("on", "off"):
                for name in (*CONTENDERS, *LOOPS):
                    line = run(name, program, bootstrap, topic, idempotence, given.share)
                    runs.setdefault((idempotence, name), []).append(line)
            print(f"round {number + 1} of {given.rounds}", file=sys.stderr)
    rows, reached = rows_of(runs), targets.rows(runs)
    threads = [targets.bounds_of_threads(runs, idempotence) for idempotence in ("on", "off")]
    for table in (rows, reached, threads):
        show(table)
    if given.json:
        what = f"bench.safe: 100-byte values, acks=all, one partition, {given.rounds} rounds in turn, medians"
        write(given.json, what, runs=rows, targets=reached, hundred_threads=threads)


if __name__ == "__main__":
    main()
