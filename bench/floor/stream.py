"""A steady stream across a network: what idempotence costs there, and what lingering saves of it.

A thousand calls of ``send_batch()``, each of some records, one every two milliseconds, to one partition whose broker is
a round trip away. With idempotence librdkafka has one request of the partition on its way, and its broker thread spins
while a batch that is due waits for that one's answer; a ``linger.ms`` as long as the round trip keeps batches from
being due. Each variant runs in a process of its own on the embedded cluster, rounds in turn, medians.
``python -m bench.floor.stream --json FILE`` takes about a minute.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from bench.machine import write
from bench.measure import line_of
from twolane import ThroughputProducer
from twolane.testing import EmbeddedCluster

CALL, EVERY_SECONDS = 20, 0.002
VALUE = bytes(100)
RTT_MS = 20
IDEMPOTENCE, LINGER_MS = ("false", "true"), ("5", "25", "50")


def measure(bootstrap: str, idempotence: str, linger_ms: str, calls: int) -> dict[str, float]:
    """Send at the pace, and say what it took; every record is written or there is no figure."""
    settings = {"bootstrap.servers": bootstrap, "enable.idempotence": idempotence, "linger.ms": linger_ms}
    with ThroughputProducer(settings) as producer:
        producer.send_batch("stream", [VALUE]).result(10)
        before, used, started = producer.stats(), time.process_time(), time.perf_counter()
        for at in range(calls):
            producer.send_batch("stream", [VALUE] * CALL)
            time.sleep(max(0.0, started + (at + 1) * EVERY_SECONDS - time.perf_counter()))
        left = producer.flush(60)
        wall, used, after = time.perf_counter() - started, time.process_time() - used, producer.stats()
    written = after.written - before.written
    if left or written != calls * CALL:
        sys.exit(f"{written} of {calls * CALL} records were written")
    return {
        "cpu_ns_per_record": used / written * 1e9,
        "share_of_one_processor": used / wall,
        "records_per_second": written / wall,
        "records_per_request": written / (after.delivery_events - before.delivery_events),
        "p50_ms": after.latency.percentile(50) * 1e3,
        "p99_ms": after.latency.percentile(99) * 1e3,
    }


def run(idempotence: str, linger_ms: str, calls: int) -> dict[str, float]:
    """Measure one variant in a process of its own."""
    with EmbeddedCluster(brokers=1) as cluster:
        cluster.create_topic("stream", partitions=1)
        cluster.set_rtt(RTT_MS)
        arguments = ["--run", cluster.bootstrap_servers, idempotence, linger_ms, "--calls", str(calls)]
        command = [sys.executable, "-m", "bench.floor.stream", *arguments]
        return line_of(f"enable.idempotence={idempotence} linger.ms={linger_ms}", command)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.floor.stream", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--calls", type=int, default=1_000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--run", nargs=3, metavar=("BOOTSTRAP", "IDEMPOTENCE", "LINGER"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run:
        print(json.dumps(measure(*given.run, given.calls)))
        return
    lines: dict[tuple[str, str], list[dict[str, float]]] = {}
    for _ in range(given.rounds):
        for variant in ((idempotence, linger) for idempotence in IDEMPOTENCE for linger in LINGER_MS):
            lines.setdefault(variant, []).append(run(*variant, given.calls))
    rows: list[dict[str, Any]] = []
    for (idempotence, linger), measured in lines.items():
        middle = {key: round(statistics.median(line[key] for line in measured), 2) for key in measured[0]}
        rows.append({"enable.idempotence": idempotence, "linger.ms": linger, **middle})
        print(rows[-1], flush=True)
    if given.json:
        pace = f"{CALL} records of {len(VALUE)} bytes every {EVERY_SECONDS * 1e3:g} ms, {RTT_MS} ms away"
        what = f"bench.floor.stream: {pace}; {given.rounds} rounds in turn, medians"
        write(given.json, what, cluster="embedded", runs=rows)


if __name__ == "__main__":
    main()
