"""One run in a process of its own: many batches through the throughput lane, then one JSON line."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from twolane import ThroughputProducer

BATCH = 100_000
SECONDS = 120


def columns() -> dict[str, Any]:
    """Return a batch of records of about 100 bytes that compress as JSON of real use does."""
    ids = np.random.default_rng(7).integers(0, 100_000, BATCH)
    values = [
        b'{"user": %d, "page": "/catalogue/item/%d", "referrer": "search", "duration_ms": %d, "ok": true}'
        % (i, i % 977, i % 8_191)
        for i in ids.tolist()
    ]
    return {"values": values, "keys": [b"%08d" % i for i in ids.tolist()], "timestamps": 1_700_000_000_000}


def send(producer: ThroughputProducer, topic: str, batch: dict[str, Any], times: int) -> int:
    """Send a batch so many times, and return how many records were written."""
    deliveries = [producer.send_batch(topic, **batch) for _ in range(times)]
    return sum(delivery.result(SECONDS).written for delivery in deliveries)


def main() -> None:
    given = json.loads(sys.argv[1])
    if given["preload"] and given["preload"] not in Path("/proc/self/maps").read_text():
        sys.exit(f"{given['preload']} was not loaded")
    if given["processors"]:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given["processors"]])
    batch, topic, n = columns(), given["topic"], given["producers"]
    producers = [ThroughputProducer(given["settings"]) for _ in range(n)]
    times = max(1, given["batches"] // n)
    with ThreadPoolExecutor(n) as pool:
        written = sum(pool.map(lambda producer: send(producer, topic, batch, 1), producers))
        before = resource.getrusage(resource.RUSAGE_SELF)
        started = time.perf_counter()
        written += sum(pool.map(lambda producer: send(producer, topic, batch, times), producers))
        wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    stats = [producer.stats() for producer in producers]
    rss = psutil.Process().memory_info().rss
    for producer in producers:
        producer.close()
    records = times * n * BATCH
    if written != records + n * BATCH:
        sys.exit(f"{written} of {records + n * BATCH} records were written")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    line = {
        "cpu_ns_per_record": cpu / records * 1e9,
        "records_per_second": records / wall,
        "p50_ms": max(one.latency.percentile(50) for one in stats) * 1e3,
        "rss_mib": rss / 2**20,
        "peak_rss_mib": after.ru_maxrss / 2**10,
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
