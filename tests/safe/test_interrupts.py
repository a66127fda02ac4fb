"""Ctrl-C at every step: an interrupted call leaves behind what became of its records, and the line goes on."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from twolane import BatchMetadata, DeliveryError, RecordMetadata, SafeProducer, Verdict
from twolane.common.fair_lock import Waiter

POLICY = {"producer.py", "batch_call.py", "group_commit.py", "aftermath.py", "topic_monitor.py", "in_doubt.py"}


@pytest.fixture
def producer(embedded_cluster):
    with SafeProducer(
        bootstrap_servers=embedded_cluster.bootstrap_servers, check_topics=False, enable_idempotence=False
    ) as made:
        yield made


def interrupted_at(step, call):
    """Run a call with a KeyboardInterrupt before the step-th line of the lane's Python code; return what it raised."""
    left = step

    def trace(frame, event, _argument):
        nonlocal left
        if Path(frame.f_code.co_filename).name not in POLICY or "twolane" not in frame.f_code.co_filename:
            return None
        if event == "line":
            left -= 1
            if left == 0:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace

    measuring = sys.gettrace()  # make coverage
    sys.settrace(trace)
    try:
        call()
    except KeyboardInterrupt as error:
        return error
    finally:
        sys.settrace(measuring)
    return None


@contextlib.contextmanager
def another_has_the_turn(producer):
    """Give a function that ends the turn of another thread, which has it by then."""
    took, over = threading.Event(), threading.Event()

    def hold():
        turn = Waiter(math.inf)
        assert producer._turns.take(turn)
        took.set()
        over.wait()
        producer._turns.leave(turn)

    thread = threading.Thread(target=hold)
    thread.start()
    took.wait()
    try:
        yield over.set
    finally:
        over.set()
        thread.join()


def written(producer):
    return producer.stats().written


def test_a_batch_interrupted_anywhere_leaves_its_metadata(producer, embedded_cluster, topic):
    name = topic(embedded_cluster, 2)
    producer.send_batch(name, [b"warm"] * 2, partitions=[0, 1])
    noted = 0
    for step in range(1, 500):
        before = written(producer)
        error = interrupted_at(step, lambda: producer.send_batch(name, [b"x"] * 4, partitions=[0, 1, 0, 1]))
        if error is None:
            break
        metadata = getattr(error, "twolane_metadata", None)
        if metadata is None:
            assert written(producer) == before
        else:
            assert isinstance(metadata, BatchMetadata)
            assert metadata.written == written(producer) - before
            assert "the batch being sent" in error.__notes__[-1]
            noted += 1
        for name_, partition in producer.in_doubt:
            producer.resume(name_, partition)
    else:
        pytest.fail("never came to the end")
    assert noted > 20
    assert not producer.notices


def test_a_group_interrupted_anywhere_leaves_everybody_a_verdict(producer, embedded_cluster, topic):
    """The caller that leads is interrupted; it, and the neighbour whose record it carries, hear what became of them."""
    name = topic(embedded_cluster)
    producer.send(name, b"warm")
    led = 0
    for step in range(1, 500):
        before = written(producer)
        ends: list[object] = []

        def follow(ends=ends):
            try:
                ends.append(producer.send(name, b"follower", timeout=20))
            except DeliveryError as refused:
                ends.append(refused)

        follower = threading.Thread(target=follow)
        with another_has_the_turn(producer) as end_turn:

            def line_up(follower=follower, end_turn=end_turn):
                time.sleep(0.01)
                follower.start()
                time.sleep(0.01)
                end_turn()

            starter = threading.Thread(target=line_up)
            starter.start()
            error = interrupted_at(step, lambda: producer.send(name, b"leader", timeout=20))
            starter.join()
        follower.join(5)
        assert not follower.is_alive(), step
        if error is None:
            if led > 20:
                break
            continue  # on a busy machine the follower may have come first, and the leader led nobody
        # Without one it had not come into the line.
        outcomes = [getattr(error, "twolane_outcome", None), *ends]
        assert len(outcomes) == 2
        led += outcomes[0] is not None
        sent = [outcome for outcome in outcomes if isinstance(outcome, RecordMetadata)]
        unknown = [o for o in outcomes if isinstance(o, DeliveryError) and o.verdict is Verdict.UNKNOWN]
        assert len(sent) <= written(producer) - before <= len(sent) + len(unknown), step
        for name_, partition in producer.in_doubt:
            producer.resume(name_, partition)
    else:
        pytest.fail("never came to the end")
    assert led > 20


@pytest.mark.parametrize(("rtt", "kind"), [(0.6, RecordMetadata), (2.0, DeliveryError)], ids=["soon", "later"])
def test_a_follower_interrupted_hears_of_its_record(producer, embedded_cluster, topic, rtt, kind):
    """A neighbour sends the record of the interrupted caller: its word is waited for, but not for long."""
    name = topic(embedded_cluster)
    producer.send(name, b"warm")
    embedded_cluster.set_rtt(int(rtt * 1000))
    others = [threading.Thread(target=producer.send, args=(name, value)) for value in (b"first", b"leader")]
    started = time.monotonic()
    for thread in others:
        thread.start()
        time.sleep(0.05)
    # The first one's answer comes after one round trip; then the second one takes this thread's record along.
    due = started + rtt + 0.3
    timer = threading.Timer(due - time.monotonic(), os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt) as caught:
        producer.send(name, b"follower")
    assert time.monotonic() - due < 1.0
    for thread in [*others, timer]:
        thread.join()
    embedded_cluster.set_rtt(0)
    outcome = caught.value.twolane_outcome
    assert isinstance(outcome, kind)
    assert kind is RecordMetadata or outcome.verdict is Verdict.UNKNOWN
    assert "the record being sent" in caught.value.__notes__[-1]
    # Its neighbour heard more: the record is written, and nothing is in doubt.
    assert written(producer) == 4
    assert not producer.in_doubt


def test_a_caller_interrupted_in_line_has_sent_nothing(producer, embedded_cluster, topic):
    name = topic(embedded_cluster)
    producer.send(name, b"warm")
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with another_has_the_turn(producer), pytest.raises(KeyboardInterrupt) as caught:
        producer.send(name, b"x")
    timer.join()
    assert caught.value.twolane_outcome.verdict is Verdict.NOT_WRITTEN
    assert written(producer) == 1
