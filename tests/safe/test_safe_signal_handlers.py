"""Signal handlers that do more than raise KeyboardInterrupt, and callers in line when the producer is closed."""

from __future__ import annotations

import contextlib
import math
import signal

import pytest
from confluent_kafka import KafkaError

from tests.support.readers import read_values
from tests.support.safe_lane import signal_when, turn_held, until_in_line
from tests.support.waiting import HELD, in_thread, until_requests
from twolane import BatchError, ClosedProducerError, DeliveryError, SafeProducer, Verdict
from twolane.testing import ApiKey


@pytest.fixture
def producer(embedded_cluster):
    with SafeProducer(
        bootstrap_servers=embedded_cluster.bootstrap_servers, check_topics=False, enable_idempotence=False
    ) as made:
        yield made
    embedded_cluster.set_rtt(0)


@pytest.fixture
def on_sigterm(embedded_cluster):
    """Run a handler of SIGTERM once the next Produce request has arrived."""
    before = signal.getsignal(signal.SIGTERM)

    @contextlib.contextmanager
    def arm(handler):
        signal.signal(signal.SIGTERM, lambda *_: handler())
        embedded_cluster.clear_requests()
        with signal_when(lambda: embedded_cluster.requests(ApiKey.PRODUCE), signal.SIGTERM):
            yield

    yield arm
    signal.signal(signal.SIGTERM, before)


def test_a_batch_in_line_when_the_producer_closes_sends_nothing(embedded_cluster, producer, topic):
    name = topic(embedded_cluster)
    producer.send(name, b"warm")
    embedded_cluster.clear_requests()
    embedded_cluster.set_rtt(HELD)
    first, first_ends = in_thread(lambda: producer.send(name, b"first"))
    until_requests(embedded_cluster)
    waiting, waiting_ends = in_thread(lambda: producer.send_batch(name, [b"never"] * 10))
    until_in_line(producer, 1)
    closer, _ = in_thread(producer.close)
    waiting.join(60)
    embedded_cluster.set_rtt(0)
    first.join(60)
    closer.join(60)
    assert first_ends[0].offset == 1
    assert isinstance(waiting_ends[0], ClosedProducerError)
    assert read_values(embedded_cluster.bootstrap_servers, name) == [b"warm", b"first"]


def test_a_follower_of_another_topic_is_not_told_not_written_while_its_record_may_go(embedded_cluster, producer, topic):
    first, second = topic(embedded_cluster), topic(embedded_cluster)
    for name in (first, second):
        embedded_cluster.set_leader(name, 0, 1)
        producer.send(name, b"warm")
    embedded_cluster.clear_requests()
    # The leader's topic goes first and is answered at the end; meanwhile this thread's has to wait.
    embedded_cluster.set_rtt(HELD)
    with turn_held(producer) as end_turn:
        leader, _ = in_thread(lambda: producer.send(first, b"leader", timeout=math.inf))
        until_in_line(producer, 1)
        release, _ = in_thread(lambda: (until_in_line(producer, 2), end_turn()))
        with signal_when(lambda: embedded_cluster.requests(ApiKey.PRODUCE)), pytest.raises(KeyboardInterrupt) as caught:
            producer.send(second, b"follower", timeout=math.inf)
        release.join()
    embedded_cluster.set_rtt(0)
    leader.join()
    assert caught.value.twolane_result.verdict is Verdict.UNKNOWN
    assert read_values(embedded_cluster.bootstrap_servers, second) == [b"warm", b"follower"]


def test_what_was_sent_is_told_though_a_handler_closed_the_producer_between_two_slices(
    embedded_cluster, producer, topic, on_sigterm
):
    name = topic(embedded_cluster)
    producer.send(name, b"warm")
    embedded_cluster.set_rtt(300)
    with on_sigterm(producer.close), pytest.raises(BatchError) as caught:
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
    foreign = DeliveryError(KafkaError(-1), verdict=Verdict.NOT_WRITTEN, topic="elsewhere")

    def handler():
        raise foreign

    embedded_cluster.set_rtt(60_000)
    with on_sigterm(handler), pytest.raises(DeliveryError) as caught:
        producer.send(name, b"x") if call == "send" else producer.send_batch(name, [b"x"] * 3)
    assert caught.value is foreign
    if call == "send":
        assert foreign.twolane_result.verdict is Verdict.UNKNOWN
    else:
        assert foreign.twolane_result.failed == 3
    assert producer.in_doubt == {(name, 0)}


def test_a_handler_may_flush_the_producer_it_interrupted(embedded_cluster, producer, topic, on_sigterm):
    name = topic(embedded_cluster)
    producer.send(name, b"warm")
    embedded_cluster.set_rtt(HELD)
    left = []

    def handler():
        left.append(producer.flush())
        embedded_cluster.set_rtt(0)

    with on_sigterm(handler):
        assert producer.send(name, b"x").offset == 1
    assert left == [1]
