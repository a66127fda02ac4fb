"""What two librdkafka clients taking turns would give the safe lane on one partition, at several round trips.

Today nothing is prepared while a chunk is in flight: a second chunk inside the same client would be F1 of
docs/hazards.md. With two clients chunk k+1 can be enqueued, paused, on the second while chunk k is in flight on the
first; k's acknowledgement resumes it, k's failure purges it, unsent. ``handles.c`` is that without the lane around it,
with one client and with two; beside it run the lane itself and confluent-kafka's asynchronous ``produce()``. Rounds in
turn, ratios round by round. ``python -m bench.safe.handles --json FILE`` takes about eight minutes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.clusters import Kafka, open_cluster
from bench.floor.__main__ import build
from bench.machine import write
from twolane.client import library

SOURCE = Path(__file__).with_suffix(".c")
ONE, TWO, LANE, ASYNC = "one client", "two clients", "SafeProducer.send_batch", "confluent produce"
CONTENDERS = (ONE, TWO, LANE, ASYNC)
SIZE = 100
# As many records of 100 bytes with a key of 8 as a request of 1 MB holds, as the lane counts them.
CHUNK = 8_000
SECONDS = 300
SETTINGS = ("acks=all", "batch.num.messages=10000", "batch.size=1000000", "message.max.bytes=1000000")
LOOP = ("linger.ms=0", "socket.nagle.disable=true", "enable.metrics.push=false")


def run(name: str, program: Path, bootstrap: str, topic: str, records: int, idempotence: str) -> dict[str, Any]:
    """Run one contender once."""
    flag = f"enable.idempotence={idempotence}"
    if name in (ONE, TWO):
        tail = [str(records), str(SIZE), str(CHUNK), "1" if name == ONE else "2", *SETTINGS, *LOOP, flag]
        command = [str(program), library.PATH, bootstrap, topic, *tail]
    else:
        own = [] if name == LANE else [*SETTINGS, "linger.ms=5"]
        command = [
            sys.executable,
            "-m",
            "bench.floor.lane",
            name,
            bootstrap,
            topic,
            "1",
            str(records),
            str(SIZE),
            *own,
            flag,
        ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    if done.returncode:
        sys.exit(f"{name}: {done.stderr or done.stdout}")
    line: dict[str, Any] = json.loads(done.stdout)
    if line["records"] != records:
        sys.exit(f"{name}: {line['records']} of {records} acknowledged")
    return line


def compare(
    kafka: Kafka, program: Path, rtt_ms: int, idempotence: str, given: argparse.Namespace
) -> list[dict[str, Any]]:
    """Run the contenders in turn at one round trip, and return a row of each."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in CONTENDERS}
    with kafka.delayed(rtt_ms) as bootstrap:
        for number in range(given.rounds * len(CONTENDERS)):
            # Each round begins with another contender.
            name = CONTENDERS[(number + number // len(CONTENDERS)) % len(CONTENDERS)]
            topic = kafka.topic(1, given.records * (SIZE + 20))
            runs[name].append(run(name, program, bootstrap, topic, given.records, idempotence))
    rows = []
    for name, lines in runs.items():
        row = {"rtt_ms": rtt_ms, "idempotence": idempotence, "contender": name}
        row["records_per_second"] = round(statistics.median(line["records"] / line["wall"] for line in lines))
        row["cpu_ns_per_record"] = round(statistics.median(line["cpu"] / line["records"] for line in lines) * 1e9)
        for other in (ONE, LANE, ASYNC):
            ratios = sorted(base["wall"] / line["wall"] for line, base in zip(lines, runs[other], strict=True))
            row[f"times {other}"] = [round(statistics.median(ratios), 2), round(ratios[0], 2), round(ratios[-1], 2)]
        rows.append(row)
        print(json.dumps(row), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.safe.handles", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cluster", choices=("embedded", "own"), default="own")
    parser.add_argument("--rtt", type=int, action="append", metavar="MS", help="default: 0, 1, 2 and 5")
    parser.add_argument("--records", type=int, default=400_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    program = build(Path("build/bench"), SOURCE)
    rows = []
    with open_cluster(given.cluster) as kafka:
        for rtt_ms in given.rtt or (0, 1, 2, 5):
            for idempotence in ("true", "false"):
                rows += compare(kafka, program, rtt_ms, idempotence, given)
        facts = kafka.facts()
        measured = {str(rtt_ms): round(kafka.round_trip(rtt_ms) * 1e3, 2) for rtt_ms in given.rtt or (0, 1, 2, 5)}
    if given.json:
        what = (
            f"bench.safe.handles: {SIZE}-byte values, one partition, chunks of {CHUNK}, {given.rounds} rounds in turn"
        )
        write(
            given.json,
            f"{what}; medians, with the least and most of a round",
            **facts,
            round_trip_ms=measured,
            runs=rows,
        )


if __name__ == "__main__":
    main()
