"""One run of a lane in a process of its own: the same records and the same JSON line as ``floor.c``."""

from __future__ import annotations

import json
import statistics
import sys
import time
from typing import Any

import numpy as np
from confluent_kafka import Producer

from twolane import SafeProducer, ThroughputProducer

KEY = b"key-0000"


def batch(producer: Any, topic: str, columns: dict[str, Any]) -> int:
    delivery = producer.send_batch(topic, **columns)
    metadata = delivery.result(timeout=120) if hasattr(delivery, "result") else delivery
    return int(metadata.written)


def one_by_one(producer: ThroughputProducer, topic: str, columns: dict[str, Any]) -> int:
    send = producer.send
    before = producer.stats().written
    for value, partition, timestamp in zip(
        columns["values"], columns["partitions"].tolist(), columns["timestamps"].tolist(), strict=True
    ):
        send(topic, value, key=KEY, partition=partition, timestamp=timestamp)
    producer.flush(120)
    return producer.stats().written - before


def with_callback(producer: ThroughputProducer, topic: str, columns: dict[str, Any]) -> int:
    send = producer.send
    written = 0

    def on_delivery(err: Any, metadata: Any) -> None:
        nonlocal written
        written += err is None

    for value, partition, timestamp in zip(
        columns["values"], columns["partitions"].tolist(), columns["timestamps"].tolist(), strict=True
    ):
        send(topic, value, key=KEY, partition=partition, timestamp=timestamp, on_delivery=on_delivery)
    producer.flush(120)
    return written


def confluent(config: dict[str, str], topic: str, columns: dict[str, Any], callback: bool) -> dict[str, Any]:
    """Run confluent-kafka's own loop: ``produce()``, ``poll(0)`` every thousand records, ``poll`` in a full queue."""
    producer = Producer({**config, "queue.buffering.max.messages": 500_000, "queue.buffering.max.kbytes": 1_048_576})
    written = 0

    def on_delivery(err: Any, message: Any) -> None:
        nonlocal written
        written += err is None

    extra = {"on_delivery": on_delivery} if callback else {}
    produce, poll = producer.produce, producer.poll
    partitions = sorted(set(columns["partitions"].tolist()))
    for partition in partitions:
        produce(topic, columns["values"][0], partition=partition)
    producer.flush(10)
    wall, cpu = time.perf_counter(), time.process_time()
    n = 0
    for value, partition, timestamp in zip(
        columns["values"], columns["partitions"].tolist(), columns["timestamps"].tolist(), strict=True
    ):
        while True:
            try:
                produce(topic, value, key=KEY, partition=partition, timestamp=timestamp, **extra)
                break
            except BufferError:
                poll(0.01)
        n += 1
        if not n & 1023:
            poll(0)
    left = producer.flush(120)
    cpu = time.process_time() - cpu
    wall = time.perf_counter() - wall
    records = written if callback else n - left
    return {"records": records, "failed": n - records, "wall": wall, "cpu": cpu}


def waiting(producer: SafeProducer, topic: str, columns: dict[str, Any], latencies: list[float]) -> int:
    send = producer.send
    for value, partition, timestamp in zip(
        columns["values"], columns["partitions"].tolist(), columns["timestamps"].tolist(), strict=True
    ):
        started = time.perf_counter()
        send(topic, value, key=KEY, partition=partition, timestamp=timestamp)
        latencies.append(time.perf_counter() - started)
    return len(latencies)


def main() -> None:
    how, bootstrap, topic, partitions, records, size, *settings = sys.argv[1:]
    n = int(records)
    value = bytes((i * 31 + 7) & 255 for i in range(int(size)))
    columns = {
        "values": [value] * n,
        "keys": KEY,
        "partitions": (np.arange(n) % int(partitions)).astype(np.int32),
        "timestamps": np.arange(n, dtype=np.int64) + int(time.time() * 1000),
    }
    latencies: list[float] = []
    lane = SafeProducer if how.startswith("Safe") else ThroughputProducer
    config = {"bootstrap.servers": bootstrap, **dict(setting.split("=", 1) for setting in settings)}
    if how.startswith("confluent"):
        print(json.dumps(confluent(config, topic, columns, callback=how.endswith("callback"))))
        return
    with lane(config) as producer:
        # One record per partition first: connecting is not what is measured.
        batch(producer, topic, {"values": [value] * int(partitions), "partitions": list(range(int(partitions)))})
        wall, cpu = time.perf_counter(), time.process_time()
        if how == "ThroughputProducer.send":
            acknowledged = one_by_one(producer, topic, columns)
        elif how == "ThroughputProducer.send, callback":
            acknowledged = with_callback(producer, topic, columns)
        elif how == "SafeProducer.send":
            acknowledged = waiting(producer, topic, columns, latencies)
        else:
            acknowledged = batch(producer, topic, columns)
        cpu = time.process_time() - cpu
        wall = time.perf_counter() - wall
    line = {"records": acknowledged, "failed": n - acknowledged, "wall": wall, "cpu": cpu}
    if latencies:
        line["p50"] = statistics.median(latencies)
    print(json.dumps(line))


if __name__ == "__main__":
    main()
