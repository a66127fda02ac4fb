"""Ways in which the safe lane's promises once broke, found by reading its code against it."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
from confluent_kafka import KafkaError

from tests.support.proxy import falsify, refuse
from tests.support.readers import read_values
from twolane import ClosedProducerError, ConfigError, DeliveryError, ForkedProducerError, SafeProducer, Verdict

PRODUCE = 0
UNREACHABLE = "127.0.0.1:9"
QUICK = {"retry.backoff.ms": 50, "retry.backoff.max.ms": 100}


def run(program: str, seconds: float) -> subprocess.CompletedProcess[str]:
    """Run a program that may crash or hang in a process of its own."""
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=seconds,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )


# ---- one chunk, one MessageSet -----------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"client.id": "c" * 500}], ids=["topic", "client.id"])
def test_long_names_do_not_split_a_chunk(embedded_cluster, topic, settings):
    """librdkafka counts the whole request against batch.size, names included; two requests would be F1 again."""
    name = (topic(embedded_cluster) + "n" * 249)[:249]
    embedded_cluster.create_topic(name, 1)
    with SafeProducer(QUICK | settings, bootstrap_servers=embedded_cluster.bootstrap_servers) as producer:
        producer.send(name, b"warm")
        limit = producer._chunks.chunk_bytes
        # Two records that fill the lane's chunk to the last byte, at 36 bytes of overhead each.
        values = [b"A" * (limit // 2 - 36), b"B" * (limit - limit // 2 - 36)]
        embedded_cluster.clear_requests()
        producer.send_batch(name, values)
        assert len(embedded_cluster.requests(PRODUCE)) == 1


def test_the_room_for_a_chunk_cannot_be_taken_away():
    """librdkafka would refuse records in the middle of a chunk: a batch would fail on healthy brokers."""
    with pytest.raises(ConfigError, match=r"queue\.buffering\.max\.kbytes.*SafeProducer"):
        SafeProducer(bootstrap_servers=UNREACHABLE, queue_buffering_max_kbytes=100)


# ---- verdicts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [KafkaError.INVALID_RECORD, KafkaError.TOPIC_AUTHORIZATION_FAILED])
def test_a_refusal_for_good_after_a_false_one_proves_nothing(fault_proxy, kafka_cluster, topic, code):
    """F3 and then a refusal: the first request was appended, whatever the second one is told."""
    name = topic(kafka_cluster)
    with SafeProducer(QUICK, bootstrap_servers=fault_proxy.bootstrap_servers, check_topics=False) as producer:
        producer.send(name, b"warm")
        fault_proxy.then(falsify(KafkaError.NOT_LEADER_FOR_PARTITION), refuse(code))
        with pytest.raises(DeliveryError) as caught:
            producer.send(name, b"A")
    assert read_values(kafka_cluster.bootstrap_servers, name) == [b"warm", b"A"]
    assert caught.value.verdict is Verdict.UNKNOWN


# ---- time --------------------------------------------------------------------------------------------------------


def test_nobody_in_a_group_is_kept_until_a_neighbours_later_deadline(embedded_cluster, topic):
    name = topic(embedded_cluster)
    late: dict[float, float] = {}
    with SafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers, check_topics=False) as producer:
        producer.send(name, b"warm")
        embedded_cluster.set_rtt(60_000)

        def work(timeout: float) -> None:
            deadline = time.monotonic() + timeout
            with pytest.raises(DeliveryError):
                producer.send(name, b"x", timeout=timeout)
            late[timeout] = time.monotonic() - deadline

        threads = []
        for timeout in (0.8, 2.5, 1.6, 3.2):
            threads.append(threading.Thread(target=work, args=(timeout,)))
            threads[-1].start()
            time.sleep(0.05)
        for thread in threads:
            thread.join()
        embedded_cluster.set_rtt(0)
    assert max(late.values()) < 1.5, late


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


# ---- the end -----------------------------------------------------------------------------------------------------


def test_close_while_another_thread_asks_for_partitions():
    """That thread is in no line: it stands inside librdkafka with a handle that must not go under its feet."""
    done = run(
        f"""
        import threading, time
        from twolane import ClosedProducerError, SafeProducer
        for _ in range(5):
            producer = SafeProducer(bootstrap_servers={UNREACHABLE!r}, check_topics=False)
            ended = []
            def ask(producer=producer, ended=ended):
                try:
                    producer.send("t", b"x", timeout=20)
                except ClosedProducerError as error:
                    ended.append(error)
            threads = [threading.Thread(target=ask) for _ in range(4)]
            for thread in threads:
                thread.start()
            time.sleep(0.2)
            started = time.monotonic()
            producer.close()
            took = time.monotonic() - started
            assert took < 1.5, took
            for thread in threads:
                thread.join(3)
            assert len(ended) == 4, ended
        """,
        60,
    )
    assert done.returncode == 0, done.stderr


def test_close_in_a_signal_handler_ends_the_call_below_it():
    """The turn belongs to the very thread that would wait for it."""
    done = run(
        """
        import os, signal, threading, time
        from twolane import DeliveryError, SafeProducer, Verdict
        from twolane.testing import EmbeddedCluster
        with EmbeddedCluster() as cluster:
            cluster.create_topic("t", 1)
            producer = SafeProducer(bootstrap_servers=cluster.bootstrap_servers, check_topics=False)
            producer.send("t", b"warm")
            signal.signal(signal.SIGTERM, lambda *_: producer.close(0.5))
            cluster.set_rtt(60_000)
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
            started = time.monotonic()
            try:
                producer.send("t", b"x")
            except DeliveryError as error:
                assert error.verdict is Verdict.UNKNOWN
            else:
                raise AssertionError("written")
            took = time.monotonic() - started
            assert took < 0.3 + 0.5 + 1.5, took
            assert producer._handle.is_closed
        """,
        60,
    )
    assert done.returncode == 0, done.stderr


def test_close_ends_the_wait_of_init_transactions():
    done = run(
        f"""
        import threading, time
        from twolane import ClosedProducerError, SafeProducer
        producer = SafeProducer(bootstrap_servers={UNREACHABLE!r}, transactional_id="x", check_topics=False)
        ended = []
        def work():
            try:
                producer.init_transactions(30)
            except ClosedProducerError as error:
                ended.append(error)
        thread = threading.Thread(target=work)
        thread.start()
        time.sleep(0.3)
        started = time.monotonic()
        producer.close(0.3)
        took = time.monotonic() - started
        assert took < 0.3 + 1.5, took
        thread.join(3)
        assert ended
        """,
        60,
    )
    assert done.returncode == 0, done.stderr


class ClosedAfterTheLook(SafeProducer):
    """close() runs just after one thread saw the producer open, before it stands in the line."""

    worker: int | None = None

    @property
    def _closed(self):
        seen = vars(self)["closed"]
        if not seen and threading.get_ident() == self.worker:
            self.close()
        return seen

    @_closed.setter
    def _closed(self, closed):
        vars(self)["closed"] = closed


@pytest.mark.parametrize("call", ["send", "send_batch"])
def test_a_call_that_comes_into_the_line_after_close_is_told(embedded_cluster, topic, call):
    """It saw the producer open; close() came before it stood in the line, and a batch waits there without a limit."""
    name = topic(embedded_cluster)
    producer = ClosedAfterTheLook(bootstrap_servers=embedded_cluster.bootstrap_servers, check_topics=False)
    producer.send(name, b"warm")
    ended = []

    def work():
        producer.worker = threading.get_ident()
        try:
            getattr(producer, call)(name, [b"x"] if call == "send_batch" else b"x")
        except ClosedProducerError as error:
            ended.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(3)
    assert ended


def test_f11_flush_in_a_child_does_not_wait_for_a_call_of_the_parents(embedded_cluster, topic):
    name = topic(embedded_cluster)
    with SafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers, check_topics=False) as producer:
        producer.send(name, b"warm")
        embedded_cluster.set_rtt(1500)
        other = threading.Thread(target=producer.send, args=(name, b"other"))
        other.start()
        time.sleep(0.2)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                started = time.monotonic()
                try:
                    producer.flush(5)
                except ForkedProducerError:
                    status = 0 if time.monotonic() - started < 1.0 else 2
            finally:
                os._exit(status)
        other.join()
        embedded_cluster.set_rtt(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# ---- several threads ---------------------------------------------------------------------------------------------


def test_resume_while_another_thread_looks_for_doubts():
    """One thread's resume() once made another's batch fail in the middle of the look."""
    from twolane.safe.in_doubt import InDoubtPartitions

    doubts = InDoubtPartitions(fenced=False)

    class Partitions:
        def __eq__(self, other):
            doubts.resolve("t", other)
            return np.zeros(1, dtype=bool)

        __hash__ = None

    for partition in range(5):
        doubts.note("t", [(0, -1, 2, partition, -1, -1, 0)])
    assert doubts.first_refusal("t", Partitions()) is None
