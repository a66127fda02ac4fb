"""Many threads at the same producers, all kinds of calls at once: with the GIL, and without one."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import threading
import time
from collections import Counter
from itertools import count

import pytest

from tests.support.readers import read_all
from tests.support.waiting import wait_until
from twolane import ClosedProducerError, DeliveryError, SafeProducer, ThroughputProducer
from twolane.reports.reader import is_checked, live

TOPICS, PARTITIONS = 5, 3


@pytest.fixture(autouse=True)
def threads_take_turns_often():
    """With the GIL a thread keeps it for 5 ms: too long for others to come in between."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.fixture(autouse=True)
def accounting_adds_up():
    """In debug builds it is checked at every report."""
    before = live()[1]
    yield
    assert not is_checked() or live()[1] == before


def in_threads(works, seconds=300.0):
    """Run every one of `works` in a thread of its own, begun together; raise what the first one raised."""
    begin, failures = threading.Barrier(len(works)), []

    def run(work):
        try:
            begin.wait()
            work()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.1, deadline - time.monotonic()))
    assert not [thread for thread in threads if thread.is_alive()]
    if failures:
        raise failures[0]


def checked_log(cluster, name, expected):
    """Return a topic's records; every value says its topic, its thread and its number in that thread."""
    records = read_all(cluster.bootstrap_servers, name, expected=expected)
    assert len(records) == expected
    assert {record.value.split(b" ")[0] for record in records} <= {name.encode()}
    return records


def in_order(records, thread):
    """How many records a thread has here: all of one partition, once each, in the order they were sent."""
    mine = [int(record.value.split(b" ")[2]) for record in records if record.key == b"%d" % thread]
    assert len({record.partition for record in records if record.key == b"%d" % thread}) <= 1
    assert mine == sorted(set(mine))
    return len(mine)


