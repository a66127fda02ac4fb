"""A fast ``send()`` gathers its records before they go: none may be lost there, none overtaken, none kept waiting."""

from __future__ import annotations

import contextlib
import gc
import math
import os
import threading
from typing import TYPE_CHECKING

import pytest

from tests.support.readers import read_all
from tests.support.waiting import wait_until
from twolane import DeliveryError, ThroughputProducer, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

PARTITIONS = 12
# Two stretches of send() and half a stage: the first stretch goes directly.
FAST = 2 * 1024 + 128


def fast_producer(settings: dict) -> ThroughputProducer:
    """Return a producer that takes every loop for a fast one, however slow the machine is."""
    producer = ThroughputProducer(settings)
    producer._fast_stretch = math.inf
    return producer


@contextlib.contextmanager
def only_the_sender(producer: ThroughputProducer, aside: str) -> Iterator[None]:
    """Keep the service thread in a callback: meanwhile only a call of the test's empties the stage."""
    entered, over = threading.Event(), threading.Event()
    producer.send(aside, b"x", partition=0, on_delivery=lambda *_: (entered.set(), over.wait()))
    assert entered.wait(30)
    try:
        yield
    finally:
        over.set()


def send_fast(producer: ThroughputProducer, topic: str, first: int = 0, n: int = FAST, **more) -> int:
    """Send numbers in a loop that ends with some of them in the stage; return how many."""
    send = producer.send
    for i in range(first, first + n):
        send(topic, b"%d" % i, partition=i % PARTITIONS, **more)
    return n


def stage(producer: ThroughputProducer, topic: str, **more) -> int:
    """Send until records lie in the stage, and say how many were sent in all."""
    sent = send_fast(producer, topic, **more)
    assert len(producer._accumulator)
    return sent


@pytest.fixture
def many(embedded_cluster, topic) -> str:
    return topic(embedded_cluster, PARTITIONS)


@pytest.fixture
def aside(embedded_cluster, topic) -> str:
    return topic(embedded_cluster)


@pytest.fixture
def settings(embedded_cluster) -> dict:
    return {"bootstrap.servers": embedded_cluster.bootstrap_servers}


def check_log(settings: dict, topic: str, sent: int) -> None:
    records = read_all(settings["bootstrap.servers"], topic, expected=sent)
    assert len(records) == sent
    for partition in range(PARTITIONS):
        here = [int(record.value) for record in records if record.partition == partition]
        assert here == list(range(partition, sent, PARTITIONS))


def test_who_stops_sending_need_not_flush(settings, many, aside):
    with fast_producer(settings) as producer:
        with only_the_sender(producer, aside):
            sent = stage(producer, many)
        # Not by stats(), which empties the stage itself.
        wait_until(lambda: not len(producer._accumulator))
        wait_until(lambda: not producer.stats().in_queue)
        assert producer.stats().written == sent + 1
    check_log(settings, many, sent)


def test_what_is_staged_is_counted(settings, many, aside):
    with fast_producer(settings) as producer, only_the_sender(producer, aside):
        sent = stage(producer, many)
        assert producer.stats().accepted == sent + 1


@pytest.mark.parametrize("end", ["flush", "close", "leave"])
def test_what_is_staged_is_written_at_the_end(settings, many, aside, end):
    producer = fast_producer(settings)
    with only_the_sender(producer, aside):
        sent = stage(producer, many)
    if end == "leave":
        with pytest.warns(ResourceWarning):
            del producer
            gc.collect()
    elif end == "flush":
        assert producer.flush(10) == 0
        assert producer.stats().written == sent + 1
        producer.close()
    else:
        producer.close()
    check_log(settings, many, sent)


def test_records_that_cannot_be_staged_do_not_overtake_those_that_are(settings, many, aside):
    with fast_producer(settings) as producer:
        with only_the_sender(producer, aside):
            sent = stage(producer, many)
            for kind in range(20):
                place = sent % PARTITIONS
                if kind % 4 == 0:
                    producer.send(many, b"%d" % sent, partition=place, headers={"a": b"b"})
                elif kind % 4 == 1:
                    producer.send(many, b"%03000d" % sent, partition=place)
                elif kind % 4 == 2:
                    producer.send_batch(many, [b"%d" % sent], partitions=[place])
                else:
                    producer.send(many, b"%d" % sent, partition=place, timestamp_header="at")
                assert len(producer._accumulator) == 0
                sent += 1
                sent += send_fast(producer, many, sent, 100)
                assert len(producer._accumulator)
        assert producer.flush(10) == 0
    check_log(settings, many, sent)


