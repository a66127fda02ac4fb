"""F37 and F39: what librdkafka numbers again behind an aborted transaction, and the abort that never ends."""

from __future__ import annotations

import threading
import time

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from faults.proxy import falsify, once
from tests.support.denials import Forgotten, deny_while_in_flight
from tests.support.readers import read_all
from tests.support.waiting import wait_until
from twolane import BatchError, FatalProducerError, SafeProducer, ThroughputProducer, Verdict

# Longer than the test: what waits for its retry is there when the transaction is aborted.
RETRY_LATER = {"retry.backoff.ms": 60_000, "retry.backoff.max.ms": 60_000, "linger.ms": 0}
AFTER_APPEND = [KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND, KafkaError.NOT_LEADER_FOR_PARTITION]


def fail_while_another_waits(proxy, code):
    """Both records are appended: A's answer is an error that is retried, B's one that is not, and aborts."""
    proxy.rule = once({b"record A": falsify(code), b"record B": falsify(KafkaError.UNKNOWN, after=0.3)})


def committed(cluster, name):
    log = read_all(cluster.bootstrap_servers, name)
    return [[record.value for record in log if record.partition == one] for one in (0, 1)]


@pytest.mark.parametrize("code", AFTER_APPEND)
def test_f37_librdkafka_acknowledges_a_record_that_is_not_written(fault_proxy, kafka_cluster, topic, code):
    """The negative control: A's number is given to the next record of its partition, which commits, and is lost."""
    name = topic(kafka_cluster, 2)
    reports = {}

    def report(error, message):
        reports[message.value()] = error

    settings = {"bootstrap.servers": fault_proxy.bootstrap_servers, "transactional.id": name, "log_level": 0}
    plain = Producer({**RETRY_LATER, **settings})

    def produce(*values):
        for partition, value in enumerate(values):
            plain.produce(
                name, value, partition=partition, on_delivery=lambda error, one: reports.update({one.value(): error})
            )

    plain.init_transactions(30)
    plain.begin_transaction()
    produce(b"warm", b"warm")
    plain.commit_transaction(30)
    fail_while_another_waits(fault_proxy, code)
    plain.begin_transaction()
    produce(b"record A", b"record B")
    with pytest.raises(KafkaException):
        plain.commit_transaction(30)
    plain.abort_transaction(30)
    plain.begin_transaction()
    produce(b"next", b"next")
    plain.commit_transaction(30)
    assert reports[b"next"] is None
    assert committed(kafka_cluster, name) == [[b"warm"], [b"warm", b"next"]]


@pytest.mark.parametrize("lane", [SafeProducer, ThroughputProducer])
@pytest.mark.parametrize("code", AFTER_APPEND)
def test_f37_a_producer_that_would_number_again_ends(fault_proxy, kafka_cluster, topic, lane, code):
    name, number = topic(kafka_cluster, 2), topic(kafka_cluster)
    settings = {**RETRY_LATER, "bootstrap.servers": fault_proxy.bootstrap_servers, "transactional.id": number}

    def send(producer, *values):
        with producer.transaction():
            producer.send_batch(name, list(values), partitions=[0, 1])

    with lane(settings) as producer:
        producer.init_transactions(30)
        send(producer, b"warm", b"warm")
        fail_while_another_waits(fault_proxy, code)
        with pytest.raises(BatchError):
            send(producer, b"record A", b"record B")
        with pytest.raises(FatalProducerError, match="sequence number"):
            send(producer, b"next", b"next")
    with lane(settings) as producer:
        producer.init_transactions(30)
        send(producer, b"next", b"next")
    assert committed(kafka_cluster, name) == [[b"warm", b"next"]] * 2


def send_both(producer, name, told):
    for partition, value in enumerate((b"record A", b"record B")):
        producer.send(name, value, partition=partition, on_delivery=lambda error, _: told.append(error.partition))


def test_f39_an_abort_that_waits_for_a_lost_record_ends_the_producer(fault_proxy, kafka_cluster, topic, monkeypatch):
    name, told, aborting = topic(kafka_cluster, 2), [], threading.Event()
    settings = {"bootstrap.servers": fault_proxy.bootstrap_servers, "transactional.id": name, "linger.ms": 0}
    with ThroughputProducer({**settings, "message.timeout.ms": 5_000}) as producer:
        producer.init_transactions(30)
        with producer.transaction():
            producer.send_batch(name, [b"warm"] * 2, partitions=[0, 1])
        deny_while_in_flight(fault_proxy, b"record A", b"record B", KafkaError.REQUEST_TIMED_OUT, until=aborting)
        with pytest.raises(FatalProducerError, match="librdkafka has lost it"), producer.transaction():
            send_both(producer, name, told)
            wait_until(lambda: told == [1])
            # librdkafka has purged, and waits: only now comes the answer by which A would be sent again.
            monkeypatch.setattr(producer._transactions, "_pass_notes_on", aborting.set)
            producer.abort_transaction(60)
        with pytest.raises(FatalProducerError, match="librdkafka has lost it"), producer.transaction():
            raise AssertionError
        begun = time.monotonic()
        producer.close(120)
        assert time.monotonic() - begun < 60, "the report that is lost was waited for"
    assert len(told) == 2
    go_on(kafka_cluster, name, settings)


@pytest.mark.parametrize("timeout", [None, 120], ids=["default", "longer"])
def test_f39_a_commit_that_waits_for_a_lost_record_ends_the_producer(fault_proxy, kafka_cluster, topic, timeout):
    name, told = topic(kafka_cluster, 2), []
    forgotten = Forgotten(name, 0)
    settings = {"bootstrap.servers": fault_proxy.bootstrap_servers, "transactional.id": name, "linger.ms": 0}
    with ThroughputProducer({**settings, **forgotten.settings, "message.timeout.ms": 5_000}) as producer:
        producer.init_transactions(30)
        with producer.transaction():
            producer.send_batch(name, [b"warm"] * 2, partitions=[0, 1])
        deny_while_in_flight(fault_proxy, b"record A", b"record B", KafkaError.REQUEST_TIMED_OUT, until=forgotten)
        begun = time.monotonic()
        with pytest.raises(FatalProducerError, match="librdkafka has lost it") as caught, producer.transaction():
            send_both(producer, name, told)
            producer.commit_transaction(timeout)
        assert time.monotonic() - begun < 60, "the report that is lost was waited for"
        assert caught.value.verdict is Verdict.NOT_WRITTEN
        assert told == [1]
    assert len(told) == 2
    go_on(kafka_cluster, name, settings)


def go_on(cluster, name, settings):
    """Send with a new producer of the same transactional.id: nothing of the ended one's transaction is committed."""
    with ThroughputProducer(settings) as producer:
        producer.init_transactions(30)
        with producer.transaction():
            producer.send_batch(name, [b"next"] * 2, partitions=[0, 1])
    assert committed(cluster, name) == [[b"warm", b"next"]] * 2
