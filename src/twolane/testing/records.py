"""Records as a test reads them back: of a cluster, by confluent-kafka's consumer, or of a FakeProducer."""

from __future__ import annotations

import time
import uuid
from typing import Any, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from twolane.testing.errors import ClusterError


class LoggedRecord(NamedTuple):
    """One record of a topic.

    Attributes
    ----------
    topic : str
    partition, offset : int
    key, value : bytes or None
    headers : list of (str, bytes or None)
    timestamp : int
        Milliseconds since the epoch: the time that was sent, also on the embedded cluster, whose delivery reports say
        1234 instead.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    timestamp: int


def read_records(bootstrap_servers: str, topic: str, timeout: float = 20.0) -> list[LoggedRecord]:
    """Read a topic from its beginning to the end that it has now; committed records only, by partition and offset.

    Raises
    ------
    ClusterError
        The topic does not exist, or its end was not reached within `timeout` seconds.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": f"twolane-testing-{uuid.uuid4().hex}",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            # The mock brokers answer one batch a fetch, and let an empty fetch wait its full time.
            "fetch.wait.max.ms": 20,
            "log_level": 0,
        }
    )
    try:
        return sorted(_all(consumer, topic, time.monotonic() + timeout), key=lambda one: (one.partition, one.offset))
    except KafkaException as error:
        raise ClusterError(f"topic {topic!r}: {error.args[0].str()}", code=error.args[0].code()) from error
    finally:
        consumer.close()


def _all(consumer: Any, topic: str, deadline: float) -> list[LoggedRecord]:
    metadata = consumer.list_topics(topic, max(0.1, deadline - time.monotonic())).topics[topic]
    if metadata.error is not None:
        raise KafkaException(metadata.error)
    waiting = set(metadata.partitions)
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in sorted(waiting)])
    found = []
    while waiting:
        if time.monotonic() > deadline:
            raise ClusterError(f"topic {topic!r}: the ends of partitions {sorted(waiting)} were not reached in time")
        for message in consumer.consume(10_000, 0.05):
            error = message.error()
            if error is None:
                found.append(
                    LoggedRecord(
                        topic,
                        message.partition(),
                        message.offset(),
                        message.key(),
                        message.value(),
                        message.headers() or [],
                        message.timestamp()[1],
                    )
                )
            elif error.code() == KafkaError._PARTITION_EOF:
                waiting.discard(message.partition())
            elif not error.retriable():
                raise KafkaException(error)
    return found
