"""Group commit: many threads in send() share requests, keep their order and do not fail for each other."""

from __future__ import annotations

import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from confluent_kafka import KafkaError

from tests.support.readers import read_all, read_values
from tests.support.safe_lane import turn_held, until_in_line
from tests.support.waiting import HELD, hold_answers, until_requests, wait_until
from twolane import ClosedProducerError, DeliveryError, SafeProducer, Verdict

PRODUCE = 0


@pytest.fixture
def producer(embedded_cluster):
    with SafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers, retry_backoff_ms=50) as made:
        yield made


def test_a_hundred_threads_cost_a_few_requests(embedded_cluster, producer, topic):
    name = topic(embedded_cluster)
    producer.send(name, b"warm")
    embedded_cluster.clear_requests()
    with ThreadPoolExecutor(100) as pool:
        with turn_held(producer):
            # Of one deadline: callers whose deadlines lie apart do not share a request.
            sent = [pool.submit(producer.send, name, b"%d" % i, timeout=math.inf) for i in range(100)]
            until_in_line(producer, 100)
        results = [one.result() for one in sent]
    # Where the partition has been idle for a while the first record goes alone.
    assert len(embedded_cluster.requests(PRODUCE)) <= 2
    assert sorted(result.offset for result in results) == list(range(1, 101))
    log = read_values(embedded_cluster.bootstrap_servers, name)
    assert all(log[result.offset] == b"%d" % i for i, result in enumerate(results))


def test_each_thread_finds_its_records_in_its_own_order(embedded_cluster, producer, topic):
    name = topic(embedded_cluster, 3)

    def work(thread: int) -> None:
        for i in range(50):
            producer.send(name, b"%d" % i, key=b"thread-%d" % thread, headers={"n": b"%d" % i})

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(16)))
    records = read_all(embedded_cluster.bootstrap_servers, name, expected=800)
    for thread in range(16):
        mine = [record for record in records if record.key == b"thread-%d" % thread]
        assert [record.value for record in mine] == [b"%d" % i for i in range(50)]
        assert all(record.headers == [("n", record.value)] for record in mine)


def test_arrival_order_is_the_logs_order(embedded_cluster, producer, topic):
    name = topic(embedded_cluster)
    producer.send(name, b"warm")
    threads = []
    with turn_held(producer):
        for i in range(20):
            threads.append(threading.Thread(target=producer.send, args=(name, b"%02d" % i)))
            threads[-1].start()
            until_in_line(producer, i + 1)
    for thread in threads:
        thread.join()
    assert read_values(embedded_cluster.bootstrap_servers, name)[1:] == [b"%02d" % i for i in range(20)]


def test_a_refused_record_does_not_fail_its_neighbours(embedded_cluster, producer, topic):
    """One MessageSet carries them all, and the broker refuses it for one record: the others are sent without it."""
    name = topic(embedded_cluster)
    producer.send(name, b"warm")
    results: dict[int, object] = {}

    def work(i: int) -> None:
        try:
            results[i] = producer.send(name, b"%d" % i, timeout=math.inf)
        except DeliveryError as error:
            results[i] = error

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    with turn_held(producer):
        for i, thread in enumerate(threads):
            thread.start()
            until_in_line(producer, i + 1)
        # The group's request is refused as a whole. Of the single requests after it the first is refused again.
        embedded_cluster.push_errors(PRODUCE, [KafkaError.INVALID_RECORD, KafkaError.INVALID_RECORD])
    for thread in threads:
        thread.join()
    failed = [i for i, result in results.items() if isinstance(result, DeliveryError)]
    assert len(failed) == 1
    assert results[failed[0]].verdict is Verdict.NOT_WRITTEN
    log = read_values(embedded_cluster.bootstrap_servers, name)[1:]
    assert log == [b"%d" % i for i in range(6) if i not in failed]


def test_a_caller_with_a_short_timeout_does_not_cut_its_neighbours_short(embedded_cluster, producer, topic):
    name = topic(embedded_cluster)
    producer.send(name, b"warm")
    results: dict[str, object] = {}

    def work(label: str, timeout: float) -> None:
        try:
            results[label] = producer.send(name, label.encode(), timeout=timeout)
        except DeliveryError as error:
            results[label] = error

    short = threading.Thread(target=work, args=("short", 0.2))
    long = threading.Thread(target=work, args=("long", 20))
    with turn_held(producer):
        short.start()
        until_in_line(producer, 1)
        long.start()
        short.join()
    long.join()
    assert isinstance(results["short"], DeliveryError)
    assert results["short"].verdict is Verdict.NOT_WRITTEN
    assert read_values(embedded_cluster.bootstrap_servers, name) == [b"warm", b"long"]


def test_close_turns_away_those_in_line_and_lets_the_call_in_progress_end(embedded_cluster, topic):
    name = topic(embedded_cluster)
    producer = SafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers)
    producer.send(name, b"warm")
    embedded_cluster.clear_requests()
    embedded_cluster.set_rtt(HELD)
    results: list[object] = []

    def work(value: bytes) -> None:
        try:
            results.append(producer.send(name, value))
        except ClosedProducerError as error:
            results.append(error)

    threads = [threading.Thread(target=work, args=(b"%d" % i,)) for i in range(3)]
    threads[0].start()
    until_requests(embedded_cluster)
    for thread in threads[1:]:
        thread.start()
    until_in_line(producer, 2)
    closers = [threading.Thread(target=producer.close) for _ in range(2)]
    for closer in closers:
        closer.start()
    for thread in threads[1:]:
        thread.join(60)
    embedded_cluster.set_rtt(0)
    for thread in [threads[0], *closers]:
        thread.join(60)
    producer.close()
    assert len(results) == 3
    assert sum(isinstance(result, ClosedProducerError) for result in results) == 2
    assert read_values(embedded_cluster.bootstrap_servers, name) == [b"warm", b"0"]


@pytest.mark.timing
def test_nobody_in_a_group_is_kept_until_a_neighbours_later_deadline(embedded_cluster, topic):
    name = topic(embedded_cluster)
    late: dict[float, float] = {}
    with SafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers, check_topics=False) as producer:
        producer.send(name, b"warm")
        hold_answers(embedded_cluster)

        def work(timeout: float) -> None:
            deadline = time.monotonic() + timeout
            with pytest.raises(DeliveryError):
                producer.send(name, b"x", timeout=timeout)
            late[timeout] = time.monotonic() - deadline

        threads = []
        for timeout in (0.8, 2.5, 1.6, 3.2):
            threads.append(threading.Thread(target=work, args=(timeout,)))
            threads[-1].start()
            wait_until(lambda: len(producer._fair_lock) + producer.stats().accepted > len(threads))
        for thread in threads:
            thread.join()
    assert max(late.values()) < 1.5, late
