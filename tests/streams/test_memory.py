"""A stream takes the memory of its window, however long it is."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from twolane.testing import EmbeddedCluster

MIB = 2**20
WINDOW_MIB = 32
# What a stream may take beyond its window. Rows that were kept would be 260 MiB.
MORE_MIB = 64

PROGRAM = """
import json, sys
import pyarrow as pa
from twolane import Json, SafeProducer, ThroughputProducer

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024

def reader(n, rows=8_192):  # small batches: a source's own memory is not what is measured
    schema = pa.schema([("id", pa.int64()), ("name", pa.string())])
    batches = (
        pa.record_batch({"id": pa.array(range(at, min(n, at + rows))),
                         "name": pa.array(["some text of a row"] * (min(n, at + rows) - at))}, schema=schema)
        for at in range(0, n, rows)
    )
    return pa.RecordBatchReader.from_batches(schema, batches)

servers, lane, n, window = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
settings = {"bootstrap.servers": servers}
if lane == "throughput":
    settings["queue.buffering.max.kbytes"] = window // 1024
    settings["queue.buffering.max.messages"] = 100_000
with (SafeProducer if lane == "safe" else ThroughputProducer)(settings) as producer:
    producer.send_batch("t", [b"first"])
    producer.flush()
    before = peak()
    summary = producer.send_stream("t", reader(n), serializer=Json(), keys="name")
    print(json.dumps([summary.written, peak() - before]))
"""


def measured(cluster: EmbeddedCluster, lane: str, n: int) -> tuple[int, int]:
    """Return how many were written, and by how much the peak of the memory rose."""
    arguments = [cluster.bootstrap_servers, lane, str(n), str(WINDOW_MIB * MIB)]
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True)
    written, risen = json.loads(done.stdout)
    return written, risen


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(
    ("lane", "n"),
    [
        ("safe", 300_000),
        ("throughput", 600_000),
        pytest.param("safe", 10_000_000, marks=pytest.mark.long),
        pytest.param("throughput", 10_000_000, marks=pytest.mark.long),
    ],
)
def test_memory_is_the_windows(embedded_cluster: EmbeddedCluster, lane: str, n: int) -> None:
    written, risen = measured(embedded_cluster, lane, n)
    assert written == n
    assert risen <= (WINDOW_MIB + MORE_MIB) * MIB
