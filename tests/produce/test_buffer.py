"""The throughput lane's window: bounded in records and bytes, and what a full one does."""

from __future__ import annotations

import contextlib
import threading
import time

import numpy as np
import pytest
from confluent_kafka import KafkaError

from tests.support.readers import read_all, read_values
from tests.support.waiting import HELD, hold_answers, in_thread, stays, until_requests, wait_until
from twolane import BatchError, ClosedProducerError, ConfigError, QueueFullError, ThroughputProducer, Verdict
from twolane.testing import ApiKey


@pytest.fixture
def make(embedded_cluster):
    made = []

    def make(on_full="block", **settings):
        settings.setdefault("queue_buffering_max_messages", 100)
        producer = ThroughputProducer(bootstrap_servers=embedded_cluster.bootstrap_servers, on_full=on_full, **settings)
        made.append(producer)
        return producer

    yield make
    embedded_cluster.set_rtt(0)
    for producer in made:
        producer.close(10)
        assert producer._reader.violations == 0


@pytest.fixture
def name(embedded_cluster, topic):
    return topic(embedded_cluster)


def test_a_full_window_raises_and_says_where_the_batch_stopped(embedded_cluster, make, name):
    producer = make("raise")
    producer.partitions_for(name)
    embedded_cluster.set_rtt(HELD)
    values = [b"%d" % i for i in range(250)]
    with pytest.raises(BufferError) as caught:
        producer.send_batch(name, values)
    assert isinstance(caught.value, QueueFullError)
    assert caught.value.index == 100
    assert caught.value.delivery.accepted == 100
    assert values == [b"%d" % i for i in range(250)]
    assert producer.stats().in_queue == 100
    with pytest.raises(QueueFullError):
        producer.send(name, b"more")
    embedded_cluster.set_rtt(0)
    metadata = caught.value.delivery.result(10)
    assert len(metadata) == metadata.written == 100
    # The rest, from the index on: nothing lost, nothing twice.
    assert producer.send_batch(name, values[caught.value.index : 200]).result(10).written == 100
    assert read_values(embedded_cluster.bootstrap_servers, name) == values[:200]


def test_a_batch_over_many_partitions_stops_at_its_own_record(embedded_cluster, make, topic):
    """Records go grouped by partition, but a full window accepts what is before `index`, and nothing else."""
    name = topic(embedded_cluster, 5)
    producer = make("raise", queue_buffering_max_messages=1_000)
    producer.partitions_for(name)
    embedded_cluster.set_rtt(HELD)
    values = [b"%d" % i for i in range(3_000)]
    partitions = np.random.default_rng(7).integers(0, 5, 3_000).astype(np.int32)
    with pytest.raises(QueueFullError) as caught:
        producer.send_batch(name, values, partitions=partitions)
    assert caught.value.index == 1_000
    embedded_cluster.set_rtt(0)
    metadata = caught.value.delivery.result(10)
    assert metadata.partitions.tolist() == partitions[:1_000].tolist()
    log = read_all(embedded_cluster.bootstrap_servers, name)
    for partition in range(5):
        expected = [value for value, place in zip(values[:1_000], partitions, strict=False) if place == partition]
        assert [record.value for record in log if record.partition == partition] == expected


