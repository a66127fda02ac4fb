"""Does a record cost the same whatever there is of it? Cost and memory of the throughput lane over growing amounts.

Three curves, each point in a process of its own on the embedded cluster, rounds in turn, medians: records (10^4 to
10^8), partitions (1 to 1000), bytes of a value (10 B to 100 kB). Beside each point the C loop of ``floor.c`` with the
same settings and window: what grows there too is librdkafka's. Memory is that of the producing process: its peak above
what it had before the first record, against the window and 64 MiB, and what it grew by from the first half of the run
to the second. ``python -m bench.floor.curve --json FILE`` takes about eight minutes.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.floor.__main__ import FLOOR_ONLY, SETTINGS, build
from bench.machine import write
from bench.measure import line_of
from twolane import ThroughputProducer
from twolane.client import library
from twolane.testing import EmbeddedCluster

# One call's records; a point of more sends the same columns again and again.
CALL = 100_000
SIZE, PARTITIONS, RECORDS = 100, 12, 1_000_000
# What takes a few milliseconds is measured until the clock can tell.
STEADY = 300_000
SIZES = (10, 100, 1_000, 10_000, 100_000)
BYTES_OF_A_SIZE = 300_000_000
WINDOW_RECORDS, WINDOW_MIB = 100_000, 64
WINDOW = {"queue.buffering.max.messages": WINDOW_RECORDS, "queue.buffering.max.kbytes": WINDOW_MIB * 1024}
ALLOWED_MIB = WINDOW_MIB + 64
FLAT = 1.10
PAGE_MIB = resource.getpagesize() / 2**20


def resident() -> float:
    """Return this process's resident memory in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_MIB


