"""Group commit: many threads in send() share requests, keep their order and do not fail for each other."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from confluent_kafka import KafkaError

from tests.support.readers import read_all, read_values
from twolane import ClosedProducerError, DeliveryError, SafeProducer, Verdict

PRODUCE = 0


@pytest.fixture
def producer(embedded_cluster):
    with SafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers, retry_backoff_ms=50) as made:
        yield made


def test_a_hundred_threads_cost_a_few_requests(embedded_cluster, producer, topic):
    name = topic(embedded_cluster)
    producer.send(name, b"warm")
    embedded_cluster.set_rtt(50)
    embedded_cluster.clear_requests()
    all_there = threading.Barrier(100)

    def send(i):
        all_there.wait()
        return producer.send(name, b"%d" % i)

    with ThreadPoolExecutor(100) as pool:
        results = list(pool.map(send, range(100)))
    assert len(embedded_cluster.requests(PRODUCE)) <= 4
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
    embedded_cluster.set_rtt(100)
    threads = []
    for i in range(20):
        threads.append(threading.Thread(target=producer.send, args=(name, b"%02d" % i)))
        threads[-1].start()
        time.sleep(0.01)
    for thread in threads:
        thread.join()
    embedded_cluster.set_rtt(0)
    assert read_values(embedded_cluster.bootstrap_servers, name)[1:] == [b"%02d" % i for i in range(20)]


def test_a_refused_record_does_not_fail_its_neighbours(embedded_cluster, producer, topic):
    """One MessageSet carries them all, and the broker refuses it for one record: the others are sent without it."""
    name = topic(embedded_cluster)
    producer.send(name, b"warm")
    embedded_cluster.set_rtt(100)
    results: dict[int, object] = {}

    def work(i: int) -> None:
        try:
            results[i] = producer.send(name, b"%d" % i)
        except DeliveryError as error:
            results[i] = error

    first = threading.Thread(target=work, args=(0,))
    first.start()
    time.sleep(0.03)
    # Request 2 carries the group; refused as a whole. Of the single requests after it the first is refused again.
    embedded_cluster.push_errors(PRODUCE, [KafkaError.INVALID_RECORD, KafkaError.INVALID_RECORD])
    others = [threading.Thread(target=work, args=(i,)) for i in range(1, 6)]
    for thread in others:
        thread.start()
        time.sleep(0.005)
    for thread in [first, *others]:
        thread.join()
    embedded_cluster.set_rtt(0)
    failed = [i for i, result in results.items() if isinstance(result, DeliveryError)]
    assert len(failed) == 1
    assert results[failed[0]].verdict is Verdict.NOT_WRITTEN
    log = read_values(embedded_cluster.bootstrap_servers, name)[1:]
    assert log == [b"%d" % i for i in range(6) if i not in failed]


def test_a_caller_with_a_short_timeout_does_not_cut_its_neighbours_short(embedded_cluster, producer, topic):
    name = topic(embedded_cluster)
    producer.send(name, b"warm")
    embedded_cluster.set_rtt(1500)
    results: dict[str, object] = {}

    def work(label: str, timeout: float) -> None:
        started = time.monotonic()
        try:
            results[label] = producer.send(name, label.encode(), timeout=timeout)
        except DeliveryError as error:
            results[label] = error
        results[label + " took"] = time.monotonic() - started

    threads = [
        threading.Thread(target=work, args=arguments) for arguments in (("first", 20), ("short", 0.2), ("long", 20))
    ]
    for thread in threads:
        thread.start()
        time.sleep(0.05)
    for thread in threads:
        thread.join()
    embedded_cluster.set_rtt(0)
    assert isinstance(results["short"], DeliveryError)
    assert results["short"].verdict is Verdict.NOT_WRITTEN
    assert results["short took"] < 0.2 + 1.5
    assert read_values(embedded_cluster.bootstrap_servers, name) == [b"warm", b"first", b"long"]


def test_close_turns_away_those_in_line_and_lets_the_call_in_progress_end(embedded_cluster, topic):
    name = topic(embedded_cluster)
    producer = SafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers)
    producer.send(name, b"warm")
    embedded_cluster.set_rtt(1500)
    results: list[object] = []

    def work(value: bytes) -> None:
        try:
            results.append(producer.send(name, value))
        except ClosedProducerError as error:
            results.append(error)

    threads = [threading.Thread(target=work, args=(b"%d" % i,)) for i in range(3)]
    for thread in threads:
        thread.start()
        time.sleep(0.05)
    closers = [threading.Thread(target=producer.close) for _ in range(2)]
    for closer in closers:
        closer.start()
    for thread in [*threads, *closers]:
        thread.join(10)
    producer.close()
    embedded_cluster.set_rtt(0)
    assert len(results) == 3
    assert sum(isinstance(result, ClosedProducerError) for result in results) == 2
    assert read_values(embedded_cluster.bootstrap_servers, name) == [b"warm", b"0"]
