"""The thread that sends polls; the delivery thread (``poll_when_idle()``) does not meanwhile: see ReportReader."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.support.waiting import wait_until
from twolane.batch import EncodedBatch
from twolane.client.handle import Handle
from twolane.produce.buffer import ProduceBuffer
from twolane.produce.record_slice import RecordSlice
from twolane.reports.call_result import CallResult
from twolane.reports.reader import ReportReader

if TYPE_CHECKING:
    from collections.abc import Iterator

N = 50
# Milliseconds until brokers answer: far longer than a call takes, so that it ends before the first report.
RTT = 300
# The leases of ReportReader, in seconds: of a slice, and of a call behind another one.
SLICE_LEASE, NEXT_LEASE = 0.05, 0.002


class Sender:
    """A throughput lane without its delivery thread; each record is a request of its own, and each has its event."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        settings = {"bootstrap.servers": bootstrap, "linger.ms": "0", "batch.num.messages": "1", "acks": "all"}
        self.handle = Handle(settings)
        self.reader = ReportReader(self.handle)
        self.window = ProduceBuffer(self.handle, self.reader, 100_000, 10**9)
        self.topic = self.handle.open_topic(topic)
        error, partitions = self.handle.fetch_partitions(self.topic, 10)
        assert not error
        self.topic.counted(len(partitions))

    def produce(self, n: int = N) -> CallResult:
        """Enqueue records, as a ``send_batch()`` that has not ended yet."""
        result = CallResult(self.reader, n)
        result.attach()
        records = RecordSlice(EncodedBatch.borrowed([b"v"] * n), None, 1, np.zeros(n, np.int32))
        assert self.window.produce(self.topic, records, 0, result, 0) == (n, 0, -1)
        return result

    @property
    def in_queue(self) -> int:
        return self.reader.count()["in_queue"]

    def until_answered(self) -> None:
        """Wait until the brokers have answered all, and no report is taken."""
        wait_until(lambda: self.reader.events_waiting >= self.in_queue)

    def end(self) -> None:
        """Take all reports."""
        wait_until(lambda: self.reader.poll(0.1) >= 0 and not self.in_queue)
        self.reader.take_finished()


@pytest.fixture
def sender(embedded_cluster, topic) -> Iterator[Sender]:
    made = Sender(embedded_cluster.bootstrap_servers, topic(embedded_cluster, 1))
    first = made.produce(1)  # connects
    first.close_for_appends()
    made.end()
    made.reader.clock = 1e9  # later than any real one, and stopped
    yield made
    made.end()
    made.handle.close()


@pytest.fixture
def answered(sender, embedded_cluster) -> Iterator[tuple[Sender, CallResult]]:
    """A call in progress whose reports are all there."""
    embedded_cluster.set_rtt(RTT)
    result = sender.produce()
    sender.until_answered()
    assert sender.in_queue == N
    yield sender, result
    sender.end()
    result.detach()


def test_a_call_in_progress_polls_itself(answered):
    sender, _ = answered
    sender.reader.clock += SLICE_LEASE * 0.9
    assert sender.reader.poll_when_idle(0.02) == 0
    assert sender.in_queue == N


def test_a_call_that_goes_silent_is_not_waited_for(answered):
    sender, _ = answered
    sender.reader.clock += SLICE_LEASE * 1.1
    assert sender.reader.poll_when_idle(0.02) == N


def test_a_call_that_ends_leaves_its_reports(answered):
    """Its caller may wait for them, and nothing else is in flight."""
    sender, result = answered
    result.close_for_appends()
    assert sender.reader.poll_when_idle(0.02) == N
    assert sender.reader.take_finished() == [result.id]


def test_a_call_behind_another_one_is_followed_by_a_third(sender, embedded_cluster):
    embedded_cluster.set_rtt(RTT)
    first, second = sender.produce(), sender.produce()
    first.close_for_appends()
    second.close_for_appends()
    sender.until_answered()
    assert sender.reader.poll_when_idle(0.02) == 0
    sender.reader.clock += NEXT_LEASE * 1.1
    assert sender.reader.poll_when_idle(0.02) == 2 * N
    assert sender.reader.take_finished() == [first.id, second.id]


def test_a_flush_waits_for_no_lease(answered):
    sender, _ = answered
    sender.reader.end_lease()
    assert sender.reader.poll_when_idle(0.02) == N


def test_a_thread_that_waits_for_space_polls(sender, embedded_cluster):
    """Also the records that another one enqueued long ago."""
    embedded_cluster.set_rtt(RTT)
    result = sender.produce()
    sender.reader.clock += 10
    waiting = threading.Thread(target=lambda: small.wait_for_space(20))
    small = ProduceBuffer(sender.handle, sender.reader, 1, 10**9)
    waiting.start()
    wait_until(lambda: not waiting.is_alive())
    assert result.done == N
    result.close_for_appends()


def test_the_delivery_thread_gives_way_to_a_sender_that_begins(sender, embedded_cluster):
    """Else it would poll for as long as records are sent: a report comes for each of them; here all at once."""
    embedded_cluster.set_rtt(RTT)
    taken: list[int] = []
    thread = threading.Thread(target=lambda: taken.append(sender.reader.poll_when_idle(20)))
    thread.start()
    wait_until(lambda: sender.reader.is_sleeping)
    result = sender.produce()
    thread.join(60)
    assert taken == [1]
    assert sender.in_queue == N - 1
    result.close_for_appends()


def test_work_that_another_thread_found_wakes_the_delivery_thread(sender):
    sender.reader.clock += 10
    taken: list[int] = []
    thread = threading.Thread(target=lambda: taken.append(sender.reader.poll_when_idle(20)))
    thread.start()
    wait_until(lambda: sender.reader.is_sleeping)
    empty = CallResult(sender.reader, 0)
    empty.attach()
    empty.close_for_appends()
    thread.join(60)
    assert taken == [0]
    assert sender.reader.take_finished() == [empty.id]


def test_the_end_of_a_thread_ends_its_wait(sender):
    sender.reader.clock += 10
    thread = threading.Thread(target=lambda: sender.reader.poll_when_idle(20))
    thread.start()
    wait_until(lambda: sender.reader.is_sleeping)
    sender.reader.wake()
    thread.join(60)
    assert not thread.is_alive()
