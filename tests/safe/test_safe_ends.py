"""How a safe producer's life and its calls end: timeouts, Ctrl-C, fork, interpreter exit, close, fatal errors."""

from __future__ import annotations

import gc
import math
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from confluent_kafka import KafkaError

from tests.support.readers import read_values
from tests.support.safe_lane import signal_when, turn_held, until_in_line
from tests.support.waiting import HELD, hold_answers, until_requests, wait_until
from twolane import (
    BatchError,
    ClosedProducerError,
    DeliveryError,
    FatalProducerError,
    ForkedProducerError,
    SafeProducer,
    Verdict,
)

PRODUCE = 0


@pytest.fixture(params=[True, False], ids=["idempotent", "plain"])
def producer(request, embedded_cluster):
    with SafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers, enable_idempotence=request.param) as made:
        yield made


@pytest.mark.timing
def test_a_call_does_not_outlive_its_timeout(embedded_cluster, producer, topic):
    name = topic(embedded_cluster)
    producer.send(name, b"warm")
    embedded_cluster.set_rtt(60_000)
    started = time.monotonic()
    with pytest.raises(DeliveryError) as caught:
        producer.send(name, b"x", timeout=0.5)
    assert 0.4 < time.monotonic() - started < 2.0
    assert caught.value.verdict is Verdict.UNKNOWN
    embedded_cluster.set_rtt(0)


@pytest.mark.timing
def test_a_batch_does_not_outlive_its_timeout_and_says_what_was_not_sent(embedded_cluster, producer, topic):
    name = topic(embedded_cluster)
    producer.send(name, b"warm")
    embedded_cluster.set_rtt(60_000)
    started = time.monotonic()
    with pytest.raises(BatchError) as caught:
        producer.send_batch(name, [b"x" * 1000] * 3000, timeout=0.5)
    assert 0.4 < time.monotonic() - started < 2.0
    verdicts = [verdict for _, verdict in caught.value.metadata.failures.verdicts()]
    assert len(verdicts) == 3000
    assert verdicts[0] is Verdict.UNKNOWN
    assert verdicts[-1] is Verdict.NOT_WRITTEN
    embedded_cluster.set_rtt(0)


@pytest.mark.timing
def test_message_timeout_is_the_default_timeout(embedded_cluster, topic):
    name = topic(embedded_cluster)
    with SafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers, delivery_timeout_ms=1500) as producer:
        producer.send(name, b"warm")
        embedded_cluster.set_rtt(60_000)
        started = time.monotonic()
        with pytest.raises(DeliveryError):
            producer.send(name, b"x")
        assert time.monotonic() - started < 3.0
        embedded_cluster.set_rtt(0)


def test_an_endless_timeout_is_one(embedded_cluster, topic):
    """It waits in line like any other."""
    name = topic(embedded_cluster)
    failed: list[BaseException] = []
    with SafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers, check_topics=False) as producer:
        producer.send(name, b"warm")

        def work() -> None:
            try:
                producer.send(name, b"x", timeout=math.inf)
            except BaseException as error:
                failed.append(error)

        embedded_cluster.set_rtt(300)
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        embedded_cluster.set_rtt(0)
    assert not failed


def test_the_producer_works_on_after_a_timeout(embedded_cluster, producer, topic):
    name = topic(embedded_cluster)
    producer.send(name, b"warm")
    embedded_cluster.set_rtt(3_000)
    with pytest.raises(DeliveryError):
        producer.send(name, b"x", timeout=0.3)
    embedded_cluster.set_rtt(0)
    producer.resume(name, 0)
    producer.send(name, b"y", timeout=20)
    assert read_values(embedded_cluster.bootstrap_servers, name)[-1] == b"y"


@pytest.mark.timing
@pytest.mark.parametrize("call", ["send", "send_batch"])
def test_ctrl_c_ends_a_call_within_a_second_and_leaves_a_verdict(embedded_cluster, producer, topic, call):
    name = topic(embedded_cluster)
    producer.send(name, b"warm")
    embedded_cluster.set_rtt(60_000)
    embedded_cluster.clear_requests()
    with signal_when(lambda: embedded_cluster.requests(PRODUCE)) as sent, pytest.raises(KeyboardInterrupt) as caught:
        producer.send(name, b"x") if call == "send" else producer.send_batch(name, [b"x"] * 10)
    assert time.monotonic() - sent[0] < 1.1
    assert any("twolane" in note for note in caught.value.__notes__)
    if call == "send_batch":
        assert caught.value.twolane_result.failed == 10
    counted = producer.stats()
    assert counted.in_queue == 0
    assert counted.unknown == (1 if call == "send" else 10)
    embedded_cluster.set_rtt(0)