def test_topics_in_turn_keep_their_order(settings, many, aside, embedded_cluster, topic):
    other = topic(embedded_cluster, PARTITIONS)
    with fast_producer(settings) as producer:
        with only_the_sender(producer, aside):
            sent = stage(producer, many)
            send_fast(producer, other)
            send_fast(producer, many, sent)
            for i in range(sent + FAST, sent + 2 * FAST):
                producer.send(many, b"%d" % i, partition=i % PARTITIONS)
                producer.send(other, b"%d" % (i - sent), partition=(i - sent) % PARTITIONS)
        assert producer.flush(10) == 0
    check_log(settings, many, sent + 2 * FAST)
    check_log(settings, other, 2 * FAST)


def test_times_keys_nulls_and_callbacks_are_kept(settings, many, aside):
    told = []
    at = 1_700_000_000_000
    with fast_producer(settings) as producer:
        with only_the_sender(producer, aside):
            sent = stage(producer, many)
            for i in range(100):
                value, key = (None, b"k%d" % i) if i % 2 else (b"", None if i % 4 else b"")
                producer.send(
                    many,
                    value,
                    key=key,
                    partition=3,
                    timestamp=at + i,
                    on_delivery=lambda e, m: told.append((e, m.offset)),
                )
        assert producer.flush(10) == 0
    records = read_all(settings["bootstrap.servers"], many, expected=sent + 100)
    here = [record for record in records if record.partition == 3][-100:]
    assert [record.timestamp for record in here] == [(1, at + i) for i in range(100)]
    assert [record.value for record in here] == [None if i % 2 else b"" for i in range(100)]
    assert [record.key for record in here] == [b"k%d" % i if i % 2 else None if i % 4 else b"" for i in range(100)]
    assert told == [(None, record.offset) for record in here]


def test_purge_reports_what_is_staged(settings, many, aside):
    with fast_producer(settings) as producer:
        with only_the_sender(producer, aside):
            sent = stage(producer, many)
            producer.purge(in_flight=True)
        with pytest.raises(DeliveryError):
            producer.flush(10)
        counts = producer.stats()
        assert counts.accepted == sent + 1 == counts.written + counts.not_written + counts.unknown
        assert counts.in_queue == 0


def test_what_librdkafka_refuses_is_reported_as_not_written(settings, many, aside):
    told = []
    with fast_producer(settings) as producer:
        with only_the_sender(producer, aside):
            sent = stage(producer, many, on_delivery=lambda e, _: told.append(e))
            staged = len(producer._accumulator)
            # No call of a user's does that: the topic's native handle is gone, so nothing of it can be enqueued.
            producer._handle.open_topic(many).close()
        producer.flush(10)
        refused = [error for error in told if error is not None]
        assert len(refused) == staged
        assert {error.verdict for error in refused} == {Verdict.NOT_WRITTEN}
        counts = producer.stats()
        assert (counts.not_written, counts.in_queue) == (staged, 0)
        assert (len(told), counts.written) == (sent, 1 + sent - staged)


@pytest.mark.parametrize(
    "more", [{"linger.ms": 0}, {"enable.idempotence": True}, {"transactional.id": "stage"}], ids=str
)
def test_some_producers_stage_nothing(settings, many, more):
    with fast_producer({**settings, **more}) as producer:
        if "transactional.id" in more:
            producer.init_transactions(10)
            with producer.transaction():
                send_fast(producer, many, n=4 * 1024 + 100)
                assert len(producer._accumulator) == 0
        else:
            send_fast(producer, many, n=4 * 1024 + 100)
            assert len(producer._accumulator) == 0


def test_records_without_a_choice_of_partition_are_grouped_as_they_are(settings, many, aside):
    with fast_producer(settings) as producer, only_the_sender(producer, aside):
        sent = stage(producer, many)
        producer.send(many, b"%d" % sent)
        assert len(producer._accumulator) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork() here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_sends_nothing_of_it(settings, many, aside):
    with fast_producer(settings) as producer:
        with only_the_sender(producer, aside):
            sent = stage(producer, many)
            child = os.fork()
            if child == 0:
                try:
                    producer._accumulator.drain()
                    os._exit(0 if len(producer._accumulator) == 0 else 1)
                finally:
                    os._exit(2)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        producer.flush(10)
    check_log(settings, many, sent)
