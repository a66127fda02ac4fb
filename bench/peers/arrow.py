"""arrow-kafka-pyo3 as a contender: Arrow columns to Avro to Kafka in Rust, ``python -m bench.peers.arrow TASK``.

It takes neither times nor partitions for its records, and its key is text of columns that are in the value too: here
the sensor. It wants a schema registry over HTTP: one that says 1 to everything runs in a thread and is asked
once, before the clocks start.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pyarrow as pa
from arrow_kafka_pyo3 import ArrowKafkaSink

from bench.contender import Clock, Result, Task, reading
from bench.peers.harness import refuse_properties, result, versions

SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        pa.field("sensor", pa.string(), nullable=False),
        pa.field("temp", pa.float64(), nullable=False),
        pa.field("flag", pa.bool_(), nullable=False),
        pa.field("ts", pa.timestamp("ms", tz="UTC"), nullable=False),
    ]
)


class Registry(BaseHTTPRequestHandler):
    """Whatever is asked, the schema's id is 1."""

    schema = ""

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        self.__class__.schema = json.loads(self.rfile.read(length))["schema"]
        self.do_GET()

    def do_GET(self) -> None:
        body = json.dumps({"id": 1, "version": 1, "subject": "bench", "schema": self.schema}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


def table(first: int, count: int, first_timestamp: int) -> pa.Table:
    """Return readings as an Arrow table."""
    rows = [reading(i, first_timestamp) for i in range(first, first + count)]
    return pa.table({name: [row[name] for row in rows] for name in SCHEMA.names}, schema=SCHEMA)


def run(task: Task, registry: str) -> Result:
    """Send the readings in tables of ``call`` rows."""
    settings: dict[str, Any] = {
        "acks": task.acks,
        "enable_idempotence": task.idempotence,
        "linger_ms": round(task.linger_ms),
        "batch_size": task.batch_bytes,
        "compression_type": task.compression,
    }
    if task.in_flight is not None:
        settings["max_in_flight"] = task.in_flight
    sink = ArrowKafkaSink(task.bootstrap_servers, registry, **settings)
    everything = table(0, task.warmup + task.records, task.first_timestamp)
    wait_ms = round(task.timeout * 1000)
    keys = ["sensor"] if task.keys else None
    if task.warmup:
        sink.consume_arrow(everything.slice(0, task.warmup), task.topic, key_cols=keys, timeout_ms=wait_ms)
        sink.flush(wait_ms)
    parts = [everything.slice(start, task.call) for start in range(task.warmup, everything.num_rows, task.call)]
    before = sink.stats().enqueued_total
    clock = Clock()
    for part in parts:
        sink.consume_arrow(part, task.topic, key_cols=keys, timeout_ms=wait_ms)
    sink.flush(wait_ms)
    times = clock.stop()
    enqueued = sink.stats().enqueued_total - before
    measures = {"records": enqueued, "failed": task.records - enqueued, **times}
    # flush() returns when everything was reported, of whatever kind the reports were.
    lacks = ("key", "timestamp", "partition", "acknowledged")
    return result(measures, versions("arrow-kafka-pyo3", "pyarrow"), settings, *lacks)


def main() -> None:
    task = Task.from_argv()
    refuse_properties(task)
    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as registry:
        threading.Thread(target=registry.serve_forever, daemon=True).start()
        print(run(task, f"http://127.0.0.1:{registry.server_port}").to_json())
        registry.shutdown()


if __name__ == "__main__":
    main()
