"""The throughput lane's thread: polls while no sender does, runs callbacks, and ends the client.

One daemon thread per producer, named ``twolane-delivery``. Callbacks (``on_delivery``, ``add_done_callback``) run in it
and in no other. It has no reference to the producer, so a producer that is dropped unclosed can be collected; the
thread then drains what is left and ends the client itself, as it does for ``close()``.

No lock is held here while Python code runs: a signal handler, or a callback, may interrupt a wait and wait itself.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import TYPE_CHECKING

from twolane.common.base import STILL_RUNS
from twolane.common.logs import whereabouts
from twolane.common.process_exit import Exits
from twolane.common.waiters import Waiters
from twolane.errors import ClosedProducerError, TwolaneError, Verdict, from_report
from twolane.results import DeliveryReport
from twolane.throughput.problems import KEPT, Problems

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet

    from twolane.client.handle import Handle
    from twolane.common.logs import ClientLog
    from twolane.produce.accumulator import RecordAccumulator
    from twolane.reports.callbacks import Callbacks
    from twolane.reports.reader import ReportReader
    from twolane.throughput.batch_delivery import BatchDelivery

# Seconds that the thread waits for an event before it looks around: bounds the age of a log line, not of a report.
WAIT = 0.1
# Seconds that purged records get to be reported, and then the client to end. librdkafka answers at once, unless a
# broker thread is in a name look-up; no call outlives its timeout by more than 1.5 s.
PURGE_WAIT, END_WAIT = 0.8, 0.4
# librdkafka's _DESTROY: of a record whose report never came because the client was ended.
LOST = DeliveryReport(0, -197, Verdict.UNKNOWN)

# Threads whose producers were collected unclosed, until they have drained.
_abandoned: set[DeliveryThread] = set()


class DeliveryThread:
    """Polls one ReportReader.

    Parameters
    ----------
    handle : Handle
    reader : ReportReader
    callbacks : Callbacks
        ``on_delivery`` of the records in flight.
    accumulator : RecordAccumulator
        Records of ``send()`` that librdkafka does not have yet.
    log_events : callable
        Passes log lines, errors and statistics on.
    say : ClientLog
    """

    def __init__(
        self,
        handle: Handle,
        reader: ReportReader,
        callbacks: Callbacks,
        accumulator: RecordAccumulator,
        log_events: Callable[[], None],
        say: ClientLog,
    ) -> None:
        self._handle = handle
        self._reader = reader
        self._generations = reader.generations
        self._callbacks = callbacks
        self._accumulator = accumulator
        self._log_events = log_events
        self._say = say
        self.problems = Problems(handle, reader, say)
        self._batches: dict[int, BatchDelivery] = {}  # by the id of their tracker, which is used again after its end
        self._unfinished: set[BatchDelivery] = set()  # until their callbacks have run
        self._end_by: float | None = None  # time.monotonic(): nothing is accepted any more, the thread drains and ends
        self.has_ended = False  # every record has its verdict, every callback has run, the client is ended
        self.progress = Waiters()
        self._thread = threading.Thread(target=self._run, name="twolane-delivery", daemon=True)
        self.problems.thread = self._thread
        self._thread.start()

    def add(self, batch: BatchDelivery) -> None:
        """Keep a batch until all its records are reported."""
        self._unfinished.add(batch)
        self._batches[batch.id] = batch
        if self.has_ended:  # the producer was closed while its call prepared it
            self._finish(batch.id)

    # ---- the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while self._end_by is None:
            try:
                self._poll(WAIT)
                self._handle.mark_old_topics()
            except ClosedProducerError:
                break
            except BaseException as error:
                # Whatever it is: reports must be read all the same.
                self._say(logging.ERROR, "in the delivery thread", error=error)
                time.sleep(0.01)
        self._end()

    def _poll(self, timeout: float) -> None:
        """Poll, and do what needs Python."""
        if self._reader.poll_when_idle(timeout) < 0:
            self._accumulator.drain()
        self._complete()

    def _complete(self) -> None:
        """Finish batches, run callbacks, keep failures, log events."""
        for tracker_id in self._reader.take_finished():
            self._finish(tracker_id)
        self._callbacks.run(self._reader, self.problems.error_of, self.problems.callback_raised)
        self.problems.collect()
        self._log_events()
        self.progress.wake()

    def _finish(self, tracker_id: int) -> None:
        batch = self._batches.pop(tracker_id, None)
        if batch is not None:
            try:
                batch._finish()
            except BaseException as error:
                self.problems.callback_raised(error)
            self._unfinished.discard(batch)

    # ---- for the other threads -----------------------------------------------------------------------------------

    def flush(self, deadline: float, interrupted: AbstractSet[BatchDelivery] = frozenset()) -> int:
        """Wait until every record accepted before the call was reported and every callback for it has run.

        Parameters
        ----------
        deadline : float
            ``time.monotonic()``. Signals interrupt the wait.
        interrupted : set of BatchDelivery
            What the calling thread itself is enqueuing, in calls that a signal handler or ``on_full`` interrupted:
            these cannot finish meanwhile; their records accepted so far are waited for.

        Returns
        -------
        int
            How many of these records are still in flight.
        """
        number, batches = self._generations.number, self._unfinished - interrupted

        def are_done() -> bool:
            if self._generations.number == number:
                self._generations.advance()  # what is sent from now on is not waited for
            return (
                not self._generations.incomplete(number)
                and self._unfinished.isdisjoint(batches)
                and all(batch.reported == batch.accepted for batch in interrupted)
            )

        self._accumulator.drain()
        while not are_done():
            left = deadline - time.monotonic()
            if left <= 0:
                in_flight = sum(batch.accepted - batch.reported for batch in batches | interrupted)
                return self._generations.incomplete(number) + in_flight
            self._reader.end_lease()
            self.progress.wait(are_done, min(left, 0.02))
        self.problems.collect()
        return 0

    # ---- the end -------------------------------------------------------------------------------------------------

    def end(self, deadline: float) -> bool:
        """Let the thread drain and end the client; wait for that. From any other thread, any number of times.

        Nothing is accepted any more, and what is unacknowledged at the deadline is purged.

        Returns
        -------
        bool
            False if user code that the thread runs did not return in time; it ends the client when that does.
        """
        self._end_before(deadline)
        until = deadline + PURGE_WAIT + END_WAIT + 0.1
        while not self.has_ended and (left := until - time.monotonic()) > 0:
            self.progress.wait(lambda: self.has_ended, min(left, 0.1))
        if self.has_ended:
            self._thread.join(0.1)
        return self.has_ended

    def abandon(self, timeout: float) -> None:
        """Do the same without waiting: the producer was collected."""
        _abandoned.add(self)
        _exits.watch()
        self._end_before(time.monotonic() + timeout)

    def join(self) -> None:
        """Wait for the end of an abandoned thread until its deadline."""
        self.end(self._end_by or 0.0)

    def whereabouts(self) -> str:
        """Return what the thread is doing, as text."""
        return whereabouts(self._thread)

    def _end_before(self, deadline: float) -> None:
        self._end_by = deadline if self._end_by is None else min(self._end_by, deadline)
        with contextlib.suppress(TwolaneError):
            self._accumulator.drain()
            self._reader.wake()

    def _end(self) -> None:
        try:
            if not self._drain(lambda: self._end_by or 0.0):
                self._handle.purge(wait=False)
                until = time.monotonic() + PURGE_WAIT
                self._drain(lambda: until)
        except ClosedProducerError:
            pass
        except BaseException as error:
            self._say(logging.ERROR, "in the delivery thread", error=error)
        if not self._handle.close(END_WAIT):
            self._say(logging.WARNING, STILL_RUNS)
        try:
            self._write_off()
        except BaseException as error:
            self._say(logging.ERROR, "in the delivery thread", error=error)
        self.has_ended = True
        self._finish_batches()  # of calls that added one just now: they read has_ended after that
        if self in _abandoned:
            self.problems.log_failures()
            _abandoned.discard(self)
        self.progress.wake()

    def _drain(self, until: Callable[[], float]) -> bool:
        """Poll until nothing is in flight, or until a moment that may become an earlier one.

        At least once: a callback may have returned long after that.
        """
        left = 1.0
        while self._reader.count()["in_queue"] or self._callbacks:
            if left <= 0:
                return False
            left = until() - time.monotonic()
            self._reader.end_lease()
            self._poll(min(WAIT, max(0.001, left)))
        self._complete()
        return True

    def _write_off(self) -> None:
        """End every record without a report as unknown; usually there is none. Calls that go on accept nothing more."""
        self._complete()
        without_callback = self._reader.write_off()
        self._callbacks.write_off(lambda topic: from_report(topic, LOST), self.problems.callback_raised)
        self.problems.add_failures([("", LOST)] * min(without_callback, KEPT))
        self._finish_batches()

    def _finish_batches(self) -> None:
        for tracker_id in list(self._batches):
            self._finish(tracker_id)


def _join_abandoned() -> None:
    for thread in list(_abandoned):
        if not thread._handle.is_forked:
            thread.join()


_exits = Exits(_join_abandoned)