def test_a_full_window_blocks_and_then_everything_arrives_in_order(embedded_cluster, make, name):
    producer = make()
    values = [b"%d" % i for i in range(5_000)]
    seen = []
    stop = threading.Event()

    def watch():
        while not stop.is_set():
            seen.append(producer.stats().in_queue)
            time.sleep(0.0005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for value in values[:1_000]:
            producer.send(name, value)
        assert producer.send_batch(name, values[1_000:]).result(20).written == 4_000
    finally:
        stop.set()
        watcher.join()
    assert max(seen) <= 100
    assert read_values(embedded_cluster.bootstrap_servers, name) == values


@pytest.mark.timing
@pytest.mark.parametrize("call", ["send", "send_batch"])
def test_a_blocked_call_ends_with_its_timeout(embedded_cluster, make, name, call):
    producer = make()
    producer.send_batch(name, [b"v"] * 50).result(10)
    embedded_cluster.set_rtt(HELD)
    producer.send_batch(name, [b"v"] * 100)
    started = time.monotonic()
    with pytest.raises(QueueFullError) as caught:
        if call == "send":
            producer.send(name, b"v", timeout=0.3)
        else:
            producer.send_batch(name, [b"v"] * 10, timeout=0.3)
    assert 0.25 < time.monotonic() - started < 0.3 + 1.5
    assert caught.value.index == 0
    embedded_cluster.set_rtt(0)


def test_a_blocked_call_lets_other_threads_run(embedded_cluster, make, name):
    producer = make()
    producer.partitions_for(name)
    embedded_cluster.set_rtt(10_000)
    producer.send_batch(name, [b"v"] * 100)
    blocked = threading.Thread(target=producer.send, args=(name, b"v"))
    blocked.start()
    wait_until(lambda: producer._handle.users)
    for _ in range(10_000):
        pass
    assert blocked.is_alive(), "this thread came to its turns only when the other had room"
    embedded_cluster.set_rtt(0)
    blocked.join(60)
    assert not blocked.is_alive()


def test_a_callable_decides(embedded_cluster, make, name):
    calls = []

    def on_full(producer):
        calls.append(producer)
        time.sleep(0.005)

    producer = make(on_full)
    embedded_cluster.set_rtt(20)
    delivery = producer.send_batch(name, [b"%d" % i for i in range(1_000)])
    assert delivery.result(20).written == 1_000
    assert calls
    assert set(calls) == {producer}
    assert read_values(embedded_cluster.bootstrap_servers, name) == [b"%d" % i for i in range(1_000)]


def test_what_a_callable_raises_goes_to_the_caller(embedded_cluster, make, name):
    class Enough(Exception):
        pass

    def on_full(producer):
        raise Enough

    producer = make(on_full)
    producer.partitions_for(name)
    embedded_cluster.set_rtt(HELD)
    with pytest.raises(Enough) as caught:
        producer.send_batch(name, [b"v"] * 150)
    assert "100 of 150 records had been accepted" in caught.value.__notes__[0]
    assert producer.stats().accepted == 100


def test_a_callable_may_raise_queue_full_itself_and_cannot_send(embedded_cluster, make, name):
    told = []

    def on_full(producer):
        with pytest.raises(QueueFullError) as caught:
            producer.send(name, b"x")
        told.append(caught.value)
        raise QueueFullError("mine")

    producer = make(on_full)
    producer.partitions_for(name)
    embedded_cluster.set_rtt(HELD)
    with pytest.raises(QueueFullError, match="mine") as caught:
        producer.send_batch(name, [b"v"] * 150)
    assert caught.value.index == 100
    assert caught.value.delivery.accepted == 100
    assert len(told) == 1


def test_a_callable_may_flush(embedded_cluster, make, name):
    """What the call has enqueued so far is waited for, not the whole of it."""
    in_queue = []

    def on_full(producer):
        assert producer.flush() == 0
        in_queue.append(producer.stats().in_queue)

    producer = make(on_full)
    embedded_cluster.set_rtt(20)
    before = producer.send_batch(name, [b"before"])
    batch = producer.send_batch(name, [b"%d" % i for i in range(300)])
    for i in range(300, 450):
        producer.send(name, b"%d" % i)
    assert len(in_queue) >= 3
    assert set(in_queue) == {0}
    assert before.done()
    assert producer.flush() == 0
    assert batch.result(0).written == 300
    assert read_values(embedded_cluster.bootstrap_servers, name)[1:] == [b"%d" % i for i in range(450)]


def test_a_callables_flush_says_how_many_are_left(embedded_cluster, make, name):
    left = []

    def on_full(producer):
        left.append(producer.flush(0.05))
        raise QueueFullError("enough")

    producer = make(on_full)
    producer.partitions_for(name)
    embedded_cluster.set_rtt(HELD)
    with pytest.raises(QueueFullError):
        producer.send_batch(name, [b"v"] * 150)
    assert left == [100]


@pytest.mark.parametrize("bad", ["wait", None, 7])
def test_on_full_is_checked(embedded_cluster, bad):
    with pytest.raises(ConfigError, match="on_full"):
        ThroughputProducer(bootstrap_servers=embedded_cluster.bootstrap_servers, on_full=bad)


def test_the_window_counts_bytes(embedded_cluster, make, name):
    producer = make("raise", queue_buffering_max_messages=1_000_000, queue_buffering_max_kbytes=100)
    producer.partitions_for(name)
    embedded_cluster.set_rtt(HELD)
    with pytest.raises(QueueFullError) as caught:
        producer.send_batch(name, [b"x" * 990] * 1_000, keys=b"k" * 10)
    # The record that passes the mark is the last one let in.
    assert caught.value.index == -(-100 * 1024 // 1_000)
    assert producer.stats().in_queue_bytes == caught.value.index * 1_000
    with pytest.raises(QueueFullError):
        producer.send(name, b"x")


def test_a_record_larger_than_the_window_goes_alone(embedded_cluster, make, name):
    producer = make(queue_buffering_max_kbytes=1)
    delivery = producer.send_batch(name, [b"x" * 50_000] * 5)
    producer.send(name, b"y" * 50_000)
    assert delivery.result(10).written == 5
    producer.flush(10)
    assert [len(value) for value in read_values(embedded_cluster.bootstrap_servers, name)] == [50_000] * 6


@pytest.mark.parametrize("size", [1, 2, 3, 1_023, 1_025])
def test_windows_of_odd_sizes(embedded_cluster, make, name, size):
    producer = make(queue_buffering_max_messages=size, linger_ms=0)
    n = 50 if size < 10 else 5_000
    assert producer.send_batch(name, [b"%d" % i for i in range(n)]).result(30).written == n
    assert read_values(embedded_cluster.bootstrap_servers, name) == [b"%d" % i for i in range(n)]


def test_a_callback_that_sends_into_a_full_window_is_told_so(embedded_cluster, make, name):
    producer = make(queue_buffering_max_messages=1)
    told = []

    def on_delivery(err, metadata):
        producer.send(name, b"second")
        try:
            producer.send(name, b"third")
        except QueueFullError as error:
            told.append(error)

    producer.send(name, b"first", on_delivery=on_delivery)
    producer.flush(10)
    assert len(told) == 1
    assert read_values(embedded_cluster.bootstrap_servers, name) == [b"first", b"second"]


@pytest.mark.parametrize("call", ["send", "send_batch"])
def test_closing_ends_a_blocked_call(embedded_cluster, make, name, call):
    producer = make()
    producer.send_batch(name, [b"v"] * 10).result(10)
    embedded_cluster.set_rtt(HELD)
    first = producer.send_batch(name, [b"v"] * 100)
    ends = []

    def blocked():
        try:
            producer.send(name, b"v") if call == "send" else producer.send_batch(name, [b"v"] * 10)
        except BaseException as error:
            ends.append(error)

    thread = threading.Thread(target=blocked)
    thread.start()
    wait_until(lambda: producer._handle.users)
    closer, _ = in_thread(lambda: producer.close(60))
    thread.join(60)
    assert [type(error) for error in ends] == [ClosedProducerError]
    embedded_cluster.set_rtt(0)
    closer.join(60)
    assert first.result(0).written == 100
    assert producer.stats().accepted == 110


@pytest.mark.parametrize(("resume_at", "waits"), [(0.9, False), (0.5, True), (0, True)])
def test_a_waiting_call_goes_on_at_the_low_water_mark(embedded_cluster, make, topic, monkeypatch, resume_at, waits):
    """40 of 100 records are answered soon, 60 never: below 0.9 of the window, above its half."""
    name = topic(embedded_cluster, 2)
    embedded_cluster.set_leader(name, 0, 1)
    embedded_cluster.set_leader(name, 1, 2)
    producer = make(resume_at=resume_at, linger_ms=0)
    producer.send_batch(name, [b"warm"] * 2, partitions=[0, 1]).result(10)
    # Only then, or the answer may be there before the window is full.
    embedded_cluster.set_rtt(HELD, 1)
    # In as many requests as librdkafka makes of the 60: without lingering the first may go before the rest is in.
    embedded_cluster.push_broker_errors(2, ApiKey.PRODUCE, [(0, HELD)] * 60)
    producer.send_batch(name, [b"v"] * 60, partitions=1)
    # Not before the call has found the window full, or there may be space for all of it when it looks.
    is_full, wait = threading.Event(), producer._backpressure.wait_for_space
    monkeypatch.setattr(producer._backpressure, "wait_for_space", lambda *given: (is_full.set(), wait(*given)))
    call = threading.Thread(target=producer.send_batch, args=(name, [b"v"] * 41), kwargs={"partitions": 0})
    call.start()
    assert is_full.wait(60)
    embedded_cluster.set_rtt(0, 1)
    wait_until(lambda: producer.stats().written >= 42)
    if waits:
        assert stays(call.is_alive)
        producer.purge(in_flight=True)
    call.join(60)
    assert not call.is_alive()
    producer.purge(in_flight=True)
    with contextlib.suppress(BatchError):
        producer.flush(10)


@pytest.mark.parametrize("bad", [-0.1, 1, 7])
def test_resume_at_is_checked(embedded_cluster, bad):
    with pytest.raises(ConfigError, match="resume_at"):
        ThroughputProducer(bootstrap_servers=embedded_cluster.bootstrap_servers, resume_at=bad)


def test_purge_drops_what_is_in_the_queue_and_tells(embedded_cluster, make, name):
    producer = make(linger_ms=5_000)
    producer.partitions_for(name)
    delivery = producer.send_batch(name, [b"v"] * 50)
    producer.purge()
    with pytest.raises(BatchError) as caught:
        delivery.result(30)
    assert {failure.verdict for failure in caught.value.metadata.failures} == {Verdict.NOT_WRITTEN}
    assert {failure.error.code() for failure in caught.value.metadata.failures} == {KafkaError._PURGE_QUEUE}
    stats = producer.stats()
    assert (stats.accepted, stats.not_written, stats.in_queue) == (50, 50, 0)
    assert read_values(embedded_cluster.bootstrap_servers, name) == []


def test_purge_of_what_is_in_flight_leaves_it_open(embedded_cluster, make, name):
    producer = make(linger_ms=0)
    producer.send_batch(name, [b"warm"]).result(10)
    embedded_cluster.clear_requests()
    hold_answers(embedded_cluster)
    delivery = producer.send_batch(name, [b"v"] * 10)
    until_requests(embedded_cluster)
    producer.purge()
    assert not delivery.done()
    producer.purge(in_flight=True)
    with pytest.raises(BatchError) as caught:
        delivery.result(30)
    assert {failure.verdict for failure in caught.value.metadata.failures} == {Verdict.UNKNOWN}
    assert len(read_values(embedded_cluster.bootstrap_servers, name)) == 11


def test_a_batch_that_waits_for_room_goes_on_after_a_purge(embedded_cluster, make, name):
    producer = make(linger_ms=0)
    producer.send_batch(name, [b"warm"]).result(10)
    embedded_cluster.set_rtt(HELD)
    deliveries = []
    thread = threading.Thread(
        target=lambda: deliveries.append(producer.send_batch(name, [b"%d" % i for i in range(300)]))
    )
    thread.start()
    wait_until(lambda: producer.stats().in_queue >= 100)
    producer.purge(in_flight=True)
    embedded_cluster.set_rtt(0)
    thread.join(60)
    with pytest.raises(BatchError) as caught:
        deliveries[0].result(60)
    metadata = caught.value.metadata
    purged = metadata.failed
    # They count before they go, so few may be there yet; the next hundred may come while the purge is still at work.
    assert 1 <= purged <= 200
    assert metadata.failures.indices == list(range(purged))
    assert metadata.written == 300 - purged


def test_partitions_that_are_added_are_found(embedded_cluster, make):
    """librdkafka's mock cannot add partitions to a topic, so it is a topic counted wrongly that gets them."""
    embedded_cluster.create_topic("grows", 4)
    producer = make()
    producer.send("grows", b"v", partition=0)
    handle = producer._handle.open_topic("grows")
    handle.counted(2)
    handle.counted_at = 1.0
    producer.send("grows", b"v", partition=3)
    assert handle.partition_count == 4
    handle.counted(2)
    handle.counted_at = 1.0
    producer.send_batch("grows", [b"v"] * 2, partitions=np.array([0, 3]))
    assert handle.partition_count == 4
    handle.counted(2)
    handle.counted_at = -1e9
    producer._handle.mark_old_topics()
    producer.send("grows", b"v", key=b"0")
    assert handle.partition_count == 4
    producer.flush(10)
