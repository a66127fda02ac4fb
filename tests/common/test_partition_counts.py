"""Topics that get fewer partitions or more are noticed: a report that says so decides, and the age of the count."""

from __future__ import annotations

import time

import pytest
from confluent_kafka import KafkaError

from tests.support.readers import read_all
from tests.support.waiting import wait_until
from twolane import BatchError, DeliveryError, SafeProducer, ThroughputProducer, Verdict

KEYS = [b"key %d" % i for i in range(60)]
GONE = {KafkaError._UNKNOWN_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART}
BOTH = pytest.mark.parametrize("kind", [SafeProducer, ThroughputProducer])
HOW = pytest.mark.parametrize("how", ["send", "send_batch"])


@pytest.fixture
def producer(embedded_cluster, kind):
    keywords = {"check_topics": False} if kind is SafeProducer else {"linger_ms": 0}
    settings = {"retry.backoff.ms": 5, "retry.backoff.max.ms": 10, "topic.metadata.refresh.fast.interval.ms": 10}
    with kind(settings, bootstrap_servers=embedded_cluster.bootstrap_servers, **keywords) as made:
        yield made


def send_keys(producer, name, how, keys=KEYS):
    """Send one record of each key; return when all are acknowledged, else raise."""
    if how == "send_batch":
        delivery = producer.send_batch(name, keys, keys=keys)
        if isinstance(producer, ThroughputProducer):
            delivery.result(10)
        return
    for key in keys:
        producer.send(name, key, key=key)
    assert producer.flush(10) == 0


@BOTH
@HOW
def test_after_the_first_report_of_a_partition_that_is_gone_none_is_chosen(embedded_cluster, producer, topic, how):
    name = topic(embedded_cluster, 12)
    send_keys(producer, name, how)
    embedded_cluster.remake_topic(name, 3)
    # Some key's partition is gone. Brokers say so first, then librdkafka, and then the count is made anew.
    with pytest.raises((DeliveryError, BatchError)) as caught:
        send_keys(producer, name, how)
    assert caught.value.error.code() in GONE
    send_keys(producer, name, how, [b"again %d" % i for i in range(60)])
    assert producer._handle.open_topic(name).partition_count == 3
    values = {record.value for record in read_all(embedded_cluster.bootstrap_servers, name)}
    assert values >= {b"again %d" % i for i in range(60)}


@pytest.mark.parametrize("kind", [ThroughputProducer])
def test_a_record_whose_partition_librdkafka_knows_to_be_gone_goes_to_another(embedded_cluster, producer, topic):
    """The count is older than what librdkafka knows: no key is refused for that."""
    name = topic(embedded_cluster, 3)
    send_keys(producer, name, "send")
    known = producer._handle.open_topic(name)
    known.counted(12)
    for key in KEYS:
        producer.send(name, key, key=key, timestamp_header="ns", headers={"a": b"b"})
    assert known.partition_count == 3
    with pytest.raises(DeliveryError, match="does not exist") as caught:
        producer.send(name, b"v", partition=11)
    assert caught.value.verdict is Verdict.NOT_WRITTEN
    assert producer.flush(10) == 0
    assert len(read_all(embedded_cluster.bootstrap_servers, name)) == 2 * len(KEYS)


@BOTH
@HOW
def test_a_count_is_made_again_when_it_is_old(embedded_cluster, producer, topic, how):
    """However few records are sent: age decides."""
    name = topic(embedded_cluster, 3)
    send_keys(producer, name, how)
    embedded_cluster.remake_topic(name, 6)
    producer._handle.recount_after = 0.01
    known = producer._handle.open_topic(name)
    if isinstance(producer, ThroughputProducer):
        wait_until(lambda: known.recount)  # the service thread looks ten times a second
    else:
        wait_until(lambda: time.monotonic() - known.counted_at > 0.01)
    send_keys(producer, name, how, KEYS[:1])
    assert known.partition_count == 6
