"""What a call does while the buffer is full (``on_full``), and while a partition's first record goes alone."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from twolane.errors import ClosedProducerError, QueueFullError

if TYPE_CHECKING:
    from collections.abc import Callable

    from twolane.client.handle import Topic
    from twolane.produce.accumulator import RecordAccumulator
    from twolane.produce.buffer import ProduceBuffer
    from twolane.reports.reader import ReportReader
    from twolane.throughput.batch_delivery import BatchDelivery
    from twolane.throughput.problems import Problems


class Backpressure:
    """Waits for space on behalf of calls, in any thread.

    Parameters
    ----------
    buffer : ProduceBuffer
    accumulator : RecordAccumulator
        Drained first: what it holds takes space.
    delivery : ReportReader
    problems : Problems
        Knows the delivery thread, which must not wait: it is the one that makes space.
    on_full : {"block", "raise"} or callable
        A callable is called until there is space; it may wait or raise.
    """

    def __init__(
        self,
        buffer: ProduceBuffer,
        accumulator: RecordAccumulator,
        delivery: ReportReader,
        problems: Problems,
        on_full: str | Callable[[], None],
    ) -> None:
        self._buffer = buffer
        self._accumulator = accumulator
        self._reader = delivery
        self._problems = problems
        self._on_full = on_full
        self._calling_on_full: set[int] = set()  # threads

    def wait_for_space(self, deadline: float, batch: BatchDelivery | None = None) -> None:
        """Do what ``on_full`` says; return when there is space."""
        index = batch._row(batch.accepted) if batch is not None else 0
        self._accumulator.drain()
        if not self._buffer.closed:
            if self._on_full == "raise" or self._problems.is_delivery_thread:
                raise QueueFullError(
                    f"the window is full ({self._buffer.records} records)", index=index, delivery=batch
                )
            if not isinstance(self._on_full, str):
                self._call_on_full(self._on_full, deadline, index, batch)
            elif not self._buffer.wait_for_space(deadline - time.monotonic()):
                raise QueueFullError("the window was full until the timeout", index=index, delivery=batch)
        if self._buffer.closed:
            raise ClosedProducerError("the producer was closed while the call waited", index=index, delivery=batch)

    def wait_for_first_ack(
        self, topic: Topic, partition: int, deadline: float, batch: BatchDelivery | None = None
    ) -> None:
        """Wait for the report of an idempotent producer's first record to a partition: until then it goes alone."""
        reported = self._buffer.wait_for_first_ack(topic, partition, deadline - time.monotonic())
        index = batch._row(batch.accepted) if batch is not None else 0
        if self._buffer.closed:
            raise ClosedProducerError("the producer was closed while the call waited", index=index, delivery=batch)
        if not reported:
            raise QueueFullError(
                f"partition {partition}: the first record, which goes alone, was not acknowledged within the timeout",
                index=index,
                delivery=batch,
            )

    def _call_on_full(
        self, on_full: Callable[[], None], deadline: float, index: int, batch: BatchDelivery | None
    ) -> None:
        thread = threading.get_ident()
        if thread in self._calling_on_full:
            raise QueueFullError("the window is full, and on_full itself sends", index=index, delivery=batch)
        self._calling_on_full.add(thread)
        try:
            while not self._buffer.available and not self._buffer.closed:
                if time.monotonic() >= deadline:
                    raise QueueFullError("the window was full until the timeout", index=index, delivery=batch)
                on_full()
                if not self._buffer.closed:
                    self._reader.poll(0.001)
        except QueueFullError as error:
            # The callable may raise it itself, and cannot know how far the call came.
            error.index, error.delivery = index, batch
            raise
        finally:
            self._calling_on_full.discard(thread)
