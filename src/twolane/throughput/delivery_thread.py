"""The throughput lane's service thread: takes reports while nobody sends, runs what needs Python, and ends the client.

One daemon thread per producer, named ``twolane-service``. Callbacks (``on_delivery``, ``add_done_callback``) run in it
and in no other. It holds no reference to the producer, so a producer that is dropped unclosed can be collected; the
thread then drains what is left and ends the client itself, as it does for ``close()``.

No lock is held here while Python code runs: a signal handler, or a callback, may interrupt a wait and wait itself.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from twolane.common.base import STILL_RUNS
from twolane.common.failures import delivery_error
from twolane.common.logs import log, whereabouts
from twolane.common.process_exit import Exits
from twolane.common.waiters import Waiters
from twolane.errors import ClosedProducerError, TwolaneError, Verdict
from twolane.results import DeliveryReport

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet

    from twolane.client.handle import Handle
    from twolane.produce.accumulator import RecordAccumulator
    from twolane.reports.callbacks import Callbacks
    from twolane.reports.reader import ReportReader

# Seconds that the thread waits for an event before it looks around: bounds the age of a log line, not of a report.
WAIT = 0.1
# Seconds that purged records get to be reported, and then the client to end. librdkafka answers at once, but a broker
# thread in a name look-up; no call outlives its timeout by more than 1.5 s.
PURGE_WAIT, END_WAIT = 0.8, 0.4
# Failures and exceptions of callbacks that are kept for flush() and close(); the rest is counted.
KEPT = 10_000
# librdkafka's _DESTROY: the report of a record whose own never came because the client was ended.
LOST = DeliveryReport(0, -197, Verdict.UNKNOWN)

# Services whose producers were collected unclosed, until they have drained.
_abandoned: set[DeliveryThread] = set()


class Batch(Protocol):
    """What the thread needs of a BatchDelivery."""

    @property
    def slot_id(self) -> int:
        """Number of the slot its reports go to."""

    @property
    def accepted(self) -> int:
        """Records enqueued."""

    @property
    def reported(self) -> int:
        """Records whose report has come."""

    def _finish(self) -> None:
        """Take the reports over and call back; called once."""


class DeliveryThread:
    """Serves one ReportReader.

    Parameters
    ----------
    handle : Handle
    delivery : ReportReader
    callbacks : Callbacks
        ``on_delivery`` of the records in flight.
    stage : RecordAccumulator
        Records of ``send()`` on their way to librdkafka.
    pass_notes_on : callable
        Hands log lines, errors and statistics on.
    """

    def __init__(
        self,
        handle: Handle,
        delivery: ReportReader,
        callbacks: Callbacks,
        stage: RecordAccumulator,
        pass_notes_on: Callable[[], None],
    ) -> None:
        self._handle = handle
        self._delivery = delivery
        self._rounds = delivery.slots.rounds
        self._callbacks = callbacks
        self._stage = stage
        self._pass_notes_on = pass_notes_on
        self._batches: dict[int, Batch] = {}  # by slot; a slot's number is used again once it is let go
        self._unfinished: set[Batch] = set()  # until their callbacks have run
        self._end_by: float | None = None  # time.monotonic(): nothing gets in any more, the thread drains and ends
        self.has_ended = False  # everything has its verdict, every callback has run, the client is ended
        # Exceptions of callbacks, and of batches with failures that nobody looked at.
        self._errors: deque[BaseException] = deque()
        # Reports of records without a callback or a batch that failed, until flush() tells of them.
        self._failures: deque[tuple[str, DeliveryReport]] = deque()
        self._dropped: deque[int] = deque()  # how many of them were not kept
        # Batches sent before this are void: their transaction was aborted.
        self.forgotten_until = 0.0
        self._news = Waiters()
        self._thread = threading.Thread(target=self._run, name="twolane-service", daemon=True)
        self._thread.start()

    def watch(self, batch: Batch) -> None:
        """Keep a batch until its slot finishes."""
        self._unfinished.add(batch)
        self._batches[batch.slot_id] = batch
        if self.has_ended:  # the producer was closed while its call prepared it
            self._finish(self._batches.pop(batch.slot_id, None))

    @property
    def is_service_thread(self) -> bool:
        """Whether the caller is the service thread itself, that is: a callback."""
        return threading.current_thread() is self._thread

    # ---- the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while self._end_by is None:
            try:
                if self._delivery.attend(WAIT) < 0:
                    self._stage.push()
                self._work()
                self._handle.mark_old_topics()
            except ClosedProducerError:
                break
            except BaseException as error:
                # Whatever it is: reports must be taken all the same.
                log(logging.ERROR, "in the service thread", error=error)
                time.sleep(0.01)
        self._end()

    def _work(self) -> None:
        """Run what waits for Python: finished batches, callbacks, failures to remember, log lines."""
        for slot_id in self._delivery.take_finished():
            self._finish(self._batches.pop(slot_id, None))
        self._callbacks.run(self._delivery, delivery_error, self._raised)
        self.collect_failures()
        self._pass_notes_on()
        self._news.wake()

    def _finish(self, batch: Batch | None) -> None:
        if batch is not None:
            try:
                batch._finish()
            except BaseException as error:
                self._raised(error)
            self._unfinished.discard(batch)

    def collect_failures(self) -> None:
        """Take over the failures of records that nobody waits for."""
        failures, dropped = self._delivery.take_failures()
        room = max(0, KEPT - len(self._failures))
        self._failures.extend(failures[:room])
        dropped += max(0, len(failures) - room)
        if dropped:
            self._dropped.append(dropped)

    def _raised(self, error: BaseException) -> None:
        """Log what user code raised; the next flush() or close() raises it."""
        self.keep(error)
        log(logging.ERROR, "a delivery callback raised", error=error)

    def keep(self, error: BaseException) -> None:
        """Remember an error for the next flush() or close()."""
        if len(self._errors) < KEPT:
            self._errors.append(error)

    def forget(self) -> None:
        """Forget the failures that flush() has not told of, also those of batches that somebody still holds."""
        self.collect_failures()
        self.take_problems()
        self.forgotten_until = time.monotonic()

    def take_problems(self) -> tuple[list[BaseException], list[tuple[str, DeliveryReport]], int]:
        """Return and forget the errors, the failures, and the number of failures that were not kept."""
        return _taken(self._errors), _taken(self._failures), sum(_taken(self._dropped))

    # ---- for the other threads -----------------------------------------------------------------------------------

    def flush(self, deadline: float, below: AbstractSet[Batch] = frozenset()) -> int:
        """Wait until every record accepted before the call was reported and every callback for it has run.

        Parameters
        ----------
        deadline : float
            ``time.monotonic()``. Signals interrupt the wait.
        below : set of Batch
            What the calling thread itself is enqueuing, in calls that a signal handler or ``on_full`` came on top of:
            that cannot finish meanwhile, and is waited for as far as it has come.

        Returns
        -------
        int
            How many of these records are still on their way.
        """
        serial, batches = self._rounds.serial, self._unfinished - below

        def are_done() -> bool:
            if self._rounds.serial == serial:
                self._rounds.advance()  # what is sent from now on is none of this call's business
            return (
                not self._rounds.left(serial)
                and self._unfinished.isdisjoint(batches)
                and all(batch.reported == batch.accepted for batch in below)
            )

        self._stage.push()
        while not are_done():
            left = deadline - time.monotonic()
            if left <= 0:
                return self._rounds.left(serial) + sum(batch.accepted - batch.reported for batch in batches | below)
            self._delivery.take_over()
            self._news.wait(are_done, min(left, 0.02))
        self.collect_failures()
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
        self._hurry(deadline)
        until = deadline + PURGE_WAIT + END_WAIT + 0.1
        while not self.has_ended and (left := until - time.monotonic()) > 0:
            self._news.wait(lambda: self.has_ended, min(left, 0.1))
        if self.has_ended:
            self._thread.join(0.1)
        return self.has_ended

    def abandon(self, timeout: float) -> None:
        """Do the same without waiting: the producer was collected."""
        _abandoned.add(self)
        _exits.watch()
        self._hurry(time.monotonic() + timeout)

    def join(self) -> None:
        """Wait for the end of an abandoned service, as long as it has time."""
        self.end(self._end_by or 0.0)

    def whereabouts(self) -> str:
        """Say what the thread is doing."""
        return whereabouts(self._thread)

    def _hurry(self, deadline: float) -> None:
        self._end_by = deadline if self._end_by is None else min(self._end_by, deadline)
        with contextlib.suppress(TwolaneError):
            self._stage.push()
            self._delivery.wake()

    def _end(self) -> None:
        try:
            if not self._drain(lambda: self._end_by or 0.0):
                self._handle.purge(wait=False)
                until = time.monotonic() + PURGE_WAIT
                self._drain(lambda: until)
        except ClosedProducerError:
            pass
        except BaseException as error:
            log(logging.ERROR, "in the service thread", error=error)
        if not self._handle.close(END_WAIT):
            log(logging.WARNING, STILL_RUNS)
        try:
            self._write_off()
        except BaseException as error:
            log(logging.ERROR, "in the service thread", error=error)
        self.has_ended = True
        self._end_batches()  # of calls that had one ready just now: they look at has_ended after they gave it
        if self in _abandoned:
            self._tell_what_was_lost()
            _abandoned.discard(self)
        self._news.wake()

    def _drain(self, until: Callable[[], float]) -> bool:
        """Take reports until there is nothing to wait for, or until a moment that may become an earlier one.

        One look is taken in any case: a callback may have returned long after that.
        """
        left = 1.0
        while self._delivery.count()["in_queue"] or self._callbacks or self._delivery.has_work:
            if left <= 0:
                return False
            left = until() - time.monotonic()
            self._delivery.take_over()
            if self._delivery.attend(min(WAIT, max(0.001, left))) < 0:
                self._stage.push()
            self._work()
        return True

    def _write_off(self) -> None:
        """End everything that has no report as unknown; usually there is none. Calls that go on accept nothing more."""
        self._work()
        silent = self._delivery.write_off()
        self._callbacks.write_off(lambda topic: delivery_error(topic, LOST), self._raised)
        self._failures.extend([("", LOST)] * min(silent, KEPT))
        self._end_batches()

    def _end_batches(self) -> None:
        for slot_id in list(self._batches):
            self._finish(self._batches.pop(slot_id, None))

    def _tell_what_was_lost(self) -> None:
        _, failures, dropped = self.take_problems()
        if failures:
            text = "%d records of an unclosed producer were not acknowledged; the first: %s"
            log(logging.ERROR, text, len(failures) + dropped, delivery_error(*failures[0]))


def _taken(kept: deque[Any]) -> list[Any]:
    """Take everything out of a deque that other threads append to."""
    taken = []
    with contextlib.suppress(IndexError):
        while True:
            taken.append(kept.popleft())
    return taken


def _join_abandoned() -> None:
    for service in list(_abandoned):
        if not service._handle.is_forked:
            service.join()


_exits = Exits(_join_abandoned)
