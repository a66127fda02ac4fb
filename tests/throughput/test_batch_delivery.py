"""What the throughput lane tells of its records: BatchDelivery, flush(), and the accounting."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time

import numpy as np
import pytest
from confluent_kafka import KafkaError, KafkaException

from tests.support.readers import read_all, read_values
from tests.support.waiting import HELD, wait_until
from twolane import (
    BatchError,
    DeliveryError,
    ThroughputProducer,
    Verdict,
)

PRODUCE = 0
# Refused by the broker for good, and a refusal that proves nothing.
REFUSED, DOUBTFUL = KafkaError.INVALID_RECORD, KafkaError.UNKNOWN
QUICK = {"message.timeout.ms": 5_000, "retry.backoff.ms": 20, "retry.backoff.max.ms": 50}


# ---- BatchDelivery -------------------------------------------------------------------------------------------------


def test_a_batch_is_not_done_before_the_brokers_answered(embedded_cluster, producer, name):
    embedded_cluster.set_rtt(HELD)
    delivery = producer.send_batch(name, [b"v"] * 100)
    assert not delivery.done()
    assert delivery.accepted == len(delivery) == 100
    assert "reported" in repr(delivery)
    with pytest.raises(TimeoutError):
        delivery.result(0.05)
    embedded_cluster.set_rtt(0)
    metadata = delivery.result(10)
    assert delivery.done()
    assert delivery.reported == 100
    assert delivery.result() is metadata
    assert metadata.offsets.tolist() == list(range(1, 101))
    assert metadata.latency >= 0.05


def test_a_failed_batch_says_which_records_failed(embedded_cluster, producer, name):
    embedded_cluster.push_errors(PRODUCE, [REFUSED])
    delivery = producer.send_batch(name, [b"a", b"b", b"c"])
    with pytest.raises(BatchError) as caught:
        delivery.result(10)
    error = caught.value
    assert isinstance(error, KafkaException)
    assert error.written == 0
    assert error.index == 0
    assert error.error.code() == REFUSED
    assert error.metadata.failed == 3
    assert error.metadata.offsets.tolist() == [-1, -1, -1]
    assert [failure.index for failure in error.metadata.failures] == [0, 1, 2]
    assert {failure.verdict for failure in error.metadata.failures} == {Verdict.NOT_WRITTEN}
    assert {failure.topic for failure in error.metadata.failures} == {name}
    assert {failure.partition for failure in error.metadata.failures} == {0}
    assert read_values(embedded_cluster.bootstrap_servers, name) == [b"warm"]
    with pytest.raises(BatchError):
        delivery.result()


def test_part_of_a_batch_fails(embedded_cluster, producer, topic):
    name = topic(embedded_cluster, 3)
    producer.send_batch(name, [b"warm"] * 3, partitions=[0, 1, 2]).result(10)
    # The mock's partition p is led by a broker of its own: one request of three is refused.
    embedded_cluster.push_errors(PRODUCE, [DOUBTFUL])
    partitions = np.arange(300) % 3
    with pytest.raises(BatchError) as caught:
        producer.send_batch(name, [b"%d" % i for i in range(300)], partitions=partitions).result(10)
    metadata = caught.value.metadata
    assert 0 < metadata.failed < 300
    assert metadata.written + metadata.failed == 300
    failed = metadata.failures.indices
    assert failed == np.flatnonzero(metadata.offsets == -1).tolist()
    assert caught.value.index == failed[0]
    assert {failure.verdict for failure in metadata.failures} == {Verdict.UNKNOWN}
    log = {
        (record.partition, record.offset): record.value for record in read_all(embedded_cluster.bootstrap_servers, name)
    }
    for i in range(300):
        if metadata.offsets[i] >= 0:
            assert log[int(partitions[i]), int(metadata.offsets[i])] == b"%d" % i


def test_an_answer_without_an_offset_makes_none_up(embedded_cluster, topic):
    """librdkafka counts up from -1001: the 1002nd record of a request would be at 0."""
    name = topic(embedded_cluster)
    with ThroughputProducer(
        bootstrap_servers=embedded_cluster.bootstrap_servers, acks=0, linger_ms=200, batch_num_messages=10_000
    ) as producer:
        metadata = producer.send_batch(name, [b"v"] * 3_000).result(10)
    assert metadata.written == 3_000
    assert set(metadata.offsets.tolist()) == {-1}


@pytest.mark.parametrize(("idempotent", "code"), [(True, KafkaError.DUPLICATE_SEQUENCE_NUMBER), (False, DOUBTFUL)])
def test_an_error_without_an_offset_leaves_every_record_unknown(embedded_cluster, topic, idempotent, code):
    name = topic(embedded_cluster)
    with ThroughputProducer(
        QUICK, bootstrap_servers=embedded_cluster.bootstrap_servers, enable_idempotence=idempotent, linger_ms=200
    ) as producer:
        producer.send_batch(name, [b"warm"]).result(10)
        embedded_cluster.push_errors(PRODUCE, [code])
        with pytest.raises(BatchError) as caught:
            producer.send_batch(name, [b"v"] * 10).result(10)
    metadata = caught.value.metadata
    assert (metadata.written, metadata.failed) == (0, 10)
    assert {(failure.verdict, failure.possible_offset) for failure in metadata.failures} == {(Verdict.UNKNOWN, None)}


def test_a_refusal_in_the_middle_of_a_batch_tells_of_each_record(embedded_cluster, topic):
    """Records go grouped by partition: what librdkafka itself refuses leaves records behind before and after others."""
    name = topic(embedded_cluster, 2)
    values = [b"%d" % i for i in range(10)]
    values[3] = b"x" * 2_000_000
    producer = ThroughputProducer(QUICK, bootstrap_servers=embedded_cluster.bootstrap_servers)
    producer.partitions_for(name)
    producer._max_bytes = 10**9  # our own check lets it pass
    with pytest.raises(DeliveryError, match="refused by librdkafka") as caught:
        producer.send_batch(name, values, partitions=np.arange(10) % 2)
    assert caught.value.index == 3
    assert caught.value.error.code() == KafkaError.MSG_SIZE_TOO_LARGE
    delivery = caught.value.delivery
    assert delivery.accepted == 6
    with pytest.raises(BatchError) as failed:
        delivery.result(10)
    producer.close()
    metadata = failed.value.metadata
    assert (metadata.written, metadata.failed) == (6, 4)
    assert metadata.failures.verdicts() == [(i, Verdict.NOT_WRITTEN) for i in (3, 5, 7, 9)]
    assert {failure.error.code() for failure in metadata.failures} == {KafkaError.MSG_SIZE_TOO_LARGE}
    assert [failure.partition for failure in metadata.failures] == [1] * 4
    log = read_all(embedded_cluster.bootstrap_servers, name)
    assert {(record.partition, record.offset): record.value for record in log} == {
        (i % 2, metadata.offsets[i]): values[i] for i in (0, 1, 2, 4, 6, 8)
    }
    # Where the client is destroyed under a call, reports may be missing.
    assert delivery._lost(10, [3, 5, 7, 9]) == []
    assert [report.index for report in delivery._lost(10, [3, 5])] == [7, 9]


def test_callbacks_of_a_batch_run_once_in_the_service_thread(producer, name):
    calls = []
    delivery = producer.send_batch(name, [b"v"] * 10)
    for _ in range(3):
        delivery.add_done_callback(lambda batch: calls.append((batch, threading.current_thread().name)))
    delivery.result(10)
    producer.flush(10)
    delivery.add_done_callback(lambda batch: calls.append((batch, threading.current_thread().name)))
    assert [batch for batch, _ in calls] == [delivery] * 4
    assert calls[-1][1] == threading.current_thread().name
    assert {thread for _, thread in calls[:-1]} <= {"twolane-delivery", threading.current_thread().name}


def test_a_batch_is_awaitable(embedded_cluster, producer, name):
    async def send():
        embedded_cluster.set_rtt(50)
        slow = producer.send_batch(name, [b"v"] * 10)
        results = await asyncio.gather(*(producer.send_batch(name, [b"w"] * 5) for _ in range(20)))
        return [await slow, *results, await slow]

    results = asyncio.run(send())
    assert [len(metadata) for metadata in results] == [10] + [5] * 20 + [10]


def test_a_failed_batch_raises_where_it_is_awaited(embedded_cluster, producer, name):
    async def send():
        embedded_cluster.push_errors(PRODUCE, [REFUSED])
        await producer.send_batch(name, [b"v"])

    with pytest.raises(BatchError):
        asyncio.run(send())


def test_a_batch_outlives_the_loop_that_awaited_it(embedded_cluster, producer, name):
    async def send():
        embedded_cluster.set_rtt(HELD)
        with pytest.raises(asyncio.TimeoutError):
            async with asyncio.timeout(0.05):
                await producer.send_batch(name, [b"v"])

    asyncio.run(send())
    embedded_cluster.set_rtt(0)
    assert producer.flush(10) == 0


def test_result_in_a_callback_raises_instead_of_waiting_for_itself(embedded_cluster, producer, name):
    later = []

    def on_delivery(err, metadata):
        embedded_cluster.set_rtt(HELD)
        later.append(producer.send_batch(name, [b"later"]))
        later[0].result()

    producer.send(name, b"v", on_delivery=on_delivery)
    with pytest.raises(RuntimeError, match="wait for itself"):
        producer.flush(10)
    embedded_cluster.set_rtt(0)
    assert later[0].result(10).written == 1


def test_a_dropped_batch_with_failures_is_raised_by_flush(embedded_cluster, producer, name, caplog):
    embedded_cluster.push_errors(PRODUCE, [REFUSED])
    producer.send_batch(name, [b"v"] * 7)
    raised = []

    def flush_raises():
        try:
            producer.flush(10)
        except BatchError as error:
            raised.append(error)
        return raised

    wait_until(flush_raises)
    assert raised[0].metadata.failed == 7
    assert "nobody looked at" in caplog.text
    assert producer.flush(10) == 0


def test_thousands_of_batches_in_flight(embedded_cluster, producer, name):
    embedded_cluster.set_rtt(200)
    deliveries = [producer.send_batch(name, [b"%d" % i]) for i in range(3_000)]
    embedded_cluster.set_rtt(0)
    offsets = [int(delivery.result(20).offsets[0]) for delivery in deliveries]
    assert offsets == list(range(1, 3_001))


# ---- flush and failures without a callback ------------------------------------------------------------------------


def test_flush_raises_the_failures_of_records_nobody_watched(embedded_cluster, producer, name):
    embedded_cluster.push_errors(PRODUCE, [REFUSED])
    for _ in range(10):
        producer.send(name, b"v")
    with pytest.raises(DeliveryError, match="10 records sent without on_delivery") as caught:
        producer.flush(10)
    assert caught.value.topic == name
    assert caught.value.error.code() == REFUSED
    assert len(caught.value.failures) == 10
    assert producer.flush(10) == 0


def test_close_raises_the_failures_of_records_nobody_watched(embedded_cluster, topic):
    name = topic(embedded_cluster)
    producer = ThroughputProducer(QUICK, bootstrap_servers=embedded_cluster.bootstrap_servers)
    producer.send_batch(name, [b"warm"]).result(10)
    embedded_cluster.push_errors(PRODUCE, [REFUSED])
    producer.send(name, b"v")
    with pytest.raises(DeliveryError):
        producer.close(10)
    assert repr(producer).startswith("<ThroughputProducer closed")
    producer.close()


def test_failures_nobody_asks_for_are_kept_within_bounds(embedded_cluster, producer, name):
    embedded_cluster.push_errors(PRODUCE, [REFUSED] * 25_000)
    for _ in range(25_000):
        producer.send(name, b"v")
    with pytest.raises(DeliveryError, match="25000 records") as caught:
        producer.flush(120)
    embedded_cluster.clear_errors(PRODUCE)
    assert len(caught.value.failures) <= 10_000


def test_flush_says_how_many_are_left(embedded_cluster, producer, name):
    embedded_cluster.set_rtt(HELD)
    for _ in range(5):
        producer.send(name, b"v")
    assert producer.flush(0.1) == 5
    embedded_cluster.set_rtt(0)
    assert producer.flush(10) == 0


def test_flush_does_not_wait_for_what_others_send_meanwhile(embedded_cluster, producer, name):
    """Another thread sends for ever; the queue is never empty, but what was accepted before is soon written."""
    embedded_cluster.set_rtt(50)
    stop, called = threading.Event(), []

    def send():
        while not stop.wait(0.001):
            producer.send(name, b"other")
            producer.send(name, b"other", on_delivery=lambda *_: None)
            producer.send_batch(name, [b"other"] * 2)

    other = threading.Thread(target=send)
    other.start()
    try:
        for _ in range(5):
            producer.send(name, b"mine", on_delivery=lambda *_: called.append(1))
            delivery = producer.send_batch(name, [b"mine"])
            assert producer.flush(10) == 0
            assert delivery.done()
        assert len(called) == 5
    finally:
        stop.set()
        other.join()
    embedded_cluster.set_rtt(0)


@pytest.mark.parametrize("watched", [False, True])
def test_a_lone_record_that_was_refused_is_called_not_written(embedded_cluster, producer, name, watched):
    """Whatever was sent before: only requests since the record was handed over can have carried it."""
    for _ in range(3):
        producer.send(name, b"before")
        producer.flush(10)
    embedded_cluster.push_errors(PRODUCE, [REFUSED])
    told = []
    producer.send(name, b"v", on_delivery=(lambda err, _: told.append(err)) if watched else None)
    if watched:
        producer.flush(10)
    else:
        with pytest.raises(DeliveryError) as caught:
            producer.flush(10)
        told.append(caught.value)
    assert told[0].verdict is Verdict.NOT_WRITTEN


@pytest.mark.timing
def test_records_nobody_can_deliver_end_with_their_timeout(embedded_cluster, topic):
    name = topic(embedded_cluster)
    with ThroughputProducer(
        {"message.timeout.ms": 500}, bootstrap_servers=embedded_cluster.bootstrap_servers
    ) as producer:
        producer.partitions_for(name)
        for broker in embedded_cluster.broker_ids:
            embedded_cluster.stop_broker(broker)
        started = time.monotonic()
        delivery = producer.send_batch(name, [b"v"] * 10)
        with pytest.raises(BatchError) as caught:
            delivery.result(10)
        assert time.monotonic() - started < 0.5 + 1.5 + 0.5
        assert {failure.verdict for failure in caught.value.metadata.failures} == {Verdict.NOT_WRITTEN}
        assert {failure.error.code() for failure in caught.value.metadata.failures} == {KafkaError._MSG_TIMED_OUT}


# ---- accounting ----------------------------------------------------------------------------------------------------


def test_the_counters_add_up_while_everything_goes_on(embedded_cluster, producer, topic):
    name = topic(embedded_cluster, 4)
    embedded_cluster.push_errors(PRODUCE, [0, REFUSED, 0, DOUBTFUL, 0, 0, REFUSED] * 3)
    stop, bad = threading.Event(), []

    def watch():
        while not stop.is_set():
            counts = producer.stats()
            total = counts.written + counts.not_written + counts.unknown + counts.in_queue
            if counts.accepted != total or min(counts.in_queue, counts.in_queue_bytes) < 0:
                bad.append(counts)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        deliveries = [
            producer.send_batch(name, [b"x" * 100] * 3_000, keys=[b"%d" % i for i in range(3_000)]) for _ in range(30)
        ]
        for _ in range(3_000):
            producer.send(name, b"one")
        for delivery in deliveries:
            try:
                delivery.result(20)
            except BatchError as error:
                assert error.metadata.written + error.metadata.failed == 3_000
    finally:
        stop.set()
        watcher.join()
    assert not bad


def test_waits_that_are_cancelled_leave_nothing_behind(embedded_cluster, producer, name):
    producer.partitions_for(name)
    embedded_cluster.set_rtt(HELD)
    delivery = producer.send_batch(name, [b"v"])

    async def waiter():
        return await delivery

    async def cancelled():
        for _ in range(100):
            task = asyncio.ensure_future(waiter())
            await asyncio.sleep(0)  # into the wait
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        left = len(delivery._callbacks)
        embedded_cluster.set_rtt(0)
        assert (await delivery).written == 1
        return left

    assert asyncio.run(cancelled()) == 0
