"""`on_delivery=` of `send()`: called once for each record, in the delivery thread; what it raises is not lost."""

from __future__ import annotations

import logging
import threading

import pytest
from confluent_kafka import KafkaError

from tests.support.readers import read_values
from tests.support.waiting import HELD, wait_until
from twolane import (
    BatchError,
    DeliveryError,
    QueueFullError,
    RecordMetadata,
    ThroughputProducer,
)

PRODUCE = 0
REFUSED = KafkaError.INVALID_RECORD


def test_on_delivery_of_a_written_record(producer, name):
    calls = []
    producer.send(name, b"v", timestamp=1_700_000_000_000, on_delivery=lambda *args: calls.append(args))
    producer.flush(10)
    ((err, metadata),) = calls
    assert err is None
    assert isinstance(metadata, RecordMetadata)
    assert (metadata.topic, metadata.partition, metadata.offset) == (name, 0, 1)


def test_on_delivery_runs_in_the_service_thread_while_nobody_waits(producer, name):
    event, where = threading.Event(), []

    def on_delivery(err, metadata):
        where.append(threading.current_thread().name)
        event.set()

    producer.send(name, b"v", on_delivery=on_delivery)
    assert event.wait(60)
    assert where == ["twolane-delivery"]


def test_on_delivery_of_a_refused_record(embedded_cluster, producer, name):
    calls = []
    embedded_cluster.push_errors(PRODUCE, [REFUSED])
    producer.send(name, b"v", on_delivery=lambda *args: calls.append(args))
    assert producer.flush(10) == 0
    ((err, metadata),) = calls
    assert metadata is None
    assert isinstance(err, DeliveryError)
    assert err.error.code() == REFUSED
    assert (err.topic, err.partition) == (name, 0)


def test_on_delivery_is_called_once_for_each_record_in_order(producer, name):
    calls = []
    for i in range(20_000):
        producer.send(name, b"v", on_delivery=lambda err, meta, i=i: calls.append((i, meta.offset)))
    producer.flush(20)
    assert calls == [(i, i + 1) for i in range(20_000)]


def test_what_on_delivery_raises_is_raised_by_flush(producer, name, caplog):
    def on_delivery(err, metadata):
        raise LookupError("from the callback")

    for _ in range(3):
        producer.send(name, b"v", on_delivery=on_delivery)
    calls = []
    producer.send(name, b"v", on_delivery=lambda *args: calls.append(args))
    with pytest.raises(LookupError, match="from the callback") as caught:
        producer.flush(10)
    assert len(calls) == 1
    assert len(caught.value.__notes__) == 2
    assert "a delivery callback raised" in caplog.text
    assert producer.flush(10) == 0


def test_a_logging_filter_that_raises_loses_no_report(embedded_cluster, producer, name):
    def refuse(record):
        raise OSError("from the filter")

    def on_delivery(err, metadata):
        calls.append(metadata)
        if len(calls) == 1:
            raise LookupError("from the callback")

    calls = []
    log = logging.getLogger("twolane")
    log.addFilter(refuse)
    try:
        for _ in range(10):
            producer.send(name, b"v", on_delivery=on_delivery)
        with pytest.raises(LookupError, match="from the callback"):
            producer.flush(10)
        assert len(calls) == 10
        embedded_cluster.push_errors(PRODUCE, [REFUSED])
        delivery = producer.send_batch(name, [b"v"])
        wait_until(delivery.done)
        del delivery
        with pytest.raises(BatchError):
            producer.flush(10)
        assert producer.send_batch(name, [b"v"]).result(10).written == 1
    finally:
        log.removeFilter(refuse)


def test_what_on_delivery_raises_is_raised_by_close(embedded_cluster, topic):
    name = topic(embedded_cluster)
    producer = ThroughputProducer(bootstrap_servers=embedded_cluster.bootstrap_servers)
    producer.send(name, b"v", on_delivery=lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        producer.close(10)
    producer.close()


def test_on_delivery_may_send(producer, name, embedded_cluster):
    left = [5]

    def again(err, metadata):
        if left[0]:
            left[0] -= 1
            producer.send(name, b"again %d" % left[0], on_delivery=again)

    producer.send(name, b"first", on_delivery=again)
    assert producer.flush(10) == 0
    assert read_values(embedded_cluster.bootstrap_servers, name)[1:] == [b"first"] + [
        b"again %d" % i for i in (4, 3, 2, 1, 0)
    ]


@pytest.mark.parametrize("call", ["flush", "close"])
def test_waiting_in_a_callback_raises_instead_of_waiting_for_itself(producer, name, call):
    seen = []

    def on_delivery(err, metadata):
        with pytest.raises(RuntimeError, match="wait for itself"):
            getattr(producer, call)()
        seen.append(True)

    producer.send(name, b"v", on_delivery=on_delivery)
    producer.flush(10)
    assert seen == [True]


def test_on_delivery_is_a_callable(producer, name):
    with pytest.raises(TypeError, match="on_delivery"):
        producer.send(name, b"v", on_delivery=7)
    assert producer.stats().accepted == 1


def test_a_refused_send_leaves_no_callback_behind(embedded_cluster, topic):
    name = topic(embedded_cluster)
    settings = {"queue.buffering.max.messages": 1}
    with ThroughputProducer(
        settings, bootstrap_servers=embedded_cluster.bootstrap_servers, on_full="raise"
    ) as producer:
        producer.partitions_for(name)
        embedded_cluster.set_rtt(HELD)
        producer.send(name, b"in", on_delivery=lambda *_: None)
        with pytest.raises(QueueFullError):
            producer.send(name, b"out", on_delivery=lambda *_: None)
        assert len(producer._callbacks) == 1
        embedded_cluster.set_rtt(0)
        producer.flush(10)
        assert not producer._callbacks
