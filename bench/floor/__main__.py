"""Compare the lanes with the floor: rounds in turn, each run in a process of its own, medians and ratios."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.clusters import open_cluster
from bench.demo.cluster import PARTITIONS
from bench.machine import write
from bench.measure import line_of
from bench.verify import count
from twolane.client import library

SOURCE = Path(__file__).with_name("floor.c")
FLOOR = "C loop over rd_kafka_produceva"
PIPELINE = (
    FLOOR,
    "ThroughputProducer.send_batch",
    "ThroughputProducer.send",
    "confluent produce",
    "ThroughputProducer.send, callback",
    "confluent produce, callback",
)
WAIT = (FLOOR, "SafeProducer.send")
# What the throughput lane sets by itself; the floor gets the same.
SETTINGS = {
    "acks": "all",
    "linger.ms": "5",
    "batch.num.messages": "10000",
    "batch.size": "1000000",
    "message.max.bytes": "1000000",
}
FLOOR_ONLY = {
    "queue.buffering.max.messages": "10000000",
    "queue.buffering.max.kbytes": "2147483647",
    "socket.nagle.disable": "true",
    "enable.metrics.push": "false",
}
WAIT_SETTINGS = {
    "acks": "all",
    "linger.ms": "0",
    "max.in.flight.requests.per.connection": "1",
    "enable.idempotence": "true",
}


def build(folder: Path, source: Path = SOURCE) -> Path:
    """Compile a program in C, the floor if no other, unless that was done."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / source.stem
    if program.exists() and program.stat().st_mtime > source.stat().st_mtime:
        return program
    subprocess.run([os.environ.get("CC", "cc"), "-O3", "-o", program, source, "-ldl"], check=True)
    return program


def run(contender: str, program: Path, mode: str, where: tuple[str, str], records: int, size: int) -> dict[str, Any]:
    """Run one contender once; its records are counted in the log before its figures count."""
    settings = SETTINGS if mode == "pipeline" else WAIT_SETTINGS
    tail = [*where, str(PARTITIONS), str(records), str(size)]
    if contender == FLOOR:
        both = {**settings, **FLOOR_ONLY}
        command = [str(program), library.PATH, *tail, mode, *(f"{key}={value}" for key, value in both.items())]
    else:
        own = [f"{key}={value}" for key, value in settings.items()]
        command = [sys.executable, "-m", "bench.floor.lane", contender, *tail, *own]
    before = count(*where, PARTITIONS)
    line = line_of(contender, command)
    added = count(*where, PARTITIONS) - before - PARTITIONS
    if line["records"] != records or added != records:
        sys.exit(f"{contender}: {line['records']} acknowledged and {added} in the log, of {records}")
    return line


def compare(title: str, runs: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Print one table of medians, with the ratio of CPU time to the floor's; return its rows."""
    rows = []
    for contender, lines in runs.items():
        rows.append(
            {
                "mode": title,
                "contender": contender,
                "records_per_second": round(statistics.median(line["records"] / line["wall"] for line in lines)),
                "cpu_ns_per_record": round(statistics.median(line["cpu"] / line["records"] for line in lines) * 1e9),
                "cpu_to_floor": round(
                    statistics.median(
                        line["cpu"] / floor["cpu"] for line, floor in zip(lines, runs[FLOOR], strict=True)
                    ),
                    3,
                ),
            }
        )
        if "p50" in lines[0]:
            rows[-1]["p50_us"] = round(statistics.median(line["p50"] for line in lines) * 1e6)
    keys = list(rows[0])[1:]
    print(f"\n{title}\n| " + " | ".join(keys) + " |\n|" + " --- |" * len(keys))
    for row in rows:
        print("| " + " | ".join(str(row[key]) for key in keys) + " |")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.floor", description=__doc__)
    parser.add_argument("--cluster", choices=("embedded", "own"), default="embedded", help="what to start")
    parser.add_argument("--bootstrap-servers", metavar="B", help="a running cluster instead")
    parser.add_argument("--records", type=int, default=400_000)
    parser.add_argument("--waiting-records", type=int, default=2_000)
    parser.add_argument("--size", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    program = build(Path("build/bench"))
    rows = []
    with open_cluster("own" if given.bootstrap_servers else given.cluster, given.bootstrap_servers) as kafka:
        for mode, contenders, records in (
            ("pipeline", PIPELINE, given.records),
            ("wait", WAIT, given.waiting_records),
        ):
            runs: dict[str, list[dict[str, Any]]] = {contender: [] for contender in contenders}
            for _ in range(given.rounds):
                for contender in contenders:
                    where = kafka.bootstrap_servers, kafka.topic(PARTITIONS, (records + PARTITIONS) * given.size)
                    runs[contender].append(run(contender, program, mode, where, records, given.size))
            rows += compare(mode, runs)
        facts = kafka.facts()
    if given.json:
        what = f"bench.floor: {given.size}-byte values, 8-byte keys, {given.rounds} rounds in turn, medians"
        write(given.json, what, **facts, runs=rows)


if __name__ == "__main__":
    main()
