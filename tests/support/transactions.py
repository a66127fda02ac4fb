"""What transactions of either lane are tested with: what is committed, and offsets that are committed with records."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Consumer, TopicPartition

from tests.support.readers import read_all

if TYPE_CHECKING:
    from twolane import SafeProducer, ThroughputProducer
    from twolane.testing import KafkaCluster


def values(cluster: KafkaCluster, name: str, expected: int = 0) -> list[bytes | None]:
    """Read what is committed; the coordinator writes its markers after it answered, so `expected` are waited for."""
    return [record.value for record in read_all(cluster.bootstrap_servers, name, expected=expected)]


def check_offsets_with_records(
    cluster: KafkaCluster, producer: SafeProducer | ThroughputProducer, source: str, target: str
) -> None:
    """Send the 20 records of `source` to `target` in a transaction with their offsets: aborted, and then committed."""
    consumer = Consumer(
        {
            "bootstrap.servers": cluster.bootstrap_servers,
            "group.id": source,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    try:
        consumer.subscribe([source])
        read = []
        while len(read) < 20:
            read += [message.value() for message in consumer.consume(20, 1.0) if not message.error()]
        with pytest.raises(ZeroDivisionError), producer.transaction():
            producer.send_batch(target, read)
            producer.send_offsets_to_transaction(
                consumer.position(consumer.assignment()), consumer.consumer_group_metadata()
            )
            raise ZeroDivisionError
        assert consumer.committed([TopicPartition(source, 0)], timeout=10)[0].offset < 0
        with producer.transaction():
            producer.send_batch(target, read)
            producer.send_offsets_to_transaction(
                consumer.position(consumer.assignment()), consumer.consumer_group_metadata()
            )
        assert consumer.committed([TopicPartition(source, 0)], timeout=10)[0].offset == 20
    finally:
        consumer.close()
    assert values(cluster, target, 20) == read
