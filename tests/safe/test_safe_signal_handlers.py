"""Signal handlers that do more than raise KeyboardInterrupt, and callers that are in line when somebody closes."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from tests.support.readers import read_values
from twolane import BatchError, ClosedProducerError, DeliveryError, SafeProducer, Verdict


@pytest.fixture
def producer(embedded_cluster):
    with SafeProducer(
        bootstrap_servers=embedded_cluster.bootstrap_servers, check_topics=False, enable_idempotence=False
    ) as made:
        yield made
    embedded_cluster.set_rtt(0)


@pytest.fixture
def on_sigterm():
    """Install a handler of SIGTERM and send it after some seconds."""
    before = signal.getsignal(signal.SIGTERM)
    timers = []

    def arm(seconds, handler):
        signal.signal(signal.SIGTERM, lambda *_: handler())
        timers.append(threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGTERM)))
        timers[-1].start()

    yield arm
    for timer in timers:
        timer.join()
    signal.signal(signal.SIGTERM, before)


def in_thread(call):
    """Run a call in a thread; returns the thread and the list that its result or error goes to."""
    ends = []

    def run():
        try:
            ends.append(call())
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            ends.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, ends


def test_a_batch_in_line_when_the_producer_closes_sends_nothing(embedded_cluster, producer, topic):
    name = topic(embedded_cluster)
    producer.send(name, b"warm")
    embedded_cluster.set_rtt(500)
    first, first_ends = in_thread(lambda: producer.send(name, b"first"))
    time.sleep(0.1)
    waiting, waiting_ends = in_thread(lambda: producer.send_batch(name, [b"never"] * 10))
    time.sleep(0.1)
    producer.close()
    first.join(5)
    waiting.join(5)
    assert first_ends[0].offset == 1
    assert isinstance(waiting_ends[0], ClosedProducerError)
    embedded_cluster.set_rtt(0)
    assert read_values(embedded_cluster.bootstrap_servers, name) == [b"warm", b"first"]


def test_a_follower_of_another_topic_is_not_told_not_written_while_its_record_may_go(embedded_cluster, producer, topic):
    first, second = topic(embedded_cluster), topic(embedded_cluster)
    for name in (first, second):
        producer.send(name, b"warm")
    embedded_cluster.set_rtt(2_000)
    holder, _ = in_thread(lambda: producer.send(first, b"holder", timeout=20))
    time.sleep(0.2)
    leader, _ = in_thread(lambda: producer.send(first, b"leader", timeout=20))
    time.sleep(0.2)
    # The holder is answered after two seconds; then the leader's topic goes first, and this thread's has to wait.
    timer = threading.Timer(2.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt) as caught:
        producer.send(second, b"follower", timeout=20)
    holder.join()
    leader.join()
    embedded_cluster.set_rtt(0)
    assert caught.value.twolane_outcome.verdict is Verdict.UNKNOWN
    assert read_values(embedded_cluster.bootstrap_servers, second) == [b"warm", b"follower"]


def test_what_was_sent_is_told_though_a_handler_closed_the_producer_between_two_slices(
    embedded_cluster, producer, topic, on_sigterm
):
    name = topic(embedded_cluster)
    producer.send(name, b"warm")
    embedded_cluster.set_rtt(300)
    on_sigterm(0.15, producer.close)
    with pytest.raises(BatchError) as caught:
        producer.send_batch(name, [b"x"] * 70_000)
    metadata = caught.value.metadata
    assert 0 < metadata.written < 70_000
    assert metadata.written + metadata.failed == 70_000
    assert {failure.verdict for failure in metadata.failures} == {Verdict.NOT_WRITTEN}
    assert (metadata.offsets >= 0).sum() == metadata.written


@pytest.mark.parametrize("call", ["send", "send_batch"])
def test_a_handler_that_raises_an_error_of_ours_hides_no_verdict(embedded_cluster, producer, topic, on_sigterm, call):
    """The error that another producer raised in the handler is not taken for that of the record on its way."""
    name = topic(embedded_cluster)
    producer.send(name, b"warm")
    foreign = DeliveryError(-1, verdict=Verdict.NOT_WRITTEN, topic="elsewhere")

    def handler():
        raise foreign

    embedded_cluster.set_rtt(60_000)
    on_sigterm(0.3, handler)
    with pytest.raises(DeliveryError) as caught:
        producer.send(name, b"x") if call == "send" else producer.send_batch(name, [b"x"] * 3)
    assert caught.value is foreign
    if call == "send":
        assert foreign.twolane_outcome.verdict is Verdict.UNKNOWN
    else:
        assert foreign.twolane_metadata.failed == 3
    assert producer.in_doubt == {(name, 0)}


def test_a_handler_may_flush_the_producer_it_interrupted(embedded_cluster, producer, topic, on_sigterm):
    name = topic(embedded_cluster)
    producer.send(name, b"warm")
    embedded_cluster.set_rtt(500)
    left = []
    on_sigterm(0.2, lambda: left.append(producer.flush()))
    started = time.monotonic()
    assert producer.send(name, b"x").offset == 1
    assert time.monotonic() - started < 3
    assert left == [1]
