"""How much memory a long stream takes: ``send_stream()`` of 10^8 rows on each lane, read from a source that makes them.

The source is a RecordBatchReader: it makes a batch when it is asked for one, so what is kept is seen. Rows are encoded
as Avro. The memory is the peak that the kernel counts (VmHWM), beyond what the process had after its first record; the
records are counted in the log before a figure is printed. Embedded cluster, which is a process of its own.
``python -m bench.load.stream --json FILE`` takes about five minutes.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from bench.machine import write
from bench.measure import line_of
from bench.verify import count
from twolane import Avro, SafeProducer, ThroughputProducer
from twolane.testing import EmbeddedCluster

if TYPE_CHECKING:
    from collections.abc import Iterator

    from twolane import StreamSummary

MIB = 2**20
WINDOW_MIB, MORE_MIB = 32, 64
BATCH = 65_536
PARTITIONS = 4
LANES = {"safe": SafeProducer, "throughput": ThroughputProducer}
SCHEMA = {
    "type": "record",
    "name": "Reading",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "reading", "type": "double"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    ],
}
WINDOW = {"queue.buffering.max.kbytes": WINDOW_MIB * 1024, "queue.buffering.max.messages": 100_000}


def batches(rows: int) -> Iterator[pa.RecordBatch]:
    """Yield the rows: a number, a reading, a time."""
    for first in range(0, rows, BATCH):
        index = np.arange(first, min(first + BATCH, rows))
        at = (1_700_000_000_000 + index).astype("M8[ms]")
        yield pa.record_batch({"id": index, "reading": index % 997 / 8, "at": at})


def peak() -> int:
    """Return the most memory that this process had, bytes."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) * 1024


def measure(bootstrap: str, lane: str, rows: int) -> dict[str, Any]:
    """Send all rows with one call."""
    halfway: list[int] = []

    def note(summary: StreamSummary) -> None:
        if not halfway and summary.position * 2 >= rows:
            halfway.append(peak())

    schema = next(batches(1)).schema
    with LANES[lane]({"bootstrap.servers": bootstrap, **(WINDOW if lane == "throughput" else {})}) as producer:
        producer.send_batch("stream", [b"first"], partitions=0)
        producer.flush()
        source = pa.RecordBatchReader.from_batches(schema, batches(rows))
        before, started, used = peak(), time.perf_counter(), time.process_time()
        summary = producer.send_stream("stream", source, serializer=Avro(SCHEMA), progress=note)
        wall, used, most = time.perf_counter() - started, time.process_time() - used, peak()
    return {
        "lane": lane,
        "written": summary.written,
        "memory_before_mib": round(before / MIB, 1),
        "risen_mib": round((most - before) / MIB, 1),
        "risen_in_second_half_mib": round((most - halfway[0]) / MIB, 1),
        "bound_mib": WINDOW_MIB + MORE_MIB,
        "cpu_ns_per_record": round(used / rows * 1e9),
        "records_per_second": round(rows / wall),
    }


def run(lane: str, rows: int) -> dict[str, Any]:
    """Measure one lane in a process of its own, and count its records in the log."""
    with EmbeddedCluster() as cluster:
        cluster.create_topic("stream", partitions=PARTITIONS)
        arguments = ["--run", cluster.bootstrap_servers, lane, "--rows", str(rows)]
        line = line_of(lane, [sys.executable, "-m", "bench.load.stream", *arguments])
        found = count(cluster.bootstrap_servers, "stream", PARTITIONS) - 1
    if not found == line["written"] == rows:
        sys.exit(f"{lane}: {found} records in the log and {line['written']} said to be written, of {rows}: no figures")
    return line


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.load.stream", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000_000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--run", nargs=2, metavar=("BOOTSTRAP", "LANE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run:
        print(json.dumps(measure(*given.run, given.rows)))
        return
    lines = []
    for lane in LANES:
        lines.append(run(lane, given.rows))
        print(lines[-1], flush=True)
    if given.json:
        what = f"bench.load.stream: {given.rows} rows as Avro, window {WINDOW_MIB} MiB, {PARTITIONS} partitions"
        write(given.json, what, cluster="embedded", runs=lines)


if __name__ == "__main__":
    main()
