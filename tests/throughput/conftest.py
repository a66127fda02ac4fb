"""A producer of the throughput lane that gives up soon, whose accounting is checked at the end of the test."""

from __future__ import annotations

import logging

import pytest

from twolane import ThroughputProducer

QUICK = {"message.timeout.ms": 5_000, "retry.backoff.ms": 20, "retry.backoff.max.ms": 50}


@pytest.fixture
def producer(embedded_cluster):
    producer = ThroughputProducer(QUICK, bootstrap_servers=embedded_cluster.bootstrap_servers)
    yield producer
    try:
        producer.close(10)
    except Exception:
        logging.getLogger(__name__).info("left by the test", exc_info=True)
    counts = producer.stats()
    assert counts.accepted == counts.written + counts.not_written + counts.unknown
    assert counts.in_queue == counts.in_queue_bytes == 0
    assert producer._reader.violations == 0
    assert producer._reader.attached == 0


@pytest.fixture
def name(embedded_cluster, topic, producer):
    name = topic(embedded_cluster)
    producer.send_batch(name, [b"warm"]).result(10)
    return name
