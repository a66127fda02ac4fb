"""The clients written in Python, as contenders: ``python -m bench.peers.pure NAME TASK``."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

from bench.contender import Result, Task
from bench.peers import AIOKAFKA, KAFKA_PYTHON
from bench.peers.harness import Row, measured, measured_async, refuse_properties, result, versions

if TYPE_CHECKING:
    from collections.abc import Callable

# Answers awaited at once; without a bound a client that is slower than the loop holds every record of the run.
PENDING = 50_000


def _acks(task: Task) -> int | str:
    return "all" if task.acks == "all" else int(task.acks)


def _compression(task: Task) -> str | None:
    return None if task.compression == "none" else task.compression


async def aio(task: Task) -> Result:
    """Call ``AIOKafkaProducer.send()`` and await the futures of what it returned."""
    from aiokafka import AIOKafkaProducer

    settings: dict[str, Any] = {
        "acks": _acks(task),
        "enable_idempotence": task.idempotence,
        "linger_ms": task.linger_ms,
        "max_batch_size": task.batch_bytes,
        "max_request_size": max(1_048_576, task.batch_bytes),
        "compression_type": _compression(task),
    }
    producer = AIOKafkaProducer(bootstrap_servers=task.bootstrap_servers, **settings)
    await producer.start()
    futures: list[asyncio.Future[Any]] = []
    acknowledged = 0

    async def send(part: list[Row]) -> None:
        for value, key, partition, timestamp in part:
            futures.append(await producer.send(task.topic, value, key=key, partition=partition, timestamp_ms=timestamp))
            if len(futures) >= PENDING:
                await settle()

    async def settle() -> int:
        nonlocal acknowledged
        if futures:
            await asyncio.wait(futures)
        acknowledged += sum(future.exception() is None for future in futures)
        futures.clear()
        return acknowledged

    try:
        measures = await measured_async(task, send, settle)
    finally:
        await producer.stop()
    return result(measures, versions("aiokafka"), settings)


def blocking(task: Task) -> Result:
    """Call ``KafkaProducer.send()`` and ``flush()``, and count the futures that succeeded."""
    from kafka import KafkaProducer

    settings: dict[str, Any] = {
        "acks": _acks(task),
        "enable_idempotence": task.idempotence,
        "linger_ms": task.linger_ms,
        "batch_size": task.batch_bytes,
        "max_request_size": max(1_048_576, task.batch_bytes),
        "compression_type": _compression(task),
    }
    if task.in_flight is not None:
        settings["max_in_flight_requests_per_connection"] = task.in_flight
    producer = KafkaProducer(bootstrap_servers=task.bootstrap_servers, **settings)
    futures: list[Any] = []
    acknowledged = 0

    def send(part: list[Row]) -> None:
        for value, key, partition, timestamp in part:
            futures.append(producer.send(task.topic, value=value, key=key, partition=partition, timestamp_ms=timestamp))
            if len(futures) >= PENDING:
                settle()

    def settle() -> int:
        nonlocal acknowledged
        producer.flush(task.timeout)
        acknowledged += sum(future.succeeded() for future in futures)
        futures.clear()
        return acknowledged

    try:
        measures = measured(task, send, settle)
    finally:
        producer.close(timeout=5)
    return result(measures, versions("kafka-python"), settings)


RUNS: dict[str, Callable[[Task], Result]] = {AIOKAFKA: lambda task: asyncio.run(aio(task)), KAFKA_PYTHON: blocking}


if __name__ == "__main__":
    asked = Task.from_argv()
    refuse_properties(asked)
    print(RUNS[sys.argv[1]](asked).to_json())
