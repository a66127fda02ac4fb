"""Transactions a second: producers of one process that each commit again and again."""

from __future__ import annotations

import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from bench.verify import UnverifiedError
from twolane import SafeProducer

if TYPE_CHECKING:
    from bench.scaling.brokers import Brokers

PARTITIONS = 12


def measure(brokers: Brokers, producers: int, seconds: float) -> dict[str, Any]:
    """Measure committed transactions of one record each, and check that the records are there."""
    topic = brokers.topic(PARTITIONS)
    before = brokers.count(topic, PARTITIONS)
    name = uuid.uuid4().hex[:6]
    made = [
        SafeProducer({"bootstrap.servers": brokers.bootstrap, "transactional.id": f"scaling-{name}-{n}"})
        for n in range(producers)
    ]
    barrier = threading.Barrier(producers + 1)

    def commit(number: int) -> int:
        producer, n = made[number], 0
        producer.init_transactions()
        _once(producer, topic, number)
        barrier.wait(120)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            _once(producer, topic, number)
            n += 1
        return n

    row: dict[str, Any] = {"producers": producers}
    with ThreadPoolExecutor(producers) as pool:
        counts = [pool.submit(commit, n) for n in range(producers)]
        barrier.wait(120)
        started, cpu = time.perf_counter(), time.process_time()
        with brokers.metered(row):
            n = sum(count.result(120) for count in counts)
        wall, cpu = time.perf_counter() - started, time.process_time() - cpu
    for producer in made:
        producer.close()
    # Each commit leaves a marker in the partition, which takes an offset as a record does, and may come later.
    expected = 2 * (n + producers)
    found = brokers.count(topic, PARTITIONS, before + expected) - before
    if found != expected:
        raise UnverifiedError(f"{n + producers} transactions committed, {found} records and markers in the log")
    row |= {
        "transactions": n,
        "per_second": round(n / wall, 1),
        "ms_each": round(wall * producers / n * 1e3, 2),
        "client_cpu_us": round(cpu / n * 1e6, 1),
        "broker_cpu_us": round(row.pop("broker_cpu_s") / n * 1e6, 1),
    }
    print(row, flush=True)
    return row


def _once(producer: SafeProducer, topic: str, number: int) -> None:
    with producer.transaction():
        producer.send(topic, b"v" * 100, partition=number % PARTITIONS)
