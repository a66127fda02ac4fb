"""Independent readers: what is in the log, according to confluent-kafka's consumer."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from confluent_kafka import Message


class ReadRecord(NamedTuple):
    """One record as it is in the log; `timestamp` is (type: 1 CreateTime, 2 LogAppendTime; milliseconds)."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    timestamp: tuple[int, int]


def _consumer(bootstrap: str, isolation_level: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"reader-{uuid.uuid4().hex}",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "isolation.level": isolation_level,
            # The mock answers one batch a fetch and lets an empty fetch wait its full time.
            "fetch.wait.max.ms": 20,
            "fetch.error.backoff.ms": 20,
            "reconnect.backoff.ms": 20,
            "reconnect.backoff.max.ms": 200,
            "log_level": 0,
        }
    )


def _partitions(consumer: Consumer, topic: str, timeout: float) -> list[int]:
    metadata = consumer.list_topics(topic, timeout).topics[topic]
    if metadata.error is not None:
        raise KafkaException(metadata.error)
    return sorted(metadata.partitions)


def _record(message: Message) -> ReadRecord:
    return ReadRecord(
        message.partition(),
        message.offset(),
        message.key(),
        message.value(),
        message.headers() or [],
        message.timestamp(),
    )


def read_all(
    bootstrap: str,
    topic: str,
    partitions: Iterable[int] | None = None,
    expected: int | None = None,
    timeout: float = PATIENCE,
    isolation_level: str = "read_committed",
) -> list[ReadRecord]:
    """Read a topic from its beginning to the end of every partition; records by partition, then offset.

    With `expected` it goes on until that many have come, and then still reads to the ends: one record too many is found
    too. `timeout` is in seconds; `TimeoutError` says how many records came.
    """
    deadline = time.monotonic() + timeout
    consumer = _consumer(bootstrap, isolation_level)
    records: list[ReadRecord] = []
    at_end: set[int] = set()
    try:
        wanted = set(_partitions(consumer, topic, timeout) if partitions is None else partitions)
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in sorted(wanted)])
        while at_end != wanted or len(records) < (expected or 0):
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{len(records)} records of {topic!r} came within {timeout} s, "
                    f"{'any number' if expected is None else expected} expected; "
                    f"end reached in partitions {sorted(at_end)} of {sorted(wanted)}"
                )
            for message in consumer.consume(10_000, 0.05):
                error = message.error()
                if error is None:
                    records.append(_record(message))
                    at_end.discard(message.partition())
                elif error.code() == KafkaError._PARTITION_EOF:
                    at_end.add(message.partition())
                elif not error.retriable():
                    raise KafkaException(error)
    finally:
        consumer.close()
    return sorted(records, key=lambda record: (record.partition, record.offset))


def read_values(bootstrap: str, topic: str, partition: int = 0, timeout: float = 20.0) -> list[bytes | None]:
    """Return the values of one partition, in the order of the log."""
    return [record.value for record in read_all(bootstrap, topic, [partition], timeout=timeout)]
