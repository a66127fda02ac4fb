"""The throughput lane's service thread: takes reports while nobody sends, and runs what needs Python.

One daemon thread per producer, named ``twolane-<client>``. Callbacks (``on_delivery``, ``add_done_callback``) run in it
and in no other. It holds no reference to the producer, so a producer that is dropped unclosed can be collected.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from twolane.errors import TwolaneError
from twolane.failures import Report, delivery_error
from twolane.records import RecordMetadata, TimestampType

if TYPE_CHECKING:
    from collections.abc import Callable

    from twolane.client.delivery import Delivery
    from twolane.delivery import BatchDelivery

logger = logging.getLogger("twolane")

# Seconds that the thread waits for an event before it looks around: bounds the age of a log line, not of a report.
WAIT = 0.1


class Service:
    """Serves one Delivery.

    Parameters
    ----------
    delivery : Delivery
    callbacks : dict of int to tuple
        ``(on_delivery, topic, timestamp)`` by the record's sequence number; entries are taken out as they are called.
    pass_notes_on : callable
        Receives the list of notes: log lines, errors, statistics.
    """

    def __init__(
        self, delivery: Delivery, callbacks: dict[int, tuple[Any, str, int]], pass_notes_on: Callable[[], None]
    ) -> None:
        self._delivery = delivery
        self._callbacks = callbacks
        self._pass_notes_on = pass_notes_on
        self._batches: dict[int, BatchDelivery] = {}
        self._stopping = False
        self.errors: list[BaseException] = []
        # Reports of records without a callback or a batch that failed, until flush() tells of them.
        self.failures: list[Report] = []
        self.failures_dropped = 0
        self._settled = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="twolane-service", daemon=True)
        self._thread.start()

    def watch(self, batch: BatchDelivery) -> None:
        """Keep a batch until its slot finishes."""
        self._batches[batch.slot_id] = batch

    @property
    def is_service_thread(self) -> bool:
        """Whether the caller is the service thread itself, that is: a callback."""
        return threading.current_thread() is self._thread

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._delivery.attend(WAIT)
                self._work()
        except TwolaneError:
            logger.exception("the service thread ends")

    def _work(self) -> None:
        """Run what waits for Python: finished batches, callbacks, failures to remember, log lines."""
        finished = self._delivery.take_finished()
        for slot_id in finished:
            batch = self._batches.pop(slot_id, None)
            if batch is not None:
                self._guard(batch._finish)
        for report in self._delivery.take_callbacks():
            self._call_back(report)
        failures, dropped = self._delivery.take_failures()
        self.failures += failures
        self.failures_dropped += dropped
        self._pass_notes_on()
        with self._settled:
            self._settled.notify_all()

    def _call_back(self, report: Report) -> None:
        entry = self._callbacks.pop(report[0], None)
        if entry is None:
            return
        on_delivery, topic, sent_timestamp = entry
        if report[2] == 0:
            kind = TimestampType(report[6])
            timestamp = report[5] if kind is TimestampType.LOG_APPEND_TIME else sent_timestamp
            metadata = RecordMetadata(topic, report[3], report[4] if report[4] >= 0 else None, timestamp, kind)
            self._guard(on_delivery, None, metadata)
        else:
            self._guard(on_delivery, delivery_error(topic, (0, *report[1:])), None)

    def _guard(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call user code; what it raises is logged, and raised by the next flush() or close()."""
        try:
            function(*arguments)
        except BaseException as error:  # noqa: BLE001 - user code must not end the thread
            logger.exception("a delivery callback raised")
            self.errors.append(error)

    def settle(self, deadline: float) -> bool:
        """Wait until every accepted record was reported and every callback for it has run.

        Returns
        -------
        bool
            False if `deadline` (``time.monotonic()``) passed first. Signals interrupt the wait.
        """
        while True:
            if not self._delivery.count()["in_queue"] and not self._callbacks and not self._batches:
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            with self._settled:
                self._settled.wait(min(left, 0.02))

    def stop(self) -> None:
        """End the thread (from another one), then run what it left."""
        self._stopping = True
        if not self.is_service_thread:
            self._delivery.wake()
            self._thread.join()
            self._work()
