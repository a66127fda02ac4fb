"""A few records through both lanes and back by confluent-kafka's consumer: ``python -m tests.packaging.round_trip``.

With ``--kafka`` on three real brokers, else on the embedded cluster.
"""

from __future__ import annotations

import sys
import time

import confluent_kafka

from twolane import SafeProducer, ThroughputProducer
from twolane.client import library
from twolane.testing import ClusterUnavailableError, EmbeddedCluster, KafkaCluster

TOPIC = "round-trip"
HEADERS = [("trace", b"42")]


def read(bootstrap: str, n: int) -> list[tuple[bytes, bytes | None, int, list[tuple[str, bytes]] | None]]:
    """Return value, key, time and headers of the first `n` records of the topic."""
    settings = {"bootstrap.servers": bootstrap, "group.id": "round-trip", "auto.offset.reset": "earliest"}
    consumer = confluent_kafka.Consumer(settings)
    consumer.subscribe([TOPIC])
    found = []
    deadline = time.monotonic() + 60
    while len(found) < n and time.monotonic() < deadline:
        for message in consumer.consume(1000, timeout=1):
            assert not message.error(), message.error()
            found.append((message.value(), message.key(), message.timestamp()[1], message.headers()))
    consumer.close()
    return found


def main(kafka: bool) -> None:
    """Send, read back, compare."""
    sent = [(b"safe", b"key", 1_700_000_000_000, HEADERS), (b"throughput", b"key", 1_700_000_000_001, HEADERS)]
    sent += [(b"batch %d" % i, None, 1_700_000_000_002 + i, None) for i in range(1000)]
    with (KafkaCluster if kafka else EmbeddedCluster)(brokers=3) as cluster:
        cluster.create_topic(TOPIC, partitions=3)
        bootstrap = cluster.bootstrap_servers
        settings = {"bootstrap.servers": bootstrap}
        with SafeProducer(settings) as safe, ThroughputProducer(settings) as fast:
            value, key, at, headers = sent[0]
            safe.send(TOPIC, value, key=key, timestamp=at, headers=headers)
            value, key, at, headers = sent[1]
            fast.send(TOPIC, value, key=key, timestamp=at, headers=headers)
            fast.flush(30)
            values, times = [record[0] for record in sent[2:]], [record[2] for record in sent[2:]]
            safe.send_batch(TOPIC, values[:500], timestamps=times[:500])
            fast.send_batch(TOPIC, values[500:], timestamps=times[500:]).result(timeout=30)
        found = read(bootstrap, len(sent))
    assert sorted(found, key=repr) == sorted(sent, key=repr), f"{len(found)} records came back, {len(sent)} were sent"
    where = "three real brokers" if kafka else "the embedded cluster"
    versions = f"confluent-kafka {confluent_kafka.__version__}, librdkafka {library.VERSION_TEXT}"
    print(f"{len(sent)} records to {where} and back: {versions}")


if __name__ == "__main__":
    try:
        main("--kafka" in sys.argv)
    except ClusterUnavailableError as error:
        print(f"not tried on real brokers: {error}")
