"""Transactions of the throughput lane on real brokers: all visible, or nothing, and no failure told twice."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time

import pytest

from faults.proxy import delay, refuse
from tests.support.transactions import check_offsets_with_records, values
from tests.support.waiting import wait_until
from twolane import (
    BatchError,
    ClosedProducerError,
    ConfigError,
    DeliveryError,
    FatalProducerError,
    ThroughputProducer,
    TransactionError,
)

MSG_SIZE_TOO_LARGE = 10


@pytest.fixture
def producer(kafka_cluster, topic):
    with ThroughputProducer(
        bootstrap_servers=kafka_cluster.bootstrap_servers, transactional_id=topic(kafka_cluster)
    ) as made:
        made.init_transactions(30)
        yield made


def test_a_transaction_is_visible_when_its_block_ends(kafka_cluster, producer, topic):
    name = topic(kafka_cluster, 2)
    called = []
    for round_ in range(3):
        with producer.transaction():
            producer.send(name, b"one", partition=0, on_delivery=lambda *args: called.append(args))
            delivery = producer.send_batch(name, [b"two"] * 5_000, partitions=1)
            assert values(kafka_cluster, name, 5_001 * round_) == [b"one"] * round_ + [b"two"] * 5_000 * round_
        # Committed: then everything was reported, and the callbacks have run.
        assert delivery.done()
        assert [err for err, _ in called] == [None] * (round_ + 1)
    assert sorted(values(kafka_cluster, name, 15_003)) == [b"one"] * 3 + [b"two"] * 15_000


def test_an_exception_aborts_and_is_the_one_raised(kafka_cluster, producer, topic):
    name = topic(kafka_cluster)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), producer.transaction():
            producer.send_batch(name, [b"never"] * 100)
            producer.send(name, b"never")
            raise ZeroDivisionError
    with producer.transaction():
        producer.send(name, b"after")
    assert values(kafka_cluster, name, 1) == [b"after"]
    assert producer.flush(10) == 0


@pytest.mark.parametrize("how", ["send", "send_batch", "callback"])
def test_a_record_that_fails_aborts_all_and_is_told_once(fault_proxy, kafka_cluster, topic, how):
    name = topic(kafka_cluster)
    with ThroughputProducer(
        bootstrap_servers=fault_proxy.bootstrap_servers, transactional_id=topic(kafka_cluster), linger_ms=0
    ) as producer:
        producer.init_transactions(30)
        with producer.transaction():
            producer.send(name, b"before")
        fault_proxy.clear()
        fault_proxy.then(refuse(MSG_SIZE_TOO_LARGE))
        told = []
        with pytest.raises((DeliveryError, TransactionError, BatchError)), producer.transaction():
            if how == "send":
                producer.send(name, b"refused")
            elif how == "callback":
                producer.send(name, b"refused", on_delivery=lambda err, _: told.append(err))
            else:
                producer.send_batch(name, [b"refused"] * 10)
        assert len(told) == (how == "callback")
        assert producer.flush(10) == 0
        # librdkafka goes on with the sequence numbers of the refused request: the broker refuses the next transaction's
        # first one, which makes it get a new epoch.
        with pytest.raises((DeliveryError, TransactionError)), producer.transaction():
            producer.send(name, b"out of sequence")
        with producer.transaction():
            producer.send(name, b"after")
        assert producer.flush(10) == 0
    assert values(kafka_cluster, name, 2) == [b"before", b"after"]


def test_a_callback_that_raises_aborts(kafka_cluster, producer, topic):
    name = topic(kafka_cluster)
    with pytest.raises(ZeroDivisionError), producer.transaction():
        producer.send(name, b"never", on_delivery=lambda *_: 1 / 0)
    with producer.transaction():
        producer.send(name, b"after")
    assert values(kafka_cluster, name, 1) == [b"after"]


def test_threads_share_a_transaction(kafka_cluster, producer, topic):
    name = topic(kafka_cluster, 3)
    with producer.transaction():
        threads = [threading.Thread(target=producer.send_batch, args=(name, [b"%d" % i] * 1_000)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(values(kafka_cluster, name, 4_000)) == sorted([b"0", b"1", b"2", b"3"] * 1_000)


def test_consumed_offsets_are_committed_with_it(kafka_cluster, producer, topic):
    source, target = topic(kafka_cluster), topic(kafka_cluster)
    with ThroughputProducer(bootstrap_servers=kafka_cluster.bootstrap_servers) as filler:
        filler.send_batch(source, [b"%d" % i for i in range(20)])
    check_offsets_with_records(kafka_cluster, producer, source, target)


def test_a_producer_that_was_fenced_is_finished(kafka_cluster, producer, topic):
    name = topic(kafka_cluster)
    with producer.transaction():
        producer.send(name, b"mine")
    with ThroughputProducer(
        bootstrap_servers=kafka_cluster.bootstrap_servers, transactional_id=producer.config["transactional.id"]
    ) as successor:
        successor.init_transactions(30)
        with pytest.raises((FatalProducerError, DeliveryError)), producer.transaction():
            producer.send(name, b"zombie")
        with pytest.raises(FatalProducerError):
            producer.send(name, b"zombie")
        with successor.transaction():
            successor.send(name, b"heir")
    assert values(kafka_cluster, name, 2) == [b"mine", b"heir"]


def test_transactions_need_an_id_and_the_settings_follow_from_it(embedded_cluster):
    with ThroughputProducer(bootstrap_servers=embedded_cluster.bootstrap_servers) as plain:
        with pytest.raises(ConfigError, match=r"transactional\.id"):
            plain.init_transactions()
        with pytest.raises(ConfigError, match=r"transactional\.id"), plain.transaction():
            pass
    with ThroughputProducer(bootstrap_servers=embedded_cluster.bootstrap_servers, transactional_id="t") as producer:
        assert producer.config["enable.idempotence"] == "true"
        assert producer.config["message.timeout.ms"] == "60000"
    with ThroughputProducer(
        bootstrap_servers=embedded_cluster.bootstrap_servers, transactional_id="t", transaction_timeout_ms=9_000
    ) as producer:
        assert producer.config["message.timeout.ms"] == "9000"


def test_a_transaction_cannot_be_waited_for_in_a_callback(kafka_cluster, producer, topic):
    name = topic(kafka_cluster)
    seen = []

    def on_delivery(err, metadata):
        with pytest.raises(RuntimeError, match="wait for itself"), producer.transaction():
            pass
        seen.append(err)

    with producer.transaction():
        producer.send(name, b"v", on_delivery=on_delivery)
    assert seen == [None]


@pytest.mark.timing
def test_closing_in_a_transaction_ends_in_time(kafka_cluster, topic):
    name = topic(kafka_cluster)
    producer = ThroughputProducer(
        bootstrap_servers=kafka_cluster.bootstrap_servers, transactional_id=topic(kafka_cluster)
    )
    producer.init_transactions(30)
    with pytest.raises(Exception, match="closed"), producer.transaction():
        producer.send(name, b"v")
        producer.close(5)
    assert values(kafka_cluster, name) == []


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="needs signals that a thread can send")
@pytest.mark.parametrize("inner", ["flush", "close"])
def test_a_handler_may_flush_and_close_while_a_transaction_ends(fault_proxy, kafka_cluster, topic, inner):
    """It does not wait for the end that it interrupted; which of a closed producer is no commit."""
    name, took = topic(kafka_cluster), []
    with ThroughputProducer(
        bootstrap_servers=fault_proxy.bootstrap_servers, transactional_id=topic(kafka_cluster), linger_ms=0
    ) as producer:
        producer.init_transactions(30)
        producer.partitions_for(name)

        def handler(*_):
            started = time.monotonic()
            producer.flush(10) if inner == "flush" else producer.close(10)
            took.append(time.monotonic() - started)

        def interrupt():
            wait_until(lambda: producer.stats().in_queue)
            os.kill(os.getpid(), signal.SIGUSR1)

        before = signal.signal(signal.SIGUSR1, handler)
        thread = threading.Thread(target=interrupt)
        thread.start()
        fault_proxy.then(delay(0.5))
        try:
            refused = contextlib.suppress(ClosedProducerError) if inner == "close" else contextlib.nullcontext()
            with refused, producer.transaction():
                producer.send(name, b"v")
        finally:
            thread.join()
            signal.signal(signal.SIGUSR1, before)
    assert took[0] < 5
    assert values(kafka_cluster, name, 1 if inner == "flush" else 0) == [b"v"] * (inner == "flush")
