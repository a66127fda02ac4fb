"""A fast ``send()`` gathers its records before they go: none may be lost there, none overtaken, none kept waiting."""

from __future__ import annotations

import gc
import os
import time

import pytest

from tests.support.readers import read_all
from twolane import DeliveryError, ThroughputProducer, Verdict

PARTITIONS = 12
# Two stretches of send() and half a stage: the first stretch goes directly.
FAST = 2 * 1024 + 128


def send_fast(producer: ThroughputProducer, topic: str, first: int = 0, n: int = FAST, **more) -> None:
    """Send numbers in a loop that ends with some of them in the stage."""
    send = producer.send
    for i in range(first, first + n):
        send(topic, b"%d" % i, partition=i % PARTITIONS, **more)


def until_staged(producer: ThroughputProducer, topic: str, **more) -> int:
    """Send until records lie in the stage, and say how many: a loop that loses the processor is not a fast one."""
    sent = 0
    for _ in range(40):
        send_fast(producer, topic, sent, **more)
        sent += FAST
        if len(producer._stage):
            return sent
    pytest.fail("no record was ever staged")


@pytest.fixture
def many(embedded_cluster, topic) -> str:
    return topic(embedded_cluster, PARTITIONS)


@pytest.fixture
def settings(embedded_cluster) -> dict:
    return {"bootstrap.servers": embedded_cluster.bootstrap_servers}


def check_log(settings: dict, topic: str, sent: int) -> None:
    records = read_all(settings["bootstrap.servers"], topic, expected=sent)
    assert len(records) == sent
    for partition in range(PARTITIONS):
        here = [int(record.value) for record in records if record.partition == partition]
        assert here == list(range(partition, sent, PARTITIONS))


def test_who_stops_sending_need_not_flush(settings, many):
    with ThroughputProducer(settings) as producer:
        sent = until_staged(producer, many)
        started = time.monotonic()
        # Not by stats(), which empties the stage itself.
        while len(producer._stage) and time.monotonic() - started < 5:
            time.sleep(0.002)
        while producer.stats().in_queue and time.monotonic() - started < 5:
            time.sleep(0.002)
        # linger.ms, a round trip, two looks of the service thread; generous for a busy machine.
        assert time.monotonic() - started < 1
        assert producer.stats().written == sent
    check_log(settings, many, sent)


def test_what_is_staged_is_counted(settings, many):
    with ThroughputProducer(settings) as producer:
        sent = until_staged(producer, many)
        assert producer.stats().accepted == sent


@pytest.mark.parametrize("end", ["flush", "close", "leave"])
def test_what_is_staged_is_written_at_the_end(settings, many, end):
    producer = ThroughputProducer(settings)
    sent = until_staged(producer, many)
    if end == "leave":
        with pytest.warns(ResourceWarning):
            del producer
            gc.collect()
    elif end == "flush":
        assert producer.flush(10) == 0
        assert producer.stats().written == sent
        producer.close()
    else:
        producer.close()
    check_log(settings, many, sent)


def test_records_that_cannot_be_staged_do_not_overtake_those_that_are(settings, many):
    sent = 0
    with ThroughputProducer(settings) as producer:
        for _ in range(20):
            sent += until_staged_from(producer, many, sent)
            place = sent % PARTITIONS
            kind = sent // PARTITIONS % 4
            if kind == 0:
                producer.send(many, b"%d" % sent, partition=place, headers={"a": b"b"})
            elif kind == 1:
                producer.send(many, b"%03000d" % sent, partition=place)
            elif kind == 2:
                producer.send_batch(many, [b"%d" % sent], partitions=[place])
            else:
                producer.send(many, b"%d" % sent, partition=place, timestamp_header="at")
            sent += 1
        assert producer.flush(10) == 0
    check_log(settings, many, sent)


def until_staged_from(producer: ThroughputProducer, topic: str, first: int) -> int:
    """Send from a number on, at most some rounds; whether the last of them are staged is left to the machine."""
    n = 0
    for _ in range(3):
        send_fast(producer, topic, first + n, 1100)
        n += 1100
        if len(producer._stage):
            break
    return n


