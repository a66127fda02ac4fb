"""A plain idempotent producer ends before the epoch of its producer id begins anew at 0 (F18)."""

from __future__ import annotations

import json

import pytest
from confluent_kafka import KafkaError

from tests.support.waiting import wait_until
from twolane import BatchError, DeliveryError, FatalProducerError, SafeProducer, ThroughputProducer, Verdict
from twolane.common.base import EPOCHS
from twolane.testing import ApiKey

BOTH = pytest.mark.parametrize("kind", [SafeProducer, ThroughputProducer])
# An int16: librdkafka counts up to it, then goes on at 0.
WRAPS_BEHIND = 32_767
FEW = 5


def made(kind, cluster, **config):
    keywords = {"check_topics": False} if kind is SafeProducer else {"linger_ms": 0}
    return kind(
        {"retry.backoff.ms": 1, "retry.backoff.max.ms": 1, "enable.idempotence": True},
        bootstrap_servers=cluster.bootstrap_servers,
        **keywords,
        **config,
    )


def send(producer, name, value, partition=0):
    """Send one record and return when its end is known; raise where it is not written."""
    if isinstance(producer, SafeProducer):
        producer.send(name, value, partition=partition)
    else:
        producer.send_batch(name, [value], partitions=partition).result(10)


def librdkafkas_epoch(producer, at_least):
    """Wait until librdkafka's own statistics tell an epoch of so much, and return it."""

    def told():
        producer.stats()
        epoch = json.loads(producer._events.statistics or "{}").get("eos", {}).get("producer_epoch", -1)
        return epoch >= at_least and epoch

    return wait_until(told)


@BOTH
def test_an_epoch_rises_with_a_failed_request_and_never_faster(embedded_cluster, topic, kind):
    """By librdkafka's own word: what the library counts instead, since nothing else tells of the epoch."""
    name = topic(embedded_cluster, 2)
    with made(kind, embedded_cluster, statistics_interval_ms=20) as producer:
        send(producer, name, b"warm")
        for _ in range(4):
            embedded_cluster.push_errors(ApiKey.PRODUCE, [KafkaError.INVALID_RECORD])
            with pytest.raises((DeliveryError, BatchError)):
                send(producer, name, b"refused")
        assert librdkafkas_epoch(producer, 4) == 4
        assert producer.stats().delivery_events - 1 == 4 == producer._reader.failed_requests
    assert WRAPS_BEHIND - EPOCHS > 2_000


@BOTH
def test_a_producer_whose_epochs_are_used_up_says_so_and_writes_nothing_more(embedded_cluster, topic, kind):
    name = topic(embedded_cluster, 2)
    with made(kind, embedded_cluster) as producer:
        assert producer._reader.epochs == EPOCHS
        producer._reader.epochs = FEW
        send(producer, name, b"warm")
        for failed in range(FEW):
            embedded_cluster.push_errors(ApiKey.PRODUCE, [KafkaError.INVALID_RECORD])
            with pytest.raises((DeliveryError, BatchError)) as caught:
                send(producer, name, b"refused")
            if failed < FEW - 1:
                assert not isinstance(caught.value, FatalProducerError)
                send(producer, name, b"good")
        sent = len(embedded_cluster.requests(ApiKey.PRODUCE))
        for _ in range(2):
            with pytest.raises(FatalProducerError, match="the epoch of the producer id is used up") as caught:
                send(producer, name, b"good")
            assert caught.value.verdict is Verdict.NOT_WRITTEN
            assert caught.value.error.code() == KafkaError.INVALID_PRODUCER_EPOCH
            with pytest.raises(FatalProducerError):
                producer.send_batch(name, [b"good"] * 10, partitions=1)
            with pytest.raises(FatalProducerError):
                producer.send(name, b"good", partition=1)
        assert len(embedded_cluster.requests(ApiKey.PRODUCE)) == sent
    with made(kind, embedded_cluster) as following:
        send(following, name, b"good")


@BOTH
def test_a_wrapped_epoch_is_the_end_also_where_it_was_not_counted(embedded_cluster, topic, kind):
    name = topic(embedded_cluster)
    with made(kind, embedded_cluster) as producer:
        send(producer, name, b"warm")
        embedded_cluster.push_errors(ApiKey.PRODUCE, [KafkaError.INVALID_PRODUCER_EPOCH])
        with pytest.raises((DeliveryError, BatchError)):
            send(producer, name, b"refused")
        with pytest.raises(FatalProducerError, match="is used up"):
            send(producer, name, b"good")


@BOTH
def test_without_idempotence_and_with_transactions_nothing_is_used_up(embedded_cluster, kind):
    with kind(bootstrap_servers=embedded_cluster.bootstrap_servers, enable_idempotence=False) as plain:
        assert plain._reader.epochs == 0
    with kind(bootstrap_servers=embedded_cluster.bootstrap_servers, transactional_id="renewed") as transactional:
        assert transactional._reader.epochs == 0