def measure(bootstrap: str, records: int, partitions: int, size: int) -> dict[str, float]:
    """Send so many records, and say what one cost and what memory it took; few of them again and again."""
    times = max(1, min(STEADY // records, BYTES_OF_A_SIZE // (records * size)))
    call = min(records, CALL, max(1, BYTES_OF_A_SIZE // 4 // size))
    columns: dict[str, Any] = {
        "values": np.frombuffer(np.random.default_rng(7).bytes(call * size), dtype=f"V{size}"),
        "partitions": (np.arange(call) % partitions).astype(np.int32),
        "keys": b"key-0000",
        "timestamps": np.full(call, 1_700_000_000_000, dtype=np.int64),
    }
    with ThroughputProducer({"bootstrap.servers": bootstrap, **WINDOW}) as producer:
        # Connections and buffers first: a record per partition.
        every = np.arange(partitions, dtype=np.int32)
        producer.send_batch("curve", [b""] * partitions, partitions=every).result(120)
        before, halfway, sent, total = resident(), 0.0, 0, records * times
        usage, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        for _ in range(times):
            deliveries = []
            for at in range(0, records, call):
                n = min(call, records - at)
                part = {key: value[:n] if isinstance(value, np.ndarray) else value for key, value in columns.items()}
                deliveries.append(producer.send_batch("curve", **part))
                sent += n
                if len(deliveries) > 1:
                    deliveries.pop(0).result(120)
                if not halfway and sent >= total // 2:
                    halfway = resident()
            for delivery in deliveries:
                delivery.result(120)
        wall, end = time.perf_counter() - started, resident()
        now = resource.getrusage(resource.RUSAGE_SELF)
        written = producer.stats().written - partitions
    if written != total:
        sys.exit(f"{written} of {total} records were written")
    cpu = now.ru_utime + now.ru_stime - usage.ru_utime - usage.ru_stime
    return {
        "cpu_ns_per_record": cpu / total * 1e9,
        "cpu_ns_per_kilobyte": cpu / (total * size) * 1e12,
        "records_per_second": total / wall,
        "peak_mib": now.ru_maxrss / 1024 - before,
        "growth_mib": end - halfway,
    }


def points(most: int) -> list[tuple[str, int, int, int]]:
    """Return (curve, records, partitions, size) of every point."""
    by_records = [10**power for power in range(4, 9) if 10**power <= most]
    return [
        *(("records", n, PARTITIONS, SIZE) for n in by_records),
        *(("partitions", min(most, RECORDS), n, SIZE) for n in (1, 10, 100, 1_000)),
        *(("size", min(most, RECORDS, BYTES_OF_A_SIZE // n), PARTITIONS, n) for n in SIZES),
    ]


def run(floor: Path, records: int, partitions: int, size: int) -> dict[str, float]:
    """Measure one point: the lane and the C loop, each in a process of its own."""
    settings = {**SETTINGS, **FLOOR_ONLY, **WINDOW}
    with EmbeddedCluster(brokers=3) as cluster:
        cluster.create_topic("curve", partitions=partitions)
        bootstrap = cluster.bootstrap_servers
        ours = (sys.executable, "-m", "bench.floor.curve", "--point", bootstrap, records, partitions, size)
        line = finished(*ours)
        loop = (floor, library.PATH, bootstrap, "curve", partitions, records, size, "pipeline")
        ground = finished(*loop, *(f"{key}={value}" for key, value in settings.items()))
    floor_ns = ground["cpu"] / ground["records"] * 1e9
    return {**line, "floor_cpu_ns_per_record": floor_ns, "cpu_to_floor": line["cpu_ns_per_record"] / floor_ns}


def finished(*words: object) -> dict[str, float]:
    """Run a contender to its end; return its line."""
    command = [str(word) for word in words]
    return line_of(" ".join(command), command)


def spread(rows: list[dict[str, Any]], curve: str, column: str) -> float:
    """Return how much more a record of the dearest point costs than one of the cheapest."""
    costs = [row[column] for row in rows if row["curve"] == curve]
    return max(costs) / min(costs)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.floor.curve", description=__doc__)
    parser.add_argument("--records", type=int, default=10**8, metavar="N", help="of the longest run (default: 10^8)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--curves", nargs="+", choices=("records", "partitions", "size"), help="default: all of them")
    parser.add_argument("--json", type=Path)
    parser.add_argument(
        "--point", nargs=4, metavar=("BOOTSTRAP", "RECORDS", "PARTITIONS", "SIZE"), help=argparse.SUPPRESS
    )
    given = parser.parse_args()
    if given.point:
        bootstrap, *numbers = given.point
        print(json.dumps(measure(bootstrap, *map(int, numbers))))
        return
    floor = build(Path("build/bench"))
    wanted = [point for point in points(given.records) if point[0] in (given.curves or point)]
    lines: list[list[dict[str, float]]] = [[] for _ in wanted]
    for round_ in range(given.rounds):
        for at, (_, records, partitions, size) in enumerate(wanted):
            if round_ and records > RECORDS:
                continue  # the long ones are steady
            lines[at].append(run(floor, records, partitions, size))
    rows = []
    for (curve, records, partitions, size), measured in zip(wanted, lines, strict=True):
        middle = {key: round(statistics.median(line[key] for line in measured), 3) for key in measured[0]}
        rows.append({"curve": curve, "records": records, "partitions": partitions, "size": size, **middle})
        print(rows[-1], flush=True)
    for curve in sorted({row["curve"] for row in rows} - {"size"}):
        ours, loops = (spread(rows, curve, column) for column in ("cpu_ns_per_record", "floor_cpu_ns_per_record"))
        print(f"over {curve}: the dearest {ours:.2f} times the cheapest (flat: {FLAT}), in the C loop {loops:.2f}")
    over = [row for row in rows if row["peak_mib"] > ALLOWED_MIB]
    print(f"memory: {len(over)} points above the window and 64 MiB ({ALLOWED_MIB} MiB)")
    if given.json:
        what = f"bench.floor.curve: window {WINDOW_RECORDS} records, {WINDOW_MIB} MiB; {given.rounds} rounds, medians"
        write(given.json, what, cluster="embedded", runs=rows)


if __name__ == "__main__":
    main()
