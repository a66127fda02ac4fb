"""Brokers that answer late can be used, within the call's timeout: an answer on its way is not asked for again."""

from __future__ import annotations

import threading
import time
import types

import pytest
from confluent_kafka import KafkaError

from twolane import ClosedProducerError, DeliveryError, SafeProducer, ThroughputProducer
from twolane.common.topics import Topics
from twolane.testing import ApiKey

BOTH = pytest.mark.parametrize("kind", [SafeProducer, ThroughputProducer])


def made(kind, cluster, **config):
    keywords = {"check_topics": False} if kind is SafeProducer else {}
    return kind(bootstrap_servers=cluster.bootstrap_servers, **keywords, **config)


@pytest.mark.parametrize(
    ("kind", "rtt", "connections"),
    [
        (SafeProducer, 1.5, "one"),
        (ThroughputProducer, 1.5, "one"),
        pytest.param(SafeProducer, 5.0, "all", marks=pytest.mark.slow),  # the lanes ask for topics by the same code
    ],
)
def test_brokers_as_slow_as_that_can_be_used(embedded_cluster, topic, kind, rtt, connections):
    """Connections alone take six round trips and more: with the slower brokers they are there before."""
    first, name = topic(embedded_cluster, 3), topic(embedded_cluster, 2)
    with made(kind, embedded_cluster, message_timeout_ms=90_000) as producer:
        open_to = [0] if connections == "one" else [0, 1, 2]
        for partition in open_to:
            embedded_cluster.set_leader(first, partition, partition + 1)
            producer.send(first, b"v", partition=partition)
        assert producer.flush(10) == 0
        embedded_cluster.set_rtt(int(rtt * 1000))
        producer.send(name, b"v", timeout=90)
        assert producer.flush(90) == 0
        assert producer.stats().written == 1 + len(open_to)
        embedded_cluster.set_rtt(0)


@pytest.mark.timing
@BOTH
def test_a_wait_for_a_slow_answer_ends_with_its_timeout_and_with_close(embedded_cluster, topic, kind):
    first, name = topic(embedded_cluster), topic(embedded_cluster)
    with made(kind, embedded_cluster) as producer:
        producer.partitions_for(first)
        embedded_cluster.set_rtt(60_000)
        started = time.monotonic()
        with pytest.raises(DeliveryError, match="no broker answered in time"):
            producer.send(name, b"v", timeout=1.2)
        assert time.monotonic() - started < 1.2 + 1.5
        raised = []

        def send():
            try:
                producer.send(name, b"v", timeout=60)
            except ClosedProducerError as error:
                raised.append(error)

        sender = threading.Thread(target=send)
        sender.start()
        started = time.monotonic()
        producer.close(1)
        sender.join()
        assert time.monotonic() - started < 1 + 1.5
        assert raised
        embedded_cluster.set_rtt(0)


@BOTH
def test_a_healthy_broker_is_asked_once(embedded_cluster, topic, kind):
    name = topic(embedded_cluster)
    with made(kind, embedded_cluster) as producer:
        producer.partitions_for(name)
        embedded_cluster.clear_requests()
        producer.partitions_for(name)
        assert len(embedded_cluster.requests(ApiKey.METADATA)) == 1
        assert not [one for one in threading.enumerate() if one.name == "twolane-count"]


class SlowHandle:
    """A Handle whose brokers do not answer the first question, and the second when they are told to."""

    def __init__(self):
        self.asked, self.draining = [], False
        self.may_answer = threading.Event()

    def fetch_partitions(self, topic, timeout):
        self.asked.append(timeout)
        if len(self.asked) == 1:
            return KafkaError._TIMED_OUT, []
        assert self.may_answer.wait(60)
        return 0, [(0, 1, 0, 3), (1, 2, 0, 2)]


def test_an_answer_on_its_way_is_waited_for_by_all_and_lost_by_none():
    handle, counted = SlowHandle(), []
    known = types.SimpleNamespace(name="t", recount=True, counted=lambda n: vars(known).update(partition_count=n))
    topics = Topics(handle, None, "servers")
    topics.on_count = lambda *count: counted.append(count)
    for _ in range(3):
        # Each caller leaves when its time is over, and none asks again.
        assert topics.ask(known, time.monotonic() + 0.05) == KafkaError._TIMED_OUT
    handle.draining = True
    assert topics.ask(known, time.monotonic() + 60) == KafkaError._TIMED_OUT
    handle.draining = False
    assert len(handle.asked) == 2
    question = topics._questions["t"]
    handle.may_answer.set()
    assert question.answered.wait(60)
    assert known.partition_count == 2
    assert not known.recount
    assert counted == [("t", 2, 2)]
    # The next one asks for itself.
    assert topics.ask(known, time.monotonic() + 10) == 0
    assert len(handle.asked) == 3


def test_once_a_broker_answers_callers_ask_for_themselves_again():
    """Also where it answers that there is no such topic: each further call would start a thread."""
    asked, answers = [], [KafkaError._TIMED_OUT]

    def fetch_partitions(topic, timeout):
        asked.append(threading.current_thread().name)
        return (answers.pop() if answers else KafkaError.UNKNOWN_TOPIC_OR_PART), []

    topics = Topics(types.SimpleNamespace(fetch_partitions=fetch_partitions, draining=False), None, "servers")
    unknown = types.SimpleNamespace(name="t", partition_count=0, counted_at=0.0, recount=False)
    for _ in range(3):
        assert topics.ask(unknown, time.monotonic() + 10) == KafkaError.UNKNOWN_TOPIC_OR_PART
    here = threading.current_thread().name
    assert asked == [here, "twolane-count", here, here]