def test_ctrl_c_in_the_caller_that_leads_leaves_its_followers_a_verdict(embedded_cluster, producer, topic):
    name = topic(embedded_cluster)
    producer.send(name, b"warm")
    embedded_cluster.clear_requests()
    hold_answers(embedded_cluster)
    results: dict[bytes, object] = {}

    def work(value: bytes) -> None:
        try:
            results[value] = producer.send(name, value, timeout=math.inf)
        except DeliveryError as error:
            results[value] = error

    followers = [threading.Thread(target=work, args=(value,)) for value in (b"one", b"two")]
    with turn_held(producer) as end_turn:

        def line_up() -> None:
            until_in_line(producer, 1)  # the main thread, which will lead
            for thread in followers:
                thread.start()
            until_in_line(producer, 3)
            end_turn()

        starter = threading.Thread(target=line_up)
        starter.start()
        with signal_when(lambda: embedded_cluster.requests(PRODUCE)), pytest.raises(KeyboardInterrupt) as caught:
            producer.send(name, b"lead", timeout=math.inf)
    for thread in [starter, *followers]:
        thread.join(60)
    assert any("unknown" in note for note in caught.value.__notes__)
    for value in (b"one", b"two"):
        assert isinstance(results[value], DeliveryError)
        assert results[value].verdict is Verdict.UNKNOWN
    assert producer.stats().unknown == 3


def test_offsets_are_watched_per_partition(embedded_cluster, producer, topic):
    name = topic(embedded_cluster, 3)
    seen = []
    producer._topic_monitor.acknowledged = lambda *arguments: seen.append(arguments)
    producer.send_batch(name, [b"x"] * 8, partitions=[2, 0, 2, 2, 0, 2, 0, 2])
    assert seen == [(name, 0, 0, 2), (name, 2, 0, 4)]


