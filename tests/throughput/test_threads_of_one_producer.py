"""Many threads on one throughput producer, and its memory."""

from __future__ import annotations

import gc
import threading
from collections import Counter
from pathlib import Path

import psutil
import pytest

from tests.support.processes import UNDER_SANITIZER
from tests.support.readers import read_all
from tests.support.waiting import wait_until
from twolane import ClosedProducerError, ThroughputProducer

EACH = 3_000


def test_eight_threads_send_one_by_one_and_in_batches(embedded_cluster, topic):
    name = topic(embedded_cluster, 4)
    called, failures = Counter(), []

    def one_by_one(number):
        for i in range(EACH):
            producer.send(name, b"%d-%d" % (number, i), key=b"%d" % number, on_delivery=lambda e, _: called.update([e]))

    def batches(number):
        deliveries = [
            producer.send_batch(name, [b"%d-%d" % (number, i + j) for j in range(100)], keys=b"%d" % number)
            for i in range(0, EACH, 100)
        ]
        for delivery in deliveries:
            assert delivery.result(30).written == 100

    def run(work, number):
        try:
            work(number)
        except BaseException as error:
            failures.append(error)

    with ThroughputProducer(
        {"queue.buffering.max.messages": 2_000}, bootstrap_servers=embedded_cluster.bootstrap_servers
    ) as producer:
        threads = [
            threading.Thread(target=run, args=(one_by_one if number % 2 else batches, number)) for number in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert producer.flush(30) == 0
    assert failures == []
    assert called == {None: 4 * EACH}
    counts = producer.stats()
    assert counts.accepted == counts.written == 8 * EACH
    records = read_all(embedded_cluster.bootstrap_servers, name, expected=8 * EACH)
    assert len(records) == 8 * EACH
    for number in range(8):
        mine = [record.value for record in records if record.key == b"%d" % number]
        # One thread's records of one key: one partition, in the order they were sent.
        assert mine == [b"%d-%d" % (number, i) for i in range(EACH)]


def test_callbacks_of_a_partition_come_in_its_order_whoever_takes_the_reports(embedded_cluster, topic):
    name = topic(embedded_cluster, 4)
    told = [[], [], [], []]
    # Small requests, and five threads that look for their reports.
    settings = {"bootstrap.servers": embedded_cluster.bootstrap_servers, "batch.num.messages": 50, "linger.ms": 0}

    def one_by_one(partition):
        for _ in range(20_000):
            producer.send(name, b"v", partition=partition, on_delivery=lambda _, told_: told[partition].append(told_))

    with ThroughputProducer(settings) as producer:
        threads = [threading.Thread(target=one_by_one, args=(partition,)) for partition in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert producer.flush(30) == 0
    assert [[metadata.offset for metadata in one] for one in told] == [list(range(20_000))] * 4


def test_close_while_threads_send(embedded_cluster, topic):
    name = topic(embedded_cluster, 2)
    producer = ThroughputProducer(bootstrap_servers=embedded_cluster.bootstrap_servers)
    producer.send_batch(name, [b"warm"] * 2, partitions=[0, 1]).result(10)
    accepted, ends = [], []

    def one_by_one():
        sent = 0
        try:
            while True:
                producer.send(name, b"v")
                sent += 1
        except ClosedProducerError:
            accepted.append(sent)
        except BaseException as error:
            ends.append(error)

    def batches():
        sent = 0
        try:
            while True:
                sent += producer.send_batch(name, [b"v"] * 50_000).accepted
        except ClosedProducerError as error:
            if error.delivery is not None:
                assert error.index == error.delivery.accepted
                assert error.delivery.result(10).written == error.index
            accepted.append(sent + error.index)
        except BaseException as error:
            ends.append(error)

    threads = [threading.Thread(target=target) for target in (one_by_one, batches, one_by_one, batches)]
    for thread in threads:
        thread.start()
    wait_until(lambda: producer.stats().accepted > 100_000)
    producer.close(60)
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert ends == []
    counts = producer.stats()
    assert counts.accepted == sum(accepted) + 2
    assert counts.accepted == counts.written + counts.not_written + counts.unknown
    assert counts.unknown == 0


def rss():
    return psutil.Process().memory_info().rss


@pytest.mark.skipif(UNDER_SANITIZER, reason="a sanitizer keeps what was freed")
@pytest.mark.parametrize("how", ["send", "callback", "batch", "headers"])
def test_memory_does_not_grow(embedded_cluster, topic, how):
    name = topic(embedded_cluster)
    values = [b"x" * 100] * 2_000
    headers = [{"a": b"1"}] * 2_000

    def rounds(n):
        for _ in range(n):
            if how == "send":
                for value in values:
                    producer.send(name, value, key=b"k")
            elif how == "callback":
                for value in values:
                    producer.send(name, value, on_delivery=lambda *_: None)
            elif how == "batch":
                producer.send_batch(name, values, keys=values)
            else:
                producer.send_batch(name, values, headers=headers)
        producer.flush(30)
        gc.collect()

    with ThroughputProducer(
        {"queue.buffering.max.messages": 20_000}, bootstrap_servers=embedded_cluster.bootstrap_servers
    ) as producer:
        rounds(25)
        before = rss()
        rounds(50)
        assert rss() - before < 12 << 20


def test_producers_come_and_go_without_a_trace(embedded_cluster, topic):
    name = topic(embedded_cluster)

    def one():
        with ThroughputProducer(bootstrap_servers=embedded_cluster.bootstrap_servers) as producer:
            producer.send(name, b"v", on_delivery=lambda *_: None)
            producer.send_batch(name, [b"v"] * 10).result(10)

    for _ in range(3):
        one()
    threads, files, memory = threading.active_count(), len(list(Path("/proc/self/fd").iterdir())), rss()
    for _ in range(20):
        one()
    gc.collect()
    assert threading.active_count() <= threads
    assert len(list(Path("/proc/self/fd").iterdir())) <= files + 2
    assert rss() - memory < 12 << 20
