"""Signal handlers on top of the throughput lane's waits: a wait does not count the one of its own thread below it.

Hazard F16 of docs/hazards.md.
"""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from tests.support.processes import python
from tests.support.readers import read_values
from tests.support.waiting import wait_until
from twolane import ClosedProducerError, ThroughputProducer

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="needs signals that a thread can send")

RTT = 150  # milliseconds that what is in flight keeps the calls below waiting
WINDOW = 10


@pytest.fixture
def make(embedded_cluster):
    made = []

    def make(**settings):
        settings = {"queue_buffering_max_messages": WINDOW, "linger_ms": 0, **settings}
        made.append(ThroughputProducer(bootstrap_servers=embedded_cluster.bootstrap_servers, **settings))
        return made[-1]

    yield make
    embedded_cluster.set_rtt(0)
    for producer in made:
        producer.close(5)


@pytest.fixture
def interrupt():
    """Run a function in a signal handler of the main thread once a condition holds; returns how long it took."""
    before = signal.getsignal(signal.SIGUSR1)
    threads = []

    def arm(is_there, handler):
        took = []

        def handle(*_):
            started = time.monotonic()
            try:
                handler()
            finally:
                took.append(time.monotonic() - started)

        def send():
            wait_until(is_there)
            os.kill(os.getpid(), signal.SIGUSR1)

        signal.signal(signal.SIGUSR1, handle)
        threads.append(threading.Thread(target=send))
        threads[-1].start()
        return took

    yield arm
    for thread in threads:
        thread.join()
    signal.signal(signal.SIGUSR1, before)


def below_room(producer, name, called):
    """Wait for room in `send()`."""
    for _ in range(WINDOW):
        producer.send(name, b"in flight", on_delivery=lambda *_: called.append(1))
    yield WINDOW
    producer.send(name, b"below", on_delivery=lambda *_: called.append(1))


def below_room_in_a_batch(producer, name, called):
    """Wait for room in `send_batch()`, part of it enqueued."""
    yield 0
    producer.send_batch(name, [b"below"] * 3 * WINDOW).add_done_callback(lambda _: called.append(1))


def below_a_gate(producer, name, called):
    """Wait for the report of an idempotent producer's first record."""
    producer.send(name, b"in flight", on_delivery=lambda *_: called.append(1))
    yield 1
    producer.send(name, b"below", on_delivery=lambda *_: called.append(1))


def below_flush(producer, name, called):
    """Wait in `flush()`."""
    for _ in range(WINDOW):
        producer.send(name, b"in flight", on_delivery=lambda *_: called.append(1))
    yield WINDOW
    assert producer.flush(20) == 0


def below_result(producer, name, called):
    """Wait for a batch."""
    delivery = producer.send_batch(name, [b"in flight"] * WINDOW)
    delivery.add_done_callback(lambda _: called.append(1))
    yield WINDOW
    assert delivery.result(20).written == WINDOW


def below_close(producer, name, called):
    """Wait in `close()`."""
    for _ in range(WINDOW):
        producer.send(name, b"in flight", on_delivery=lambda *_: called.append(1))
    yield WINDOW
    producer.close(20)


WAITS = [below_room, below_room_in_a_batch, below_a_gate, below_flush, below_result, below_close]
CASES = [(wait, "block") for wait in WAITS] + [(below_room, "callable"), (below_room_in_a_batch, "callable")]


