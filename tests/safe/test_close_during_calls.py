"""close() of a safe producer while its calls are under way: in other threads, below a signal handler, behind a look."""

from __future__ import annotations

import math
import threading

import pytest

from tests.support.processes import python
from tests.support.waiting import wait_until
from twolane import ClosedProducerError, SafeProducer
from twolane.common.fair_lock import Waiter

UNREACHABLE = "127.0.0.1:9"


@pytest.mark.timing
def test_close_while_another_thread_asks_for_partitions():
    """That thread does not wait for its turn: it is inside librdkafka with a handle that must stay."""
    done = python(
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
            while producer._handle.users < 4:
                time.sleep(0.001)
            started = time.monotonic()
            producer.close()
            took = time.monotonic() - started
            assert took < 1.5, took
            for thread in threads:
                thread.join(60)
            assert len(ended) == 4, ended
        """
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.timing
def test_close_in_a_signal_handler_ends_the_call_below_it():
    """The turn belongs to the very thread that would wait for it."""
    done = python(
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
            cluster.start_tracking()
            def kill():
                while not cluster.requests(0):
                    time.sleep(0.001)
                os.kill(os.getpid(), signal.SIGTERM)
            threading.Thread(target=kill).start()
            started = time.monotonic()
            try:
                producer.send("t", b"x")
            except DeliveryError as error:
                assert error.verdict is Verdict.UNKNOWN
            else:
                raise AssertionError("written")
            took = time.monotonic() - started
            assert took < 0.5 + 1.5, took
            assert producer._handle.is_closed
        """
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.timing
def test_close_ends_the_wait_of_init_transactions():
    done = python(
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
        while not producer._handle.users:
            time.sleep(0.001)
        started = time.monotonic()
        producer.close(0.3)
        took = time.monotonic() - started
        assert took < 0.3 + 1.5, took
        thread.join(60)
        assert ended
        """
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("call", ["send", "send_batch"])
def test_a_call_that_comes_into_the_line_after_close_is_told(embedded_cluster, topic, call):
    """It saw the producer open, and close() did not see it in the line; a batch waits there without a limit."""
    name = topic(embedded_cluster)
    producer = SafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers, check_topics=False)
    producer.send(name, b"warm")
    holder, ended = Waiter(math.inf), []
    assert producer._fair_lock.acquire(holder)

    def work():
        try:
            getattr(producer, call)(name, [b"x"] if call == "send_batch" else b"x")
        except ClosedProducerError as error:
            ended.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    wait_until(lambda: len(producer._fair_lock))
    producer._handle.draining = True  # as close() does, which then turns away those whom it sees in the line
    producer._fair_lock.release(holder)
    thread.join(30)
    assert ended
    producer._handle.draining = False
    producer.close()
