"""confluent-kafka's ways to send, as contenders: ``python -m bench.peers.confluent NAME TASK``."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import confluent_kafka
from confluent_kafka import Producer
from confluent_kafka.aio import AIOProducer

from bench.contender import SCHEMA, Result, Task
from bench.peers import ASYNC, AVRO, BATCH, CALLBACK, JSON, PRODUCE
from bench.peers.harness import WINDOW, Row, measured, measured_async, result, versions

if TYPE_CHECKING:
    from collections.abc import Callable

POLL_EVERY = 1_024


def settings(task: Task) -> dict[str, Any]:
    """Return the task's settings, with the window that the throughput lane has."""
    limits = {"queue.buffering.max.messages": WINDOW, "queue.buffering.max.kbytes": 1_048_576}
    return {**task.librdkafka(), **limits}


class Reports:
    """Counts delivery reports; an instance is a callback."""

    def __init__(self) -> None:
        self.written = self.failed = 0

    def __call__(self, error: Any, message: Any) -> None:
        if error is None:
            self.written += 1
        else:
            self.failed += 1


def one_by_one(task: Task, encode: Callable[[Any], bytes] | None = None, *, callback: bool = False) -> Result:
    """Call ``produce()`` for each record and ``poll(0)`` now and then; a full queue is waited for."""
    producer, reports = Producer(settings(task)), Reports()
    produce, poll, topic = producer.produce, producer.poll, task.topic
    extra = {"on_delivery": reports} if callback else {}
    sent = 0

    def send(part: list[Row]) -> None:
        nonlocal sent
        for value, key, partition, timestamp in part:
            data = value if encode is None else encode(value)
            while True:
                try:
                    produce(topic, data, key, partition, timestamp=timestamp, **extra)
                    break
                except BufferError:
                    poll(0.01)
            sent += 1
            if sent % POLL_EVERY == 0:
                poll(0)

    def settle() -> int:
        left = producer.flush(task.timeout)
        return reports.written if callback else sent - left

    measures = measured(task, send, settle)
    packages = {"librdkafka": confluent_kafka.libversion()[0], **versions("confluent-kafka", "fastavro", "orjson")}
    return result(measures, packages, settings(task), *([] if callback else ["acknowledged"]))


def batches(task: Task) -> Result:
    """Call ``produce_batch()`` with ``call`` records at a time, made into its dicts in the timed part.

    It does not look at the partition of a single record: each partition's records are a call of their own.
    """
    producer, reports = Producer(settings(task)), Reports()

    def send(part: list[Row]) -> None:
        for start in range(0, len(part), task.call):
            lists: list[list[dict[str, Any]]] = [[] for _ in range(task.partitions)]
            for value, key, partition, _ in part[start : start + task.call]:
                lists[partition].append({"value": value, "key": key})
            for partition, messages in enumerate(lists):
                enqueue(messages, partition)

    def enqueue(messages: list[dict[str, Any]], partition: int) -> None:
        while messages:
            try:
                producer.produce_batch(task.topic, messages, partition=partition, on_delivery=reports)
            except BufferError:
                producer.poll(0.01)
            messages = [message for message in messages if message.pop("_error", None) is not None]
            producer.poll(0)

    def settle() -> int:
        producer.flush(task.timeout)
        return reports.written

    measures = measured(task, send, settle)
    packages = {"librdkafka": confluent_kafka.libversion()[0], **versions("confluent-kafka")}
    return result(measures, packages, settings(task), "timestamp")


async def aio(task: Task) -> Result:
    """Call ``AIOProducer.produce()``, which buffers, and await the futures of all its records."""
    producer = AIOProducer(settings(task), batch_size=max(1, task.call), buffer_timeout=0.005)
    futures: list[asyncio.Future[Any]] = []
    acknowledged = 0

    async def send(part: list[Row]) -> None:
        for value, key, partition, _ in part:
            futures.append(await producer.produce(task.topic, value=value, key=key, partition=partition))

    async def settle() -> int:
        nonlocal acknowledged
        await producer.flush()
        acknowledged += sum(message.error() is None for message in await asyncio.gather(*futures))
        futures.clear()
        return acknowledged

    measures = await measured_async(task, send, settle)
    await producer.close()
    packages = {"librdkafka": confluent_kafka.libversion()[0], **versions("confluent-kafka")}
    return result(measures, packages, settings(task), "timestamp")


def avro(task: Task) -> Result:
    """Serialize each row with AvroSerializer (its registry a mock in memory) and produce it."""
    import json

    from confluent_kafka.schema_registry import SchemaRegistryClient
    from confluent_kafka.schema_registry.avro import AvroSerializer
    from confluent_kafka.serialization import MessageField, SerializationContext

    registry = SchemaRegistryClient.new_client({"url": "mock://bench"})
    serializer = AvroSerializer(registry, json.dumps(SCHEMA), conf={"auto.register.schemas": True})
    context = SerializationContext(task.topic, MessageField.VALUE)
    return one_by_one(task, lambda row: serializer(row, context), callback=True)


def json_rows(task: Task) -> Result:
    """Serialize each row with orjson and produce it: cheaper than Avro in Python, and not the same bytes."""
    import orjson

    made = one_by_one(task, orjson.dumps, callback=True)
    made.lacks.append("avro")
    return made


RUNS: dict[str, Callable[[Task], Result]] = {
    PRODUCE: one_by_one,
    CALLBACK: lambda task: one_by_one(task, callback=True),
    BATCH: batches,
    ASYNC: lambda task: asyncio.run(aio(task)),
    AVRO: avro,
    JSON: json_rows,
}


if __name__ == "__main__":
    print(RUNS[sys.argv[1]](Task.from_argv()).to_json())