def test_topics_in_turn_keep_their_order(settings, many, embedded_cluster, topic):
    other = topic(embedded_cluster, PARTITIONS)
    with ThroughputProducer(settings) as producer:
        sent = until_staged(producer, many)
        send_fast(producer, other)
        send_fast(producer, many, sent)
        for i in range(sent + FAST, sent + 2 * FAST):
            producer.send(many, b"%d" % i, partition=i % PARTITIONS)
            producer.send(other, b"%d" % (i - sent), partition=(i - sent) % PARTITIONS)
        assert producer.flush(10) == 0
    check_log(settings, many, sent + 2 * FAST)
    check_log(settings, other, 2 * FAST)


def test_times_keys_nulls_and_callbacks_are_kept(settings, many):
    told = []
    with ThroughputProducer(settings) as producer:
        sent = until_staged(producer, many)
        at = 1_700_000_000_000
        for i in range(100):
            value, key = (None, b"k%d" % i) if i % 2 else (b"", None if i % 4 else b"")
            producer.send(
                many, value, key=key, partition=3, timestamp=at + i, on_delivery=lambda e, m: told.append((e, m.offset))
            )
        assert producer.flush(10) == 0
    records = read_all(settings["bootstrap.servers"], many, expected=sent + 100)
    here = [record for record in records if record.partition == 3][-100:]
    assert [record.timestamp for record in here] == [(1, at + i) for i in range(100)]
    assert [record.value for record in here] == [None if i % 2 else b"" for i in range(100)]
    assert [record.key for record in here] == [b"k%d" % i if i % 2 else None if i % 4 else b"" for i in range(100)]
    assert told == [(None, record.offset) for record in here]


def test_purge_reports_what_is_staged(settings, many):
    with ThroughputProducer(settings) as producer:
        sent = until_staged(producer, many)
        producer.purge(in_flight=True)
        with pytest.raises(DeliveryError):
            producer.flush(10)
        counts = producer.stats()
        assert counts.accepted == sent == counts.written + counts.not_written + counts.unknown
        assert counts.in_queue == 0


def test_what_librdkafka_refuses_is_reported_as_not_written(settings, many):
    told = []
    with ThroughputProducer(settings) as producer:
        until_staged(producer, many)
        producer.flush(10)
        written = producer.stats().written
        until_staged(producer, many, on_delivery=lambda e, _: told.append(e))
        staged = len(producer._stage)
        # No call of a user's does that: the topic's native handle is gone, so nothing of it can be enqueued.
        producer._handle.open_topic(many).close()
        producer.flush(10)
        refused = [error for error in told if error is not None]
        assert len(refused) == staged
        assert {error.verdict for error in refused} == {Verdict.NOT_WRITTEN}
        counts = producer.stats()
        assert (counts.not_written, counts.in_queue) == (staged, 0)
        assert counts.written == written + len(told) - staged


@pytest.mark.parametrize(
    "more", [{"linger.ms": 0}, {"enable.idempotence": True}, {"transactional.id": "stage"}], ids=str
)
def test_some_producers_stage_nothing(settings, many, more):
    with ThroughputProducer({**settings, **more}) as producer:
        if "transactional.id" in more:
            producer.init_transactions(10)
            with producer.transaction():
                send_fast(producer, many, n=4 * 1024 + 100)
                assert len(producer._stage) == 0
        else:
            send_fast(producer, many, n=4 * 1024 + 100)
            assert len(producer._stage) == 0


def test_records_without_a_choice_of_partition_are_grouped_as_they_are(settings, many):
    with ThroughputProducer(settings) as producer:
        sent = until_staged(producer, many)
        producer.send(many, b"%d" % sent)
        assert len(producer._stage) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork() here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_sends_nothing_of_it(settings, many):
    with ThroughputProducer(settings) as producer:
        sent = until_staged(producer, many)
        child = os.fork()
        if child == 0:
            try:
                producer._stage.push()
                os._exit(0 if len(producer._stage) == 0 else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        producer.flush(10)
    check_log(settings, many, sent)
