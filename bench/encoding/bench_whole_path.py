"""From an Arrow table to acknowledged records: the throughput lane against arrow-kafka-pyo3, in CPU time.

``python -m bench.encoding.bench_whole_path``. Cluster and registry are other processes; the clock is the
CPU time of all threads of this one.
"""

from __future__ import annotations

import atexit
import io
import json
import multiprocessing
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import fastavro

from bench.encoding._cases import run
from bench.encoding._data import FIVE, five_rows, five_table
from tests.support.readers import read_all
from twolane import Avro, ThroughputProducer, Timestamps
from twolane.testing import EmbeddedCluster

N = 100_000
FEW = 1000


class Registry(BaseHTTPRequestHandler):
    """As much of a Schema Registry as arrow-kafka-pyo3 asks for: every schema has the id 1."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        answer = json.dumps({"id": 1}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


def _serve(port: Any) -> None:
    server = HTTPServer(("127.0.0.1", 0), Registry)
    port.send(server.server_port)
    server.serve_forever()


def registry() -> str:
    """Start the registry in a process of its own, which ends with this one; return its URL."""
    ours, theirs = multiprocessing.Pipe()
    multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True).start()
    return f"http://127.0.0.1:{ours.recv()}"


def started() -> EmbeddedCluster:
    cluster = EmbeddedCluster(brokers=1)
    atexit.register(cluster.close)  # and kept alive until then
    cluster.create_topic("whole", partitions=4)
    return cluster


def check(cluster: EmbeddedCluster, send: Any) -> None:
    """Send a few, read them back and compare them with what fastavro reads."""
    send(five_table(FEW))
    log = [record.value for record in read_all(cluster.bootstrap_servers, "whole")]
    got = [fastavro.schemaless_reader(io.BytesIO(value[5:]), FIVE) for value in log]
    for row in got:
        row["ts"] = round(row["ts"].timestamp() * 1000)
    assert sorted(got, key=lambda row: row["id"]) == five_rows(FEW)


def twolane() -> Any:
    cluster = started()
    producer = ThroughputProducer(bootstrap_servers=cluster.bootstrap_servers)
    avro, table = Avro(FIVE, schema_id=1), five_table(N)

    def send(values: Any) -> None:
        producer.send_batch(
            "whole", values, keys="sensor", timestamps=Timestamps("ts", naive="utc"), serializer=avro
        ).result(60)

    check(cluster, send)
    return lambda: send(table)


def arrow_kafka() -> Any:
    from arrow_kafka_pyo3 import ArrowKafkaSink

    cluster = started()
    sink = ArrowKafkaSink(
        kafka_servers=cluster.bootstrap_servers, schema_registry_url=registry(), linger_ms=5, acks="all",
        enable_idempotence=False, compression_type="none",
    )  # fmt: skip
    table = five_table(N)

    def send(values: Any) -> None:
        sink.consume_arrow(table=values, topic="whole", key_cols=["sensor"])
        sink.flush(timeout_ms=60_000)

    # Its timestamps are longs without a logical type, and fields are nullable: the count has to do.
    send(five_table(FEW))
    assert len(read_all(cluster.bootstrap_servers, "whole")) == FEW
    return lambda: send(table)


CASES = {"whole_path5_twolane_cpu": twolane, "whole_path5_arrow_kafka_cpu": arrow_kafka}

if __name__ == "__main__":
    run(CASES, N)
