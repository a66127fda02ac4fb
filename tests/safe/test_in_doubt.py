"""Partitions in doubt: without idempotence nothing follows a record of unknown fate until resume()."""

from __future__ import annotations

import numpy as np
import pytest
from confluent_kafka import KafkaError

from tests.support.readers import read_values
from twolane import DeliveryError, SafeProducer, Verdict
from twolane.client.handle import Handle
from twolane.results import DeliveryReport
from twolane.safe.in_doubt import InDoubtPartitions

PRODUCE = 0
QUICK = {"retry.backoff.ms": 50, "retry.backoff.max.ms": 100}


def test_without_idempotence_a_partition_in_doubt_takes_nothing_until_resume(embedded_cluster, topic):
    name = topic(embedded_cluster, 2)
    settings = QUICK | {"retries": 0, "enable.idempotence": False}
    with SafeProducer(settings, bootstrap_servers=embedded_cluster.bootstrap_servers) as producer:
        producer.send_batch(name, [b"warm"] * 2, partitions=[0, 1])
        embedded_cluster.push_errors(PRODUCE, [KafkaError.REQUEST_TIMED_OUT])
        with pytest.raises(DeliveryError) as caught:
            producer.send(name, b"lost?", partition=0)
        assert caught.value.verdict is Verdict.UNKNOWN
        assert producer.in_doubt == {(name, 0)}
        for refused in (
            lambda: producer.send(name, b"later", partition=0),
            lambda: producer.send_batch(name, [b"later"] * 3, partitions=[1, 1, 0]),
        ):
            with pytest.raises(DeliveryError, match=r"resume\(") as caught:
                refused()
            assert caught.value.verdict is Verdict.NOT_WRITTEN
        producer.send(name, b"other", partition=1)
        producer.resume(name, 0)
        producer.send(name, b"again", partition=0)
    assert read_values(embedded_cluster.bootstrap_servers, name, 0) == [b"warm", b"again"]
    assert read_values(embedded_cluster.bootstrap_servers, name, 1) == [b"warm", b"other"]


def test_with_idempotence_nothing_is_in_doubt(embedded_cluster, topic):
    name = topic(embedded_cluster)
    with SafeProducer(QUICK, bootstrap_servers=embedded_cluster.bootstrap_servers, retries=1) as producer:
        producer.send(name, b"warm")
        embedded_cluster.push_errors(PRODUCE, [KafkaError.REQUEST_TIMED_OUT] * 2)
        with pytest.raises(DeliveryError) as caught:
            producer.send(name, b"lost?")
        assert caught.value.verdict is Verdict.UNKNOWN
        assert producer.in_doubt == set()
        producer.send(name, b"next")


def test_resume_while_another_thread_looks_for_doubts():
    """One thread's resume() once made another's batch fail in the middle of the look."""
    handle = Handle({"bootstrap.servers": "127.0.0.1:9", "log.queue": "true"})
    doubts = InDoubtPartitions(handle, lambda: None, fenced=False)

    class Partitions:
        def __eq__(self, other):
            doubts.resume("t", other)
            return np.zeros(1, dtype=bool)

        __hash__ = None

    for partition in range(5):
        doubts.add_failures("t", [DeliveryReport(0, KafkaError._FAIL, Verdict.UNKNOWN, partition)])
    assert doubts.first_refusal("t", Partitions()) is None
    handle.close()
