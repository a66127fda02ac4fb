"""The safe lane's topic check takes one client and one thread at most, and leaves neither behind.

Hazard F22 of docs/hazards.md.
"""

from __future__ import annotations

import gc
import os
import threading
import time
import weakref
from concurrent.futures import Future
from types import SimpleNamespace

import psutil
import pytest
from confluent_kafka import KafkaError, KafkaException, admin

from tests.support.waiting import wait_until
from twolane import DeliveryError, SafeProducer, Verdict
from twolane.common.logs import ClientLog
from twolane.config.masking import Native
from twolane.safe.topic_monitor import TopicMonitor
from twolane.safe.topic_settings import MOST_AT_ONCE, MOST_WAITING

SETTINGS = Native({"bootstrap.servers": "127.0.0.1:1"})
NAME = "twolane-topic-check"
SECONDS = 20
# Producers in a row: `make leaks` takes a thousand, which is minutes.
MANY = int(os.environ.get("TWOLANE_TEST_PRODUCERS", "5"))
WEAK = {"min.insync.replicas": "1", "unclean.leader.election.enable": "true"}


def answered(future, answer):
    """Answer one question as a broker may; "none" leaves it open."""
    if answer == "success":
        future.set_result({name: SimpleNamespace(value=value) for name, value in WEAK.items()})
    elif answer == "small":
        future.set_result({"max.message.bytes": SimpleNamespace(value="2000")})
    elif answer == "odd success":
        future.set_result({"min.insync.replicas": SimpleNamespace(value="many")})
    elif answer == "error":
        future.set_exception(KafkaException(KafkaError(KafkaError._TIMED_OUT)))
    elif answer == "denial":
        future.set_exception(KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)))


# The embedded cluster's own answer is none: it has no controller that could be asked.
UNANSWERED = ["none", "own"]
ANSWERS = ["success", "odd success", "error", "denial", "refusal", *UNANSWERED]


class Clients:
    """The clients that the check made: real ones, whose answers the test gives."""

    def __init__(self):
        self.answer = "none"
        self.made = 0
        self._references = []

    def add(self, client):
        self.made += 1
        self._references = [one for one in (*self._references, weakref.ref(client)) if one() is not None]

    @property
    def living(self):
        return sum(one() is not None for one in self._references)


@pytest.fixture
def clients(monkeypatch):
    known = Clients()
    init, describe = admin.AdminClient.__init__, admin.AdminClient.describe_configs

    def make(client, settings):
        init(client, settings)
        known.add(client)

    def ask(client, resources, **options):
        assert len(resources) <= MOST_AT_ONCE
        if known.answer == "own":
            return describe(client, resources, **options)
        if known.answer == "refusal":
            raise KafkaException(KafkaError(KafkaError._INVALID_ARG))
        futures = {resource: Future() for resource in resources}
        for future in futures.values():
            answered(future, known.answer)
        return futures

    monkeypatch.setattr(admin.AdminClient, "__init__", make)
    monkeypatch.setattr(admin.AdminClient, "describe_configs", ask)
    return known


def checks():
    return sum(thread.name == NAME for thread in threading.enumerate())


