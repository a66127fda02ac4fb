"""Ctrl-C at every step: an interrupted call leaves behind what became of its records, and the line goes on."""

from __future__ import annotations

import math
import signal
import sys
import threading

import pytest

from tests.support.safe_lane import signal_when, turn_held, until_in_line
from tests.support.waiting import wait_until
from twolane import BatchMetadata, DeliveryError, RecordMetadata, SafeProducer, Verdict


@pytest.fixture
def producer(embedded_cluster):
    with SafeProducer(
        bootstrap_servers=embedded_cluster.bootstrap_servers, check_topics=False, enable_idempotence=False
    ) as made:
        yield made


def interrupted_at(step, call):
    """Run a call with a KeyboardInterrupt before the step-th line of ``twolane.safe``; return what it raised."""
    left = step

    def trace(frame, event, _argument):
        nonlocal left
        if not frame.f_globals.get("__name__", "").startswith("twolane.safe."):
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
        metadata = getattr(error, "twolane_result", None)
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
        interrupted = threading.Event()

        def follow(ends=ends):
            try:
                ends.append(producer.send(name, b"follower", timeout=math.inf))
            except DeliveryError as refused:
                ends.append(refused)

        follower = threading.Thread(target=follow)
        with turn_held(producer) as end_turn:

            def line_up(follower=follower, end_turn=end_turn, interrupted=interrupted):
                # The one that leads, unless it was interrupted before it came into the line.
                wait_until(lambda: len(producer._fair_lock) == 1 or interrupted.is_set())
                leaders = len(producer._fair_lock)
                follower.start()
                until_in_line(producer, leaders + 1)
                end_turn()

            starter = threading.Thread(target=line_up)
            starter.start()
            error = interrupted_at(step, lambda: producer.send(name, b"leader", timeout=math.inf))
            interrupted.set()
            starter.join()
        follower.join(60)
        assert not follower.is_alive(), step
        if error is None:
            break
        # Without one it had not come into the line.
        outcomes = [getattr(error, "twolane_result", None), *ends]
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


@pytest.mark.parametrize("answer", ["comes soon", "comes later"])
def test_a_follower_interrupted_hears_of_its_record(producer, embedded_cluster, topic, monkeypatch, answer):
    """A neighbour sends the record of the interrupted caller: its word is waited for, but not for long."""
    name = topic(embedded_cluster)
    producer.send(name, b"warm")
    group, soon = producer._group, answer == "comes soon"
    answered, goes_on, set_outcomes = threading.Event(), threading.Event(), group._set_outcomes

    def wait_before(*arguments):
        answered.set()
        goes_on.wait()
        return set_outcomes(*arguments)

    def interrupt(*_):
        if soon:
            goes_on.set()
        raise KeyboardInterrupt

    monkeypatch.setattr(group, "_set_outcomes", wait_before)
    producer._fair_lock.neighbour_seconds = 30.0 if soon else 0.0
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        with turn_held(producer) as end_turn:
            leader = threading.Thread(target=producer.send, args=(name, b"leader"), kwargs={"timeout": math.inf})
            leader.start()
            until_in_line(producer, 1)
            release = threading.Thread(target=lambda: (until_in_line(producer, 2), end_turn()))
            release.start()
            with signal_when(answered.is_set), pytest.raises(KeyboardInterrupt) as caught:
                producer.send(name, b"follower", timeout=math.inf)
            release.join()
    finally:
        signal.signal(signal.SIGINT, before)
        goes_on.set()
    leader.join()
    outcome = caught.value.twolane_result
    if soon:
        assert isinstance(outcome, RecordMetadata)
    else:
        assert isinstance(outcome, DeliveryError)
        assert outcome.verdict is Verdict.UNKNOWN
    assert "the record being sent" in caught.value.__notes__[-1]
    # Its neighbour heard more: the record is written, and nothing is in doubt.
    assert written(producer) == 3
    assert not producer.in_doubt


def test_a_caller_interrupted_in_line_has_sent_nothing(producer, embedded_cluster, topic):
    name = topic(embedded_cluster)
    producer.send(name, b"warm")
    with (
        turn_held(producer),
        signal_when(lambda: len(producer._fair_lock) == 1),
        pytest.raises(KeyboardInterrupt) as caught,
    ):
        producer.send(name, b"x")
    assert caught.value.twolane_result.verdict is Verdict.NOT_WRITTEN
    assert written(producer) == 1
