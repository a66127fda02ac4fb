"""Three readers that are not ours: confluent-kafka's consumer, Kafka's DumpLogSegments, and its console consumer."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from faults.records import HEADER, LOGGED, logged

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from twolane.testing.cluster import BrokerCluster

AT_ONCE = 100_000
TYPES = {"CreateTime": 1, "LogAppendTime": 2}
WHERE = ("partition", "offset", "timestamp", "timestamp_type", "producer", "epoch", "sequence")


def read_log(bootstrap: str, topic: str, isolation: str = "read_uncommitted", timeout: float = 60.0) -> NDArray[Any]:
    """Read a topic to the ends that its partitions have now, with confluent-kafka's consumer.

    Returns
    -------
    ndarray of LOGGED
        By partition, then offset.

    Raises
    ------
    TimeoutError
        Not all ends were reached in time.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"faults-{uuid.uuid4().hex}",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "isolation.level": isolation,
            "check.crcs": True,
            # An empty fetch of the embedded cluster waits its full time.
            "fetch.wait.max.ms": 20,
            "queued.min.messages": 1_000_000,
            "log_level": 0,
        }
    )
    try:
        return _read_to_ends(consumer, topic, time.monotonic() + timeout)
    finally:
        consumer.close()


def _read_to_ends(consumer: Any, topic: str, deadline: float) -> NDArray[Any]:
    metadata = consumer.list_topics(topic, max(1.0, deadline - time.monotonic())).topics[topic]
    if metadata.error is not None:
        raise KafkaException(metadata.error)
    waiting = set(metadata.partitions)
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in sorted(waiting)])
    parts = [np.empty(0, LOGGED)]
    while waiting:
        if time.monotonic() > deadline:
            raise TimeoutError(f"topic {topic!r}: the ends of partitions {sorted(waiting)} were not reached in time")
        messages = consumer.consume(AT_ONCE, 0.1)
        found = []
        for message in messages:
            error = message.error()
            if error is None:
                found.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                waiting.discard(message.partition())
            elif not error.retriable():
                raise KafkaException(error)
        if found:
            parts.append(_of_messages(found))
    return _sorted(np.concatenate(parts))


def _of_messages(messages: list[Any]) -> NDArray[Any]:
    times = [message.timestamp() for message in messages]
    return logged(
        [message.partition() for message in messages],
        [message.offset() for message in messages],
        [at for _, at in times],
        [kind for kind, _ in times],
        [message.value() for message in messages],
        [message.key() for message in messages],
        [dict(message.headers() or ()).get(HEADER) for message in messages],
    )


def dump_log(cluster: BrokerCluster, topic: str, partition: int) -> NDArray[Any]:
    """Read the files of a partition's leader with Kafka's DumpLogSegments; about 2 s."""
    found = cluster.dump_log(topic, partition)
    return logged(
        partition,
        [one.offset for one in found],
        [one.timestamp for one in found],
        [TYPES[one.timestamp_type] for one in found],
        [_bytes(one.value) for one in found],
        [_bytes(one.key) for one in found],
    )


def console(cluster: BrokerCluster, topic: str, count: int, timeout: float = 60.0) -> NDArray[Any]:
    """Read the first `count` records with Kafka's console consumer, a Java client; about 3 s."""
    found = cluster.console_consume(topic, count, timeout)
    return _sorted(
        logged(
            [one.partition for one in found],
            [one.offset for one in found],
            [one.timestamp for one in found],
            [TYPES[one.timestamp_type] for one in found],
            [_bytes(one.value) for one in found],
            [_bytes(one.key) for one in found],
            [_bytes(dict(_pairs(one.headers)).get(HEADER)) for one in found],
        )
    )


def _sorted(log: NDArray[Any]) -> NDArray[Any]:
    return log[np.lexsort((log["offset"], log["partition"]))]


def disagreement(one: NDArray[Any], other: NDArray[Any]) -> str:
    """Return in what two readers' logs differ, "" where they have the same records at the same places."""
    if len(one) != len(other):
        return f"{len(one)} records and {len(other)}"
    for name in WHERE:
        differs = np.flatnonzero(one[name] != other[name])
        if len(differs):
            return f"{len(differs)} records differ in {name}, first {one[differs[0]]} and {other[differs[0]]}"
    return ""


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode(errors="replace")


def _pairs(headers: str) -> list[tuple[str, str]]:
    return [(name, value) for name, _, value in (one.partition(":") for one in headers.split(",") if one)]
