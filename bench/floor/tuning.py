"""What the throughput lane's defaults cost and gain, one changed at a time: linger, batches, compression, window.

Each variant runs in a process of its own on the embedded cluster, rounds in turn; medians of CPU time per record of the
producing process, records per request, and the p50 of the latency from ``send_batch()`` to the report (of a loaded
pipeline: the call sends everything at once). ``python -m bench.floor.tuning --json FILE`` takes about three minutes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.machine import write
from bench.measure import line_of
from twolane import ThroughputProducer
from twolane.testing import EmbeddedCluster

RECORDS = 300_000
PARTITIONS = 12
# Name, settings that differ from the defaults, number of partitions, whether records have keys.
VARIANTS: list[tuple[str, dict[str, str], int, bool]] = [
    ("the defaults", {}, PARTITIONS, True),
    ("linger.ms=0", {"linger.ms": "0"}, PARTITIONS, True),
    ("linger.ms=1", {"linger.ms": "1"}, PARTITIONS, True),
    ("linger.ms=20", {"linger.ms": "20"}, PARTITIONS, True),
    ("linger.ms=100", {"linger.ms": "100"}, PARTITIONS, True),
    ("batch.size=16384", {"batch.size": "16384"}, PARTITIONS, True),
    ("batch.size=100000", {"batch.size": "100000"}, PARTITIONS, True),
    ("batch.num.messages=1000", {"batch.num.messages": "1000"}, PARTITIONS, True),
    ("batch.num.messages=100000", {"batch.num.messages": "100000"}, PARTITIONS, True),
    ("window 10000 records", {"queue.buffering.max.messages": "10000"}, PARTITIONS, True),
    ("window 100000 records", {"queue.buffering.max.messages": "100000"}, PARTITIONS, True),
    ("window 2000000 records", {"queue.buffering.max.messages": "2000000"}, PARTITIONS, True),
    ("compression.type=lz4", {"compression.type": "lz4"}, PARTITIONS, True),
    ("compression.type=snappy", {"compression.type": "snappy"}, PARTITIONS, True),
    ("compression.type=zstd", {"compression.type": "zstd"}, PARTITIONS, True),
    ("compression.type=gzip", {"compression.type": "gzip"}, PARTITIONS, True),
    ("backpressure.threshold=8", {"queue.buffering.backpressure.threshold": "8"}, PARTITIONS, True),
    ("backpressure.threshold=64", {"queue.buffering.backpressure.threshold": "64"}, PARTITIONS, True),
    ("no keys", {}, PARTITIONS, False),
    ("no keys, linger.ms=0", {"linger.ms": "0"}, PARTITIONS, False),
    ("200 partitions", {}, 200, True),
    ("200 partitions, linger.ms=50", {"linger.ms": "50"}, 200, True),
    ("200 partitions, backpressure.threshold=8", {"queue.buffering.backpressure.threshold": "8"}, 200, True),
    ("200 partitions, backpressure.threshold=64", {"queue.buffering.backpressure.threshold": "64"}, 200, True),
    ("1000 partitions", {}, 1_000, True),
    ("1000 partitions, linger.ms=50", {"linger.ms": "50"}, 1_000, True),
    ("1000 partitions, backpressure.threshold=64", {"queue.buffering.backpressure.threshold": "64"}, 1_000, True),
    ("1000 partitions, backpressure.threshold=64, linger.ms=50",
     {"linger.ms": "50", "queue.buffering.backpressure.threshold": "64"}, 1_000, True),
]  # fmt: skip


def columns(keyed: bool) -> dict[str, Any]:
    """Return records of about 100 bytes that compress as JSON of real use does."""
    ids = np.random.default_rng(7).integers(0, 100_000, RECORDS)
    values = [
        b'{"user": %d, "page": "/catalogue/item/%d", "referrer": "search", "duration_ms": %d, "ok": true}'
        % (i, i % 977, i % 8_191)
        for i in ids.tolist()
    ]
    return {"values": values, "timestamps": 1_700_000_000_000} | ({"keys": [b"%08d" % i for i in ids]} if keyed else {})


def measure(bootstrap: str, topic: str, settings: dict[str, str], keyed: bool) -> dict[str, float]:
    """Send the records once to warm up and once for the figures."""
    given = columns(keyed)
    with ThroughputProducer({"bootstrap.servers": bootstrap, "statistics.interval.ms": "0", **settings}) as producer:
        producer.send_batch(topic, **given).result(120)
        before, used, started = producer.stats(), time.process_time(), time.perf_counter()
        written = producer.send_batch(topic, **given).result(120).written
        wall, used, after = time.perf_counter() - started, time.process_time() - used, producer.stats()
    if written != RECORDS:
        sys.exit(f"{written} of {RECORDS} records were written")
    return {
        "cpu_ns_per_record": used / RECORDS * 1e9,
        "records_per_second": RECORDS / wall,
        "records_per_request": RECORDS / (after.delivery_events - before.delivery_events),
        "p50_ms": after.latency.percentile(50) * 1e3,
    }


def compare(rounds: int, only: str) -> list[dict[str, Any]]:
    """Run the variants in turn, and return their medians."""
    chosen = [at for at, (name, *_) in enumerate(VARIANTS) if at == 0 or only in name]
    runs: dict[int, list[dict[str, float]]] = {at: [] for at in chosen}
    for _ in range(rounds):
        for at in chosen:
            partitions = VARIANTS[at][2]
            with EmbeddedCluster(brokers=3) as cluster:
                cluster.create_topic("tuning", partitions=partitions)
                command = [sys.executable, "-m", "bench.floor.tuning", "--run", str(at), cluster.bootstrap_servers]
                runs[at].append(line_of(VARIANTS[at][0], command))
    rows = []
    for at, lines in runs.items():
        name, settings, partitions, keyed = VARIANTS[at]
        middle = {key: round(statistics.median(line[key] for line in lines), 1) for key in lines[0]}
        pairs = zip(lines, runs[0], strict=True)
        ratios = [line["cpu_ns_per_record"] / base["cpu_ns_per_record"] for line, base in pairs]
        middle["cpu_to_defaults"] = round(statistics.median(ratios), 2)
        rows.append({"variant": name, "settings": settings, "partitions": partitions, "keys": keyed, **middle})
        print(f"{name}: {middle}", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.floor.tuning", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", metavar="WORDS", help="variants that have these in their name")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--run", nargs=2, metavar=("VARIANT", "BOOTSTRAP"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run:
        _, settings, _, keyed = VARIANTS[int(given.run[0])]
        print(json.dumps(measure(given.run[1], "tuning", settings, keyed)))
        return
    rows = compare(given.rounds, given.only)
    if given.json:
        what = f"bench.floor.tuning: {RECORDS} records of about 100 bytes, {given.rounds} rounds in turn, medians"
        write(given.json, what, cluster="embedded", runs=rows)


if __name__ == "__main__":
    main()
