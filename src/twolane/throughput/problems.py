"""What the next ``flush()`` or ``close()`` raises: failures without a callback, and exceptions of callbacks."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from twolane.common.batch_metadata import Failures
from twolane.errors import CONSEQUENCES, ClosedProducerError, DeliveryError, from_report

if TYPE_CHECKING:
    from twolane.client.handle import Handle
    from twolane.common.logs import ClientLog
    from twolane.reports.reader import ReportReader
    from twolane.results import DeliveryReport

# Failures and exceptions that are kept; the rest is counted.
KEPT = 10_000


class Problems:
    """The failures of one producer that its user has not seen. Without a lock: each step on a deque is atomic."""

    def __init__(self, handle: Handle, reader: ReportReader, say: ClientLog) -> None:
        self.say = say
        self._handle = handle
        self._reader = reader
        self._process = os.getpid()
        self.thread: threading.Thread | None = None  # of the producer, which runs its callbacks
        self._errors: deque[BaseException] = deque()
        self._failures: deque[tuple[str, DeliveryReport]] = deque()
        self._dropped: deque[int] = deque()  # how many failures were not kept
        # Failures of batches sent before this are void: their transaction was aborted.
        self.void_before = 0.0

    @property
    def is_forked(self) -> bool:
        """Whether this is a child of the producer's process, to which no report comes."""
        return os.getpid() != self._process

    @property
    def is_delivery_thread(self) -> bool:
        """Whether the caller runs in the producer's delivery thread, that is: in a callback."""
        return threading.current_thread() is self.thread

    def fatal_reason(self, code: int) -> str | None:
        """Return why librdkafka gave the producer up, if a record's error may be a consequence of that; else None."""
        if code not in CONSEQUENCES:
            return None
        try:
            fatal = self._handle.fatal_error()
        except ClosedProducerError:
            return None
        return None if fatal is None else fatal[1]

    def error_of(self, topic: str, report: DeliveryReport) -> DeliveryError:
        """Return the error of a record without an acknowledgement."""
        return from_report(topic, report, fatal=self.fatal_reason(report.error))

    def add(self, error: BaseException) -> None:
        """Keep an error."""
        if len(self._errors) < KEPT:
            self._errors.append(error)

    def add_failures(self, failures: list[tuple[str, DeliveryReport]], dropped: int = 0) -> None:
        """Keep failed records, each with its topic, and count those dropped already."""
        space = max(0, KEPT - len(self._failures))
        self._failures.extend(failures[:space])
        dropped += max(0, len(failures) - space)
        if dropped:
            self._dropped.append(dropped)

    def callback_raised(self, error: BaseException) -> None:
        """Keep and log what user code raised."""
        self.add(error)
        self.say(logging.ERROR, "a delivery callback raised", error=error)

    def collect(self) -> None:
        """Take the failures of records without a callback from the reader."""
        self.add_failures(*self._reader.take_failures())

    def forget(self) -> None:
        """Forget all, also the failures of batches that were sent before now."""
        self.collect()
        for problems in (self._errors, self._failures, self._dropped):
            _take_all(problems)
        self.void_before = time.monotonic()

    def raise_first(self) -> None:
        """Raise the first problem and forget all; the others are its notes, or its ``failures``."""
        errors, failures, dropped = _take_all(self._errors), _take_all(self._failures), sum(_take_all(self._dropped))
        if failures:
            topic, report = failures[0]
            first = self.error_of(topic, report)
            total = f"{len(failures) + dropped} records sent without on_delivery were not acknowledged"
            first.detail = f"{total}; the first: {first.error.str()}"
            first.failures = Failures(topic, [report for _, report in failures], [])  # type: ignore[attr-defined]
            problem: BaseException = first
        elif errors:
            problem = errors.pop(0)
        else:
            return
        for error in errors[:5]:
            problem.add_note(f"twolane: also {type(error).__name__}: {error}")
        if len(errors) > 5:
            problem.add_note(f"twolane: and {len(errors) - 5} more, see the log of 'twolane'")
        raise problem

    def log_failures(self) -> None:
        """Log the failures of a producer that was collected unclosed, and forget them."""
        failures, dropped = _take_all(self._failures), sum(_take_all(self._dropped))
        if failures:
            text = "%d records of an unclosed producer were not acknowledged; the first: %s"
            self.say(logging.ERROR, text, len(failures) + dropped, self.error_of(*failures[0]))


def _take_all(problems: deque[Any]) -> list[Any]:
    """Return and remove everything in a deque that other threads append to."""
    taken = []
    with contextlib.suppress(IndexError):
        while True:
            taken.append(problems.popleft())
    return taken
