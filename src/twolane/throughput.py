"""The throughput lane: as fast as librdkafka, bounded memory, every accepted record counted once."""

from __future__ import annotations

import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from twolane.calls import Call, prepare, refusal
from twolane.client.enqueue import Window
from twolane.client.outcome import Outcome
from twolane.config import THROUGHPUT
from twolane.delivery import BatchDelivery
from twolane.errors import ClosedProducerError, ConfigError, QueueFullError
from twolane.failures import Failures, delivery_error
from twolane.lane import Producer
from twolane.service import Service
from twolane.single import RecordSender

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from twolane.serializers import Serializer

# Records encoded and enqueued at a time: their bytes stay in the processor's caches.
SLICE = 8_192
# The window's defaults: some batches of 10 000 for each of many partitions, in at most a gigabyte.
WINDOW_RECORDS, WINDOW_KBYTES = 500_000, 1_048_576
# Bytes of records without a key that go to one partition before the next is taken.
STICKY_BYTES = 16_384

OnFull = Literal["block", "raise"]


class ThroughputProducer(RecordSender, Producer):
    """A pipelined producer that makes no Python object per record it need not make.

    Parameters
    ----------
    config : mapping, optional
        librdkafka's dotted names. Defaults: ``acks=all``, ``linger.ms=5``, ``enable.idempotence=false``.
        ``queue.buffering.max.messages`` (500 000) and ``queue.buffering.max.kbytes`` (1 GiB) are the window.
    on_full : {"block", "raise"} or callable
        What a call does when the window is full: wait with the GIL released until it is half empty (default), raise
        QueueFullError, or call the callable, with the producer, as often as needed; it may wait or raise.
    **keywords
        The settings with underscores for dots.

    Notes
    -----
    *Order.* With ``enable.idempotence=False`` (default) a request that is retried may land behind a later one: several
    requests are in flight. With ``enable.idempotence=True`` librdkafka keeps each partition's order and writes nothing
    twice. Records given up after ``message.timeout.ms`` leave a gap either way; the safe lane is for those who mind.

    *Accounting.* ``accepted == written + not_written + unknown + in_queue``, see ``stats()``.

    *Threads.* Any number may send. One service thread per producer takes reports and runs callbacks.
    """

    _lane = THROUGHPUT

    def __init__(
        self,
        config: Mapping[str, Any] | None = None,
        /,
        *,
        on_full: OnFull | Callable[[ThroughputProducer], Any] = "block",
        **keywords: Any,
    ) -> None:
        if not (on_full in ("block", "raise") or callable(on_full)):
            raise ConfigError(f"on_full: expected 'block', 'raise' or a callable, got {on_full!r}")
        Producer.__init__(self, config, keywords)
        given = self._settings.given
        self._on_full = on_full
        window = Window(
            self._handle,
            self._delivery,
            int(given.get("queue.buffering.max.messages", WINDOW_RECORDS)),
            int(given.get("queue.buffering.max.kbytes", WINDOW_KBYTES)) * 1024,
        )
        self._room = window
        self._open_sender(self._handle, self._delivery, window, self._max_bytes, self._partitioner, STICKY_BYTES)
        self._service = Service(self._delivery, self._callbacks, _notes_of(self))
        self._closing = threading.Lock()

    def _for_librdkafka(self, native: dict[str, str]) -> dict[str, str]:
        # The window stands before librdkafka's own limits, which must never be reached.
        limits = {"queue.buffering.max.messages": "0", "queue.buffering.max.kbytes": "2147483647"}
        return {**native, **limits}

    def send_batch(
        self,
        topic: str,
        values: Any,
        *,
        keys: Any = None,
        headers: Any = None,
        partitions: Any = None,
        timestamps: Any = None,
        serializer: Serializer | None = None,
        timeout: float | None = None,
    ) -> BatchDelivery:
        """Enqueue many records; return when the last one is in, not when it is acknowledged.

        Parameters
        ----------
        topic : str
        values : sequence or columns of n records
            A list or iterable of bytes or rows, a numpy structured array, a dict of arrays, or anything with
            ``__arrow_c_stream__``. Copied before the call returns, never changed.
        keys, partitions, timestamps : array or list of n, one for all, or the name of a column, optional
        headers : mapping or pairs for all records, or a list of n of them, optional
        serializer : Serializer, optional
            ``Bytes()`` by default.
        timeout : float, optional
            Seconds to wait for room in the window.

        Returns
        -------
        BatchDelivery

        Raises
        ------
        SerializationError, TimestampError, DeliveryError
            Refused; nothing was enqueued.
        QueueFullError
            ``.index`` is the first record not enqueued, ``.delivery`` the BatchDelivery of those before it.

        Notes
        -----
        GIL: released while columns are encoded, while records are enqueued and while waiting.
        """
        started = time.monotonic()
        if self._closed:
            self._handle.ensure_open()
            raise ClosedProducerError("the producer is closed")
        deadline = self._deadline(timeout)
        call = prepare(
            lambda name: self._topic(name, deadline),
            topic,
            values,
            keys=keys,
            headers=headers,
            partitions=partitions,
            timestamps=timestamps,
            serializer=serializer,
            max_bytes=self._max_bytes,
            partitioner=self._partitioner,
            sticky_bytes=STICKY_BYTES,
        )
        outcome = Outcome(self._delivery, call.n)
        batch = BatchDelivery(topic, outcome, np.full(call.n, -1, dtype=np.int32), started)
        outcome.open()
        self._service.watch(batch)
        try:
            self._enqueue(call, batch, outcome, timeout)
        finally:
            outcome.seal()
            self._delivery.wake()
        return batch

    def _enqueue(self, call: Call, batch: BatchDelivery, outcome: Outcome, timeout: float | None) -> None:
        for start in range(0, call.n, SLICE):
            stop = min(call.n, start + SLICE)
            feed, partitions = call.feed(start, stop)
            batch._partitions[start:stop] = partitions
            at = 0
            while at < stop - start:
                at, error = self._room.push(call.topic, feed, at, outcome, start)
                batch._accepted = start + at
                if error:
                    self._raise_if_fatal(call.topic.name)
                    raise refusal(call.topic.name, error, "refused by librdkafka", index=start + at)
                if at < stop - start:
                    self._make_room(timeout, batch)

    def _make_room(self, timeout: float | None, batch: BatchDelivery | None = None) -> None:
        """Do what ``on_full`` says; return when there is room."""
        index = batch.accepted if batch is not None else 0
        if self._on_full == "raise" or self._service.is_service_thread:
            raise QueueFullError(f"the window is full ({self._room.records} records)", index=index, delivery=batch)
        deadline = self._deadline(timeout)
        if callable(self._on_full):
            while not self._room.room:
                if time.monotonic() >= deadline:
                    raise QueueFullError(f"no room within {timeout} s", index=index, delivery=batch)
                self._on_full(self)
                self._delivery.poll(0.001)
        elif not self._room.wait_for_room(deadline - time.monotonic()):
            raise QueueFullError(f"no room within {timeout} s", index=index, delivery=batch)

    def stats(self) -> dict[str, int]:
        """Return the producer's counters; ``accepted == written + not_written + unknown + in_queue``."""
        return self._delivery.count()

    def flush(self, timeout: float | None = None) -> int:
        """Wait until every record accepted so far was reported and every callback has run.

        Parameters
        ----------
        timeout : float, optional
            Seconds; ``message.timeout.ms`` and a little by default. Ctrl-C interrupts.

        Returns
        -------
        int
            Records still on their way: 0 unless the time ran out.

        Raises
        ------
        DeliveryError
            Records sent without `on_delivery` failed since the last ``flush()``; ``.failures`` has them all.
        Exception
            What a callback raised since the last ``flush()``.
        """
        if self._closed:
            self._handle.ensure_open()
        self._service.settle(self._deadline(timeout) + (1.5 if timeout is None else 0.0))
        self._raise_what_happened()
        return int(self._delivery.count()["in_queue"])

    def _raise_what_happened(self) -> None:
        errors, self._service.errors = self._service.errors, []
        failures, self._service.failures = self._service.failures, []
        dropped, self._service.failures_dropped = self._service.failures_dropped, 0
        if failures:
            total = len(failures) + dropped
            error = delivery_error("(see failures)", failures[0])
            error.detail = f"{total} records sent without on_delivery were not acknowledged; the first: {error.error.str()}"
            error.failures = Failures("(sent one by one)", failures, [])  # type: ignore[attr-defined]
            raise error
        if errors:
            raise errors[0]

    def close(self, timeout: float | None = None) -> None:
        """Drain, report, and destroy the client. Idempotent, from any thread but the service thread.

        Parameters
        ----------
        timeout : float, optional
            Seconds to drain. What is not acknowledged by then is purged: it gets its verdict, and its callbacks run.

        Raises
        ------
        As ``flush()``: what nobody has heard of yet. The producer is closed all the same.
        """
        if self._handle.is_forked:
            self._closed = True
            return
        if self._service.is_service_thread:
            raise RuntimeError("close() from a delivery callback would wait for itself")
        with self._closing:
            if self._handle.is_closed:
                return
            self._closed = True
            try:
                drained = self._service.settle(self._deadline(timeout) + (1.5 if timeout is None else 0.0))
                if not drained:
                    self._handle.purge()
                    self._service.settle(time.monotonic() + 5.0)
            finally:
                self._service.stop()
                self._handle.close()
        self._raise_what_happened()


def _notes_of(producer: ThroughputProducer) -> Callable[[], None]:
    """Return the producer's note handling without a reference that would keep it alive."""
    reference = weakref.ref(producer)

    def pass_on() -> None:
        living = reference()
        if living is not None:
            living._pass_notes_on()

    return pass_on