@pytest.mark.parametrize("idempotent", [False, True], ids=["plain", "idempotent"])
def test_all_kinds_of_calls_to_topics_that_are_new_to_all(embedded_cluster, topic, idempotent):
    names = [topic(embedded_cluster, PARTITIONS) for _ in range(TOPICS)]
    each = 3_000 if idempotent else 12_000
    sent, called, flushes, ended = Counter(), Counter(), [], threading.Event()

    def one_by_one(thread):
        # Topics by turns and in runs, small and larger records, with headers and without: all ways through send().
        for i in range(each):
            name = names[(i if i % 7 else i // 50) % TOPICS]
            value = b"%s %d %d" % (name.encode(), thread, i)
            producer.send(
                name,
                value if i % 97 else value + b" " + b"x" * 3_000,
                key=b"%d" % thread,
                headers={"h": b"v"} if i % 11 == 0 else None,
                on_delivery=None if i % 3 else lambda error, _: called.update([error]),
            )
            sent[name, thread] += 1

    def batches(thread):
        deliveries, numbers = [], count()
        for i in range(0, each, 100):
            name = names[i // 100 % TOPICS]
            values = [b"%s %d %d" % (name.encode(), thread, next(numbers)) for _ in range(100)]
            deliveries.append(producer.send_batch(name, values, keys=b"%d" % thread))
            alone = b"%s %d %d" % (name.encode(), thread, next(numbers))
            producer.send(name, alone, key=b"%d" % thread)
            sent[name, thread] += 101
        assert [delivery.result(30).written for delivery in deliveries] == [100] * len(deliveries)

    def look_around():
        while not ended.is_set():
            now = producer.stats()
            assert now.accepted == now.written + now.not_written + now.unknown + now.in_queue
            assert now.in_queue >= 0
            flushes.append(producer.flush(20))
            producer.partitions_for(names[len(flushes) % TOPICS])

    def work(target, thread):
        def until_all_have():
            target(thread)
            done.append(thread)
            if len(done) == 8:
                ended.set()

        return until_all_have

    done: list[int] = []
    settings = {"queue.buffering.max.messages": 3_000, "enable.idempotence": idempotent}
    with ThroughputProducer(settings, bootstrap_servers=embedded_cluster.bootstrap_servers) as producer:
        works = [work(one_by_one if thread % 4 else batches, thread) for thread in range(8)]
        in_threads([*works, look_around])
        assert producer.flush(30) == 0
        counts = producer.stats()
    assert set(flushes) == {0}
    assert counts.accepted == counts.written == sum(sent.values())
    assert called == {None: 6 * len(range(0, each, 3))}
    for name in names:
        total = sum(n for (topic_, _), n in sent.items() if topic_ == name)
        records = checked_log(embedded_cluster, name, total)
        assert [in_order(records, thread) for thread in range(8)] == [sent[name, thread] for thread in range(8)]


def test_records_go_to_their_own_topic(embedded_cluster, topic):
    """A sender remembers the last topic: others may change it at any moment."""
    names = [topic(embedded_cluster, 2) for _ in range(4)]
    each = 30_000

    def alternate(thread):
        for i in range(each):
            name = names[(thread + i) % 4]
            producer.send(name, b"%s %d %d" % (name.encode(), thread, i), key=b"%d" % thread)

    with ThroughputProducer(bootstrap_servers=embedded_cluster.bootstrap_servers) as producer:
        in_threads([lambda thread=thread: alternate(thread) for thread in range(4)])
    for name in names:
        records = checked_log(embedded_cluster, name, each)
        assert [in_order(records, thread) for thread in range(4)] == [each // 4] * 4


def test_close_while_others_send_everything(embedded_cluster, topic):
    name = topic(embedded_cluster, PARTITIONS)
    for _ in range(8):
        producer = ThroughputProducer(bootstrap_servers=embedded_cluster.bootstrap_servers)
        producer.send_batch(name, [b"%s 9 0" % name.encode()], keys=b"9").result(10)
        accepted, called, promised = Counter(), Counter(), Counter()

        def one_by_one(thread, producer=producer, accepted=accepted, called=called, promised=promised):
            callback = None if thread % 2 else lambda error, _: called.update([thread])
            try:
                for i in count():
                    producer.send(name, b"%s %d %d" % (name.encode(), thread, i), key=b"k", on_delivery=callback)
                    accepted[thread] += 1
                    promised[thread] += callback is not None
            except ClosedProducerError:
                pass

        def batches(thread, producer=producer, accepted=accepted):
            try:
                while True:
                    accepted[thread] += producer.send_batch(name, [b"v"] * 1_000).accepted
            except ClosedProducerError as error:
                accepted[thread] += error.index

        def flush(producer=producer):
            try:
                while True:
                    assert producer.flush(20) == 0
                    producer.stats()
            except ClosedProducerError:
                pass

        def close(producer=producer):
            wait_until(lambda: producer._closed or producer.stats().accepted > 20_000)
            producer.close(20)

        senders = [lambda thread=thread: one_by_one(thread) for thread in range(4)]
        in_threads([*senders, lambda: batches(4), flush, close, close])
        counts = producer.stats()
        assert counts.accepted == sum(accepted.values()) + 1
        assert counts.accepted == counts.written + counts.not_written
        assert +called == +promised


def test_failures_are_told_once(embedded_cluster, topic):
    """Records that fail while several threads flush: each is raised by one flush, or told to its callback."""
    name = topic(embedded_cluster, 2)
    told, called, lock = [], Counter(), threading.Lock()
    settings = {"retries": 0, "batch.num.messages": 20}
    with ThroughputProducer(settings, bootstrap_servers=embedded_cluster.bootstrap_servers) as producer:
        producer.send(name, b"warm", key=b"k")
        producer.flush(10)
        embedded_cluster.push_errors(0, ["INVALID_RECORD"] * 200)

        def send(thread):
            for i in range(4_000):
                callback = None if i % 2 else lambda error, _: called.update([error is None])
                producer.send(name, b"%d" % i, key=b"%d" % thread, on_delivery=callback)

        def flush():
            for _ in range(60):
                try:
                    producer.flush(10)
                except DeliveryError as error:
                    with lock:
                        told.append(len(error.failures))

        in_threads([lambda thread=thread: send(thread) for thread in range(4)] + [flush, flush, flush])
        try:
            producer.flush(10)
        except DeliveryError as error:
            told.append(len(error.failures))
        counts = producer.stats()
    failed = counts.not_written + counts.unknown
    assert counts.accepted == 16_001 == counts.written + failed
    assert sum(called.values()) == 8_000
    assert sum(told) + called[False] == failed > 0


def test_thirty_two_threads_in_the_safe_lane(embedded_cluster, topic):
    names = [topic(embedded_cluster, PARTITIONS) for _ in range(2)]
    offsets = [[] for _ in range(32)]

    def work(thread):
        name, numbers = names[thread % 2], count()
        for i in range(40):
            value = b"%s %d %d" % (name.encode(), thread, next(numbers))
            offsets[thread].append(producer.send(name, value, key=b"%d" % thread).offset)
            if thread % 8 == 0 and i % 4 == 0:
                values = [b"%s %d %d" % (name.encode(), thread, next(numbers)) for _ in range(40)]
                offsets[thread] += producer.send_batch(name, values, keys=b"%d" % thread).offsets.tolist()
            if i % 5 == 0:
                assert producer.stats().unknown == 0

    with SafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers, check_topics=False) as producer:
        in_threads([lambda thread=thread: work(thread) for thread in range(32)])
        counts = producer.stats()
    assert counts.accepted == counts.written == sum(map(len, offsets))
    for half, name in enumerate(names):
        records = checked_log(embedded_cluster, name, sum(len(own) for own in offsets[half::2]))
        for thread in range(half, 32, 2):
            assert in_order(records, thread) == len(offsets[thread])
            assert [r.offset for r in records if r.key == b"%d" % thread] == offsets[thread]


def test_the_safe_lane_closed_while_others_send(embedded_cluster, topic):
    name = topic(embedded_cluster, PARTITIONS)
    written = Counter()
    producer = SafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers, check_topics=False)
    producer.send(name, b"%s 99 0" % name.encode(), key=b"99")

    def work(thread):
        try:
            for i in count():
                producer.send(name, b"%s %d %d" % (name.encode(), thread, i), key=b"%d" % thread)
                written[thread] += 1
        except ClosedProducerError:
            pass

    def close():
        wait_until(lambda: sum(written.values()) > 500)
        producer.close(20)

    in_threads([lambda thread=thread: work(thread) for thread in range(12)] + [close, close])
    records = checked_log(embedded_cluster, name, sum(written.values()) + 1)
    assert [in_order(records, thread) for thread in range(12)] == [written[thread] for thread in range(12)]


def test_several_producers_side_by_side(embedded_cluster, topic):
    names = [topic(embedded_cluster, PARTITIONS) for _ in range(5)]

    def fast(producer, name, thread):
        for i in range(4_000):
            producer.send(name, b"%s %d %d" % (name.encode(), thread, i), key=b"%d" % thread)
        values = [b"%s %d %d" % (name.encode(), thread, 4_000 + i) for i in range(4_000)]
        assert producer.send_batch(name, values, keys=b"%d" % thread).result(30).written == 4_000

    def safe(producer, name, thread):
        for i in range(100):
            producer.send(name, b"%s %d %d" % (name.encode(), thread, i), key=b"%d" % thread)

    def own(kind, target, name, expected):
        def work():
            with kind(bootstrap_servers=embedded_cluster.bootstrap_servers) as producer:
                in_threads([lambda thread=thread: target(producer, name, thread) for thread in range(3)])
                assert producer.stats().written == expected

        return work

    lanes = [(ThroughputProducer, fast, name, 24_000) for name in names[:3]]
    lanes += [(SafeProducer, safe, name, 300) for name in names[3:]]
    in_threads([own(*lane) for lane in lanes])
    for name, expected in zip(names, [24_000] * 3 + [300] * 2, strict=True):
        records = checked_log(embedded_cluster, name, expected)
        assert [in_order(records, thread) for thread in range(3)] == [expected // 3] * 3


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this interpreter has a GIL")
def test_importing_everything_leaves_the_gil_off():
    """An extension module that does not declare itself safe switches it on, with a warning."""
    program = """
import importlib, pkgutil, sys, twolane
for module in pkgutil.walk_packages(twolane.__path__, "twolane."):
    if not module.name.endswith(("__main__", "plugin", "_mock_broker", "registry")):
        importlib.import_module(module.name)
        assert not sys._is_gil_enabled(), module.name
"""
    settings = {name: value for name, value in os.environ.items() if name != "PYTHON_GIL"}
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=60, env=settings)