@pytest.fixture
def no_collector():
    """Without Python's collector whatever a circle keeps stays."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def run(cluster, name, n, clients):
    """Make producers that each ask; all but those without an answer are closed after they were told."""
    for _ in range(n):
        made = clients.made
        with SafeProducer(bootstrap_servers=cluster.bootstrap_servers) as producer:
            producer.send(name, b"x")
            wait_until(lambda made=made: clients.made > made and (clients.answer in UNANSWERED or not checks()))


def leave_nothing(cluster, name, clients, n, most_bytes):
    process = psutil.Process()
    run(cluster, name, 2, clients)
    threads, descriptors, size = process.num_threads(), process.num_fds(), process.memory_info().rss
    run(cluster, name, n, clients)
    assert clients.made == n + 2
    assert clients.living == 0
    assert checks() == 0
    # A native thread that was joined is the kernel's for a moment longer.
    wait_until(lambda: process.num_threads() <= threads)
    # Each client that was left would keep two or more; other tests' clients may connect again meanwhile.
    assert process.num_fds() < descriptors + n
    assert process.memory_info().rss - size < most_bytes


@pytest.mark.skipif(not hasattr(psutil.Process, "num_fds"), reason="descriptors are POSIX's")
@pytest.mark.parametrize("answer", ANSWERS)
def test_many_producers_in_a_row_leave_nothing_behind(embedded_cluster, topic, clients, no_collector, answer):
    clients.answer = answer
    # A leaked client would be more than 200 kB.
    leave_nothing(embedded_cluster, topic(embedded_cluster), clients, MANY, 60 * 2**20)


def test_topics_without_an_answer_take_one_client_and_one_thread(clients):
    watch = TopicMonitor(SETTINGS, ClientLog("me"), check_topics=True, strict_partitions=False, open_topic=None)
    before = psutil.Process().num_threads()
    watch.counted("first", 3, 3)
    wait_until(lambda: clients.made)
    after_first = psutil.Process().num_threads()
    for i in range(2 * MOST_WAITING):
        watch.counted(f"t{i}", 3, 3)
    assert checks() == 1
    assert psutil.Process().num_threads() <= after_first
    assert len(watch.check._waiting) <= MOST_WAITING
    started = time.monotonic()
    watch.check.end()
    watch.check.join(started + SECONDS)
    assert time.monotonic() - started < SECONDS / 2
    assert checks() == 0
    assert clients.made == 1
    assert clients.living == 0
    wait_until(lambda: psutil.Process().num_threads() <= before)


def test_all_topics_are_asked_for_by_one_client_after_another(clients):
    clients.answer = "success"
    watch = TopicMonitor(SETTINGS, ClientLog("me"), check_topics=True, strict_partitions=False, open_topic=None)
    for part in range(3):
        for i in range(250):
            watch.counted(f"t{part}-{i}", 3, 3)
        wait_until(lambda part=part: len(watch.notices) == (part + 1) * 250 * len(WEAK))
        wait_until(lambda: checks() == 0)
        assert clients.living == 0
    assert clients.made >= 3


def test_send_goes_on_where_no_thread_can_start(embedded_cluster, topic, clients, monkeypatch):
    clients.answer = "success"
    start = threading.Thread.start

    def refuse(thread):
        if thread.name == NAME:
            raise RuntimeError("can't start new thread")
        start(thread)

    first, second = topic(embedded_cluster), topic(embedded_cluster)
    with SafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers) as producer:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            assert producer.send(first, b"x").offset == 0
            assert checks() == 0
        producer.send(second, b"x")
        # The first one was not forgotten.
        wait_until(
            lambda: (
                {
                    name
                    for name in (first, second)
                    if any(name in note and "unclean" in note for note in producer.notices)
                }
                == {first, second}
            )
        )


def test_a_client_that_cannot_be_made_stops_nobody(embedded_cluster, topic, monkeypatch):
    def refuse(settings):
        raise KafkaException(KafkaError(KafkaError._CRIT_SYS_RESOURCE))

    monkeypatch.setattr(admin, "AdminClient", refuse)
    with SafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers) as producer:
        assert producer.send(topic(embedded_cluster), b"x").offset == 0
        wait_until(lambda: checks() == 0)


@pytest.mark.timing
def test_closing_does_not_wait_for_an_answer(embedded_cluster, topic, clients):
    producer = SafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers)
    producer.send(topic(embedded_cluster), b"x")
    wait_until(lambda: clients.made)
    started = time.monotonic()
    producer.close()
    assert time.monotonic() - started < 2
    assert checks() == 0
    assert clients.living == 0
    producer._topic_monitor.check.ask("late")
    assert checks() == 0


@pytest.mark.parametrize("codec", ["none", "lz4"])
def test_a_record_that_its_topic_does_not_take_is_refused_before_it_is_sent(embedded_cluster, topic, clients, codec):
    """With compression the broker counts compressed bytes: nobody knows before."""
    clients.answer = "small"
    name, large = topic(embedded_cluster), bytes(1_931)  # 2 000 bytes hold one of 1 930
    settings = {"bootstrap.servers": embedded_cluster.bootstrap_servers, "compression.type": codec}
    with SafeProducer(settings) as producer:
        producer.send(name, b"x")
        wait_until(lambda: clients.made and not checks())
        if codec == "lz4":
            producer.send(name, large)
            producer.send_batch(name, [large])
            return
        sent = producer._handle.produce_requests
        text = r"2001 bytes .*max\.message\.bytes is 2000 .*message\.max\.bytes"
        with pytest.raises(DeliveryError, match=text) as caught:
            producer.send(name, large)
        assert (caught.value.topic, caught.value.verdict) == (name, Verdict.NOT_WRITTEN)
        with pytest.raises(DeliveryError, match=text) as caught:
            producer.send_batch(name, [b"a", large, b"b"])
        assert (caught.value.topic, caught.value.index, caught.value.verdict) == (name, 1, Verdict.NOT_WRITTEN)
        assert producer._handle.produce_requests == sent
        metadata = producer.send_batch(name, [b"a", large, b"b"], on_bad_row="skip")
        assert (metadata.written, metadata.refused.indices.tolist()) == (2, [1])


def test_a_topic_is_asked_for_again_after_a_refusal_and_not_at_every_one(embedded_cluster, topic, clients):
    clients.answer = "small"
    name = topic(embedded_cluster)
    with SafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers) as producer:
        producer.send(name, b"x")
        wait_until(lambda: clients.made == 1 and not checks())
        producer.partitions_for(name)
        assert clients.made == 1
        for _ in range(3):
            with pytest.raises(DeliveryError):
                producer.send(name, bytes(3_000))
            producer.partitions_for(name)
            wait_until(lambda: not checks())
        assert clients.made == 2
