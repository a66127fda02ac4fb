"""The throughput lane's service thread: takes reports while nobody sends, and runs what needs Python.

One daemon thread per producer, named ``twolane-service``. Callbacks (``on_delivery``, ``add_done_callback``) run in it
and in no other. It holds no reference to the producer, so a producer that is dropped unclosed can be collected; the
thread then drains what is left and ends the client itself.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol

from twolane.errors import TwolaneError
from twolane.failures import Report, delivery_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from twolane.client.callbacks import Callbacks
    from twolane.client.delivery import Delivery
    from twolane.client.handle import Handle
    from twolane.client.stage import Stage

logger = logging.getLogger("twolane")

# Seconds that the thread waits for an event before it looks around: bounds the age of a log line, not of a report.
WAIT = 0.1
# Seconds that purged records get to be reported; librdkafka answers at once.
PURGE_WAIT = 5.0
# Failures and exceptions of callbacks that are kept for flush() and close(); the rest is counted.
KEPT = 10_000

# Services whose producers were collected unclosed, until they have drained.
_abandoned: set[Service] = set()


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


class Service:
    """Serves one Delivery.

    Parameters
    ----------
    handle : Handle
    delivery : Delivery
    callbacks : Callbacks
        ``on_delivery`` of the records in flight.
    stage : Stage
        Records of ``send()`` on their way to librdkafka.
    pass_notes_on : callable
        Hands log lines, errors and statistics on.
    """

    def __init__(
        self,
        handle: Handle,
        delivery: Delivery,
        callbacks: Callbacks,
        stage: Stage,
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
        self._stopping = False
        self._abandoned_until: float | None = None
        # Exceptions of callbacks, and of batches with failures that nobody looked at.
        self.errors: list[BaseException] = []
        # Reports of records without a callback or a batch that failed, until flush() tells of them.
        self.failures: list[tuple[str, Report]] = []
        self.failures_dropped = 0
        # Batches sent before this are void: their transaction was aborted.
        self.forgotten_until = 0.0
        # Reentrant: the garbage collector may end a batch with failures wherever Python runs.
        self._collecting = threading.RLock()
        self._settled = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="twolane-service", daemon=True)
        self._thread.start()

    def watch(self, batch: Batch) -> None:
        """Keep a batch until its slot finishes."""
        self._unfinished.add(batch)
        self._batches[batch.slot_id] = batch

    @property
    def is_service_thread(self) -> bool:
        """Whether the caller is the service thread itself, that is: a callback."""
        return threading.current_thread() is self._thread

    # ---- the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping:
            try:
                if self._delivery.attend(WAIT) < 0:
                    self._stage.push()
                self._work()
                if self._abandoned_until is not None:
                    self._end_abandoned(self._abandoned_until)
                    return
            except TwolaneError:
                if not self._stopping:
                    log_exception("the service thread ends")
                return
            except Exception:
                # Whatever it is: reports must be taken all the same.
                log_exception("in the service thread")

    def _work(self) -> None:
        """Run what waits for Python: finished batches, callbacks, failures to remember, log lines."""
        for slot_id in self._delivery.take_finished():
            self._finish(self._batches.pop(slot_id, None))
        self._callbacks.run(self._delivery, delivery_error, self._raised)
        self.collect_failures()
        try:
            self._pass_notes_on()
        except Exception:
            log_exception("a log line of librdkafka was not passed on")
        with self._settled:
            self._settled.notify_all()

    def _finish(self, batch: Batch | None) -> None:
        if batch is not None:
            self._guard(batch._finish)
            self._unfinished.discard(batch)

    def collect_failures(self) -> None:
        """Take over the failures of records that nobody waits for."""
        with self._collecting:
            failures, dropped = self._delivery.take_failures()
            room = max(0, KEPT - len(self.failures))
            self.failures += failures[:room]
            self.failures_dropped += dropped + max(0, len(failures) - room)

    def _guard(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call user code; what it raises is logged, and raised by the next flush() or close()."""
        try:
            function(*arguments)
        except BaseException as error:
            self._raised(error)

    def _raised(self, error: BaseException) -> None:
        self.keep(error)
        log_exception("a delivery callback raised")

    def keep(self, error: BaseException) -> None:
        """Remember an error for the next flush() or close()."""
        with self._collecting:
            if len(self.errors) < KEPT:
                self.errors.append(error)

    def forget(self) -> None:
        """Forget the failures that flush() has not told of, also those of batches that somebody still holds."""
        self.collect_failures()
        self.take_problems()
        self.forgotten_until = time.monotonic()

    def take_problems(self) -> tuple[list[BaseException], list[tuple[str, Report]], int]:
        """Return and forget the errors, the failures, and the number of failures that were not kept."""
        with self._collecting:
            taken = self.errors, self.failures, self.failures_dropped
            self.errors, self.failures, self.failures_dropped = [], [], 0
        return taken

    # ---- for the other threads -----------------------------------------------------------------------------------

    @property
    def _is_settled(self) -> bool:
        return not self._delivery.count()["in_queue"] and not self._callbacks and not self._unfinished

    def settle(self, deadline: float) -> bool:
        """Wait until every accepted record was reported and every callback for it has run.

        Returns
        -------
        bool
            False if `deadline` (``time.monotonic()``) passed first. Signals interrupt the wait.
        """
        return self._wait(lambda: self._is_settled, deadline)

    def flush(self, deadline: float, own: Batch | None = None) -> int:
        """Do the same for the records accepted before the call; return how many of them are still on their way.

        `own` is a batch that the caller is still enqueuing: it cannot finish meanwhile.
        """
        serial, batches = self._rounds.serial, self._unfinished - {own}
        begun = {own} if own is not None else set()

        def are_done() -> bool:
            if self._rounds.serial == serial:
                self._rounds.advance()  # what is sent from now on is none of this call's business
            return (
                not self._rounds.left(serial)
                and self._unfinished.isdisjoint(batches)
                and all(batch.reported == batch.accepted for batch in begun)
            )

        if self._wait(are_done, deadline):
            return 0
        return self._rounds.left(serial) + sum(batch.accepted - batch.reported for batch in batches | begun)

    def _wait(self, are_done: Callable[[], bool], deadline: float) -> bool:
        self._stage.push()
        while not are_done():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self._delivery.take_over()
            with self._settled:
                self._settled.wait(min(left, 0.02))
        self.collect_failures()
        return True

    def stop(self) -> None:
        """End the thread (from another one), then run what it left. Batches without all reports end as unknown."""
        self._stopping = True
        self._delivery.wake()
        self._thread.join()
        self._work()
        self._end_lost()

    def _end_lost(self) -> None:
        for slot_id in list(self._batches):
            self._finish(self._batches.pop(slot_id))

    # ---- producers that were dropped -----------------------------------------------------------------------------

    def abandon(self, timeout: float) -> None:
        """Leave the rest to the thread: it drains for up to `timeout` seconds and ends the client. Does not wait."""
        _abandoned.add(self)
        self._abandoned_until = time.monotonic() + timeout
        self._delivery.wake()

    def join(self) -> None:
        """Wait for the thread's end, which an abandoned service has a bound for."""
        self._thread.join()

    def _end_abandoned(self, deadline: float) -> None:
        try:
            if not self._drain(deadline):
                self._handle.purge()
                self._drain(time.monotonic() + PURGE_WAIT)
            self._end_lost()
            for topic, report in self.failures[:1]:
                first = delivery_error(topic, report)
                logger.error(
                    "%d records of an unclosed producer were not acknowledged; the first: %s",
                    len(self.failures) + self.failures_dropped,
                    first,
                )
        finally:
            with contextlib.suppress(TwolaneError):
                self._handle.close()
            _abandoned.discard(self)

    def _drain(self, deadline: float) -> bool:
        self._stage.push()
        while not self._is_settled:
            if time.monotonic() >= deadline:
                return False
            self._delivery.attend(min(WAIT, max(0.001, deadline - time.monotonic())))
            self._work()
        return True


def log_exception(text: str) -> None:
    """Log the exception that is handled; one that a user's logging filter or handler raises ends no thread of ours."""
    with contextlib.suppress(Exception):
        logger.exception(text)


def _join_abandoned() -> None:
    for service in list(_abandoned):
        if not service._handle.is_forked:
            service.join()


atexit.register(_join_abandoned)