@pytest.mark.parametrize("inner", ["flush", "close"])
@pytest.mark.parametrize(("wait", "on_full"), CASES)
def test_a_wait_in_a_handler_does_not_wait_for_what_it_interrupted(
    embedded_cluster, make, topic, interrupt, wait, inner, on_full
):
    name = topic(embedded_cluster)
    settings = {"on_full": lambda _: time.sleep(0.01)} if on_full == "callable" else {}
    producer = make(enable_idempotence=wait is below_a_gate, **settings)
    producer.partitions_for(name)
    embedded_cluster.set_rtt(RTT)
    called, seen = [], []
    steps = wait(producer, name, called)
    in_flight = next(steps)

    def handler():
        before = producer.stats().accepted
        try:
            producer.flush(10) if inner == "flush" else producer.close(10)
        except ClosedProducerError:
            assert wait is below_close  # a flush on top of it
            return
        stats = producer.stats()
        seen.append((before, stats.written, stats.in_queue, len(called)))

    took = interrupt(lambda: producer.stats().accepted >= max(in_flight, 1), handler)
    try:
        for _ in steps:
            pass
    except ClosedProducerError:
        assert inner == "close"
    wait_until(lambda: took)  # or the signal is still on its way
    assert took[0] < 5  # of the ten seconds that it asked for
    producer.close(10)
    embedded_cluster.set_rtt(0)
    for before, written, in_queue, callbacks in seen:
        assert in_queue == 0
        assert written >= before
        if wait is not below_room_in_a_batch:
            assert callbacks >= in_flight or wait is below_result
    stats = producer.stats()
    assert stats.accepted == stats.written
    assert stats.in_queue == 0
    assert len(called) >= 1 or wait is below_room_in_a_batch
    assert len(read_values(embedded_cluster.bootstrap_servers, name)) == stats.written


CLOSE_ON_CLOSE = """
    import os, signal, sys, threading, time
    from twolane import ThroughputProducer
    servers, name = sys.argv[1:]
    producer = ThroughputProducer(bootstrap_servers=servers, linger_ms=0)
    called = []
    for i in range(10):
        producer.send(name, b"%d" % i, on_delivery=lambda *_: called.append(1))
    signal.signal(signal.SIGUSR1, lambda *_: producer.close(5))
    def interrupt():
        while not producer._closed:
            time.sleep(0.001)
        time.sleep(float(0.05))     # anywhere in the close: each place will do
        os.kill(os.getpid(), signal.SIGUSR1)
    threading.Thread(target=interrupt).start()
    producer.close(20)
    print(len(called), producer.stats().written, producer.stats().in_queue)
"""


def test_a_handler_may_close_while_close_runs(embedded_cluster, topic):
    name = topic(embedded_cluster)
    embedded_cluster.set_rtt(RTT)
    try:
        done = python(CLOSE_ON_CLOSE, embedded_cluster.bootstrap_servers, name)
    finally:
        embedded_cluster.set_rtt(0)
    assert done.stdout.split() == ["10", "10", "0"], done


def test_a_handler_may_flush_at_any_moment(embedded_cluster, make, topic):
    """The moments between two steps of Python count too: no lock of ours is held at one."""
    name = topic(embedded_cluster)
    producer = make(queue_buffering_max_messages=500)
    producer.partitions_for(name)
    embedded_cluster.set_rtt(3)
    slowest, left = [0.0], []
    main = threading.get_ident()

    def handler(*_):
        started = time.monotonic()
        left.append(producer.flush(30))
        slowest[0] = max(slowest[0], time.monotonic() - started)

    before = signal.signal(signal.SIGUSR1, handler)
    stop = threading.Event()

    def interrupt():
        while not stop.wait(0.001 * (1 + len(left) % 7)):
            if len(left) < 100:
                signal.pthread_kill(main, signal.SIGUSR1)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        while len(left) < 100:
            called = []
            delivery = producer.send_batch(name, [b"v"] * 600)
            delivery.add_done_callback(called.append)
            producer.send(name, b"w", on_delivery=lambda *_: None)
            assert delivery.result(60).written == 600
            assert producer.flush(60) == 0
            assert called == [delivery]
    finally:
        stop.set()
        thread.join()
        signal.signal(signal.SIGUSR1, before)
    assert set(left) == {0}
    assert slowest[0] < 15


def test_close_in_on_full_ends_the_call_below_it(embedded_cluster, make, topic):
    name = topic(embedded_cluster)
    producer = make(on_full=lambda full: full.close(10))
    producer.partitions_for(name)
    embedded_cluster.set_rtt(RTT)
    with pytest.raises(ClosedProducerError) as caught:
        producer.send_batch(name, [b"v"] * 3 * WINDOW)
    assert caught.value.delivery.result(0).written == WINDOW
    assert producer.stats().in_queue == 0