def test_ctrl_c_at_random_moments_never_jams_the_lane(embedded_cluster, topic):
    """In a process of its own: two hundred signals, wherever they land, and the next send() goes through each time."""
    name = topic(embedded_cluster)
    program = f"""
        import _thread, os, random, signal, threading, time
        from twolane import DeliveryError, SafeProducer
        random.seed(7)
        landed, outside = 0, 0
        with SafeProducer(bootstrap_servers={embedded_cluster.bootstrap_servers!r}, check_topics=False) as producer:
            producer.send({name!r}, b"warm")
            values = [b"x" * 100] * 500
            for number in range(200):
                timer = threading.Timer(random.random() * 0.004, os.kill, (os.getpid(), signal.SIGINT))
                try:
                    timer.start()
                    while True:
                        producer.send({name!r}, b"one")
                        producer.send_batch({name!r}, values)
                except KeyboardInterrupt as error:
                    landed += 1
                started = time.monotonic()
                producer.send({name!r}, b"after", timeout=10)
                assert time.monotonic() - started < 5, number
            counted = producer.stats()
            assert counted.in_queue == 0, counted
            assert counted.accepted == counted.written + counted.not_written + counted.unknown, counted
        print(landed)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["200"]


@pytest.mark.timing
def test_a_sigterm_handler_that_raises_ends_the_call_with_a_verdict(embedded_cluster, producer, topic):
    """Without a handler SIGTERM ends the process on the spot, as it does any: nothing of Python runs any more."""
    name = topic(embedded_cluster)
    producer.send(name, b"warm")
    embedded_cluster.set_rtt(60_000)

    def terminate(number, frame):
        raise SystemExit(143)

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        embedded_cluster.clear_requests()
        with (
            signal_when(lambda: embedded_cluster.requests(PRODUCE), signal.SIGTERM) as sent,
            pytest.raises(SystemExit) as caught,
        ):
            producer.send_batch(name, [b"x"] * 5)
        assert time.monotonic() - sent[0] < 1.1
    finally:
        signal.signal(signal.SIGTERM, before)
    verdicts = [verdict for _, verdict in caught.value.twolane_result.failures.verdicts()]
    assert verdicts == [Verdict.UNKNOWN] * 5
    embedded_cluster.set_rtt(0)


def test_ctrl_c_while_waiting_in_line_sends_nothing(embedded_cluster, topic):
    name = topic(embedded_cluster)
    with SafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers) as producer:
        producer.send(name, b"warm")
        embedded_cluster.set_rtt(HELD)
        embedded_cluster.clear_requests()
        other = threading.Thread(target=producer.send_batch, args=(name, [b"other"]))
        other.start()
        until_requests(embedded_cluster)
        with signal_when(lambda: len(producer._fair_lock) == 1), pytest.raises(KeyboardInterrupt):
            producer.send_batch(name, [b"mine"])
        embedded_cluster.set_rtt(0)
        other.join()
        producer.send(name, b"after")
    assert read_values(embedded_cluster.bootstrap_servers, name) == [b"warm", b"other", b"after"]


@pytest.mark.timing
def test_close_that_cannot_drain_purges_and_the_caller_gets_its_verdict(embedded_cluster, topic):
    name = topic(embedded_cluster)
    producer = SafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers)
    producer.send(name, b"warm")
    embedded_cluster.set_rtt(60_000)
    caught: list[DeliveryError] = []

    def work() -> None:
        try:
            producer.send(name, b"x")
        except DeliveryError as error:
            caught.append(error)

    embedded_cluster.clear_requests()
    thread = threading.Thread(target=work)
    thread.start()
    until_requests(embedded_cluster)
    started = time.monotonic()
    producer.close(0.5)
    assert time.monotonic() - started < 3.0
    thread.join(5)
    assert caught[0].verdict is Verdict.UNKNOWN
    embedded_cluster.set_rtt(0)


def test_a_closed_producer_says_so(embedded_cluster, topic):
    name = topic(embedded_cluster)
    producer = SafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers)
    producer.close()
    producer.close()
    for call in (
        lambda: producer.send(name, b"x"),
        lambda: producer.send_batch(name, [b"x"]),
        lambda: producer.partitions_for(name),
    ):
        with pytest.raises(ClosedProducerError):
            call()
    assert "closed" in repr(producer)


def test_an_exception_inside_with_closes_the_producer(embedded_cluster, topic):
    name = topic(embedded_cluster)
    with (
        pytest.raises(ZeroDivisionError),
        SafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers) as producer,
    ):
        producer.send(name, b"x")
        raise ZeroDivisionError
    with pytest.raises(ClosedProducerError):
        producer.send(name, b"y")


def test_a_producer_that_is_dropped_open_warns(embedded_cluster):
    producer = SafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers)
    with pytest.warns(ResourceWarning, match="unclosed"):
        del producer
        gc.collect()


def test_f11_the_child_of_a_fork_gets_an_error_and_the_parent_goes_on(embedded_cluster, producer, topic):
    name = topic(embedded_cluster)
    producer.send(name, b"before")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            outcomes = []
            for call in (lambda: producer.send(name, b"child"), lambda: producer.send_batch(name, [b"child"])):
                try:
                    call()
                    outcomes.append("sent")
                except ForkedProducerError:
                    outcomes.append("refused")
            producer.close()
            os.write(writer, ",".join(outcomes).encode())
        finally:
            os._exit(0)
    os.close(writer)
    try:
        wait_until(lambda: os.waitpid(child, os.WNOHANG) != (0, 0))
    except AssertionError:
        os.kill(child, signal.SIGKILL)
        raise
    with os.fdopen(reader) as pipe:
        assert pipe.read() == "refused,refused"
    producer.send(name, b"after")
    assert read_values(embedded_cluster.bootstrap_servers, name) == [b"before", b"after"]


@pytest.mark.timing
def test_f11_flush_in_a_child_does_not_wait_for_a_call_of_the_parents(embedded_cluster, topic):
    name = topic(embedded_cluster)
    with SafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers, check_topics=False) as producer:
        producer.send(name, b"warm")
        embedded_cluster.set_rtt(HELD)
        other = threading.Thread(target=producer.send, args=(name, b"other"))
        embedded_cluster.clear_requests()
        other.start()
        until_requests(embedded_cluster)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                started = time.monotonic()
                try:
                    producer.flush(20)
                except ForkedProducerError:
                    status = 0 if time.monotonic() - started < 5.0 else 2
            finally:
                os._exit(status)
        status = os.waitpid(child, 0)[1]
        embedded_cluster.set_rtt(0)
        other.join()
        assert os.waitstatus_to_exitcode(status) == 0


def test_a_producer_open_at_interpreter_exit_is_closed_with_a_warning(embedded_cluster, topic):
    name = topic(embedded_cluster)
    program = f"""
        from twolane import SafeProducer
        producer = SafeProducer(bootstrap_servers={embedded_cluster.bootstrap_servers!r})
        producer.send({name!r}, b"x")
    """
    done = subprocess.run(
        [sys.executable, "-W", "always::ResourceWarning", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    assert done.returncode == 0
    assert "ResourceWarning" in done.stderr
    assert "open at interpreter exit" in done.stderr
    assert read_values(embedded_cluster.bootstrap_servers, name) == [b"x"]


# ---- fatal errors --------------------------------------------------------------------------------------------------


@pytest.mark.timing
def test_a_fatal_error_ends_the_producer_and_is_told_by_every_call(embedded_cluster, topic):
    """The broker says that sequence numbers are missing: librdkafka gives the producer up, and so does the lane."""
    name = topic(embedded_cluster)
    producer = SafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers, check_topics=False)
    producer.send(name, b"warm")
    embedded_cluster.push_errors(PRODUCE, [KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER])
    with pytest.raises(FatalProducerError) as caught:
        producer.send(name, b"A")
    assert caught.value.verdict is Verdict.UNKNOWN
    assert caught.value.error.fatal()
    with pytest.raises(FatalProducerError) as caught:
        producer.send(name, b"B")
    assert caught.value.verdict is Verdict.NOT_WRITTEN
    with pytest.raises(BatchError) as caught:
        producer.send_batch(name, [b"C"] * 3)
    assert isinstance(caught.value, FatalProducerError)
    assert {verdict for _, verdict in caught.value.metadata.failures.verdicts()} == {Verdict.NOT_WRITTEN}
    started = time.monotonic()
    producer.close()
    assert time.monotonic() - started < 2
    assert read_values(embedded_cluster.bootstrap_servers, name) == [b"warm"]
