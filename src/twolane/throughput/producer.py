"""The throughput lane: as fast as librdkafka, bounded memory, every accepted record counted once."""

from __future__ import annotations

import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from confluent_kafka import KafkaError

from twolane.client.partitioner import Partitioner
from twolane.common.arguments import BatchArguments, ProduceCall, refuse_unknown
from twolane.common.base import EXIT_TIMEOUT
from twolane.common.by_topic import Parts, TopicColumn, by_row
from twolane.common.transactional_producer import TransactionalProducer
from twolane.common.transactions import REPORT_SECONDS, Transactions
from twolane.config.policy import THROUGHPUT, UNLIMITED
from twolane.errors import REFUSED, ConfigError, DeliveryError, TwolaneError, attach_result, refused
from twolane.produce.accumulator import RecordAccumulator
from twolane.produce.buffer import ProduceBuffer
from twolane.reports.call_result import CallResult
from twolane.reports.callbacks import Callbacks
from twolane.streams.sender import StreamSender
from twolane.throughput._send import ThroughputSender
from twolane.throughput.backpressure import Backpressure
from twolane.throughput.batch_delivery import BatchDelivery
from twolane.throughput.delivery import RecordDelivery
from twolane.throughput.delivery_thread import PURGE_WAIT, DeliveryThread
from twolane.throughput.topics_delivery import TopicsDelivery

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Never, Unpack

    from twolane.config.typed import ProducerSettings
    from twolane.serializers import Serializer
    from twolane.serializers.bad_rows import OnBadRow
    from twolane.stats import Stats

# Records encoded and enqueued at a time: their bytes stay in the processor's caches.
SLICE = 8_192
# Bytes of records without a key that go to one partition before the next is taken.
STICKY_BYTES = 16_384

IN_FLIGHT = "max.in.flight.requests.per.connection"

OnFull = Literal["block", "raise"]


class ThroughputProducer(ThroughputSender, StreamSender, TransactionalProducer):
    """A pipelined producer that makes no Python object per record it need not make.

    Parameters
    ----------
    config : mapping, optional
        librdkafka's dotted names. Defaults: ``acks=all``, ``linger.ms=5``, ``enable.idempotence=false``.
        ``queue.buffering.max.messages`` (500 000) and ``queue.buffering.max.kbytes`` (1 GiB) are the window.
    on_full : {"block", "raise"} or callable
        What a call does when the window is full: wait with the GIL released until there is room (default), raise
        QueueFullError, or call the callable, with the producer, as often as needed; it may wait or raise.
    resume_at : float
        The low-water mark: how full the window still is, by records and by bytes, when a call that waits goes on.
    **keywords
        The settings with underscores for dots.

    Notes
    -----
    *Order.* With ``enable.idempotence=False`` (default) a request that is retried may land behind a later one: several
    requests are in flight. With ``enable.idempotence=True`` librdkafka keeps each partition's order, and a retry writes
    nothing twice unless a record of another partition fails for good meanwhile (docs/hazards.md, F13; a transaction is
    aborted then). Records given up after ``message.timeout.ms`` leave a gap either way; the safe lane is for those who
    mind.

    *Accounting.* ``accepted == written + not_written + unknown + in_queue``, see ``stats()``.

    *Threads.* Any number may send. One delivery thread per producer takes reports and runs callbacks.
    """

    _policy = THROUGHPUT

    def __init__(
        self,
        config: Mapping[str, Any] | None = None,
        /,
        *,
        on_full: OnFull | Callable[[ThroughputProducer], Any] = "block",
        resume_at: float = 0.5,
        **keywords: Unpack[ProducerSettings],
    ) -> None:
        if not (on_full in ("block", "raise") or callable(on_full)):
            raise ConfigError(f"on_full: expected 'block', 'raise' or a callable, got {on_full!r}")
        if not 0 <= resume_at < 1:
            raise ConfigError(f"resume_at: expected a part of the window, 0 to below 1, got {resume_at!r}")
        TransactionalProducer.__init__(self, config, keywords)
        given = self._settings.given
        # With one request in flight nothing can overtake a first batch that is refused.
        self._handle.awaits_first_acks = self._settings.flag("enable.idempotence") and given.get(IN_FLIGHT) != "1"
        # The batches that are being enqueued, each with its thread; one thread has several where a signal handler came.
        self._enqueuing: dict[BatchDelivery, int] = {}
        self._on_full = on_full
        self._buffer = ProduceBuffer(
            self._handle,
            self._reader,
            self._settings.number("queue.buffering.max.messages"),
            self._settings.number("queue.buffering.max.kbytes") * 1024,
            resume_at,
        )
        self._partitioner = Partitioner(self._settings.native["partitioner"], STICKY_BYTES)
        transactional_id = self._settings.native.get("transactional.id")
        lingers = float(self._settings.native.get("linger.ms", 0)) >= 1
        self._may_gather = lingers and not self._handle.awaits_first_acks and transactional_id is None
        self._callbacks = Callbacks(self._reader.generations)
        self._accumulator = RecordAccumulator(self._handle, self._reader)
        try:
            self._delivery_thread = DeliveryThread(
                self._handle, self._reader, self._callbacks, self._accumulator, _weakly(self._events.handle), self._say
            )
        except RuntimeError as error:
            # The process has no thread left; the caller does not get this producer, so it could not close it.
            self._handle.draining = True
            self._handle.close()
            raise TwolaneError(f"a ThroughputProducer needs a thread of its own: {error}") from error
        self._backpressure = Backpressure(
            self._buffer,
            self._accumulator,
            self._reader,
            self._delivery_thread.problems,
            on_full if isinstance(on_full, str) else _weakly(self._call_on_full),
        )
        self._transactions = Transactions(
            self._handle, self._reader, transactional_id, self._events.handle, self._timeout
        )

    def _for_librdkafka(self, native: dict[str, str]) -> dict[str, str]:
        # The buffer is full before librdkafka's own limits, which must never be reached.
        return {**native, **UNLIMITED}

    def submit(
        self,
        topic: str,
        value: Any = None,
        key: Any = None,
        *,
        headers: Any = None,
        partition: int | None = None,
        timestamp: Any = None,
        timestamp_header: str | None = None,
        serializer: Serializer | None = None,
        key_serializer: Serializer | None = None,
        timeout: float | None = None,
        opaque: Any = None,
    ) -> RecordDelivery:
        """Enqueue one record as ``send()`` does, and return a future of it.

        Parameters
        ----------
        topic, value, key, headers, partition, timestamp, timestamp_header, serializer, key_serializer, timeout
            As of ``send()``, and so are the errors.
        opaque : object, optional
            Of the caller's own: ``opaque`` of the RecordMetadata or the DeliveryError.
        """
        delivery = RecordDelivery(self._delivery_thread.problems)
        self.send(
            topic,
            value,
            key=key,
            headers=headers,
            partition=partition,
            timestamp=timestamp,
            timestamp_header=timestamp_header,
            serializer=serializer,
            key_serializer=key_serializer,
            timeout=timeout,
            on_delivery=delivery,
            opaque=opaque,
        )
        return delivery

    def send_batch(
        self,
        topic: str | TopicColumn,
        values: Any,
        *,
        keys: Any = None,
        headers: Any = None,
        partitions: Any = None,
        timestamps: Any = None,
        timestamp_header: str | None = None,
        serializer: Serializer | None = None,
        key_serializer: Serializer | None = None,
        on_bad_row: OnBadRow = "raise",
        opaque: Any = None,
        timeout: float | None = None,
        **mistaken: Never,
    ) -> BatchDelivery:
        """Enqueue many records; return when the last one is in, not when it is acknowledged.

        Parameters
        ----------
        topic : str or TopicColumn
            A TopicColumn names each record's own: the rows of each topic go one topic behind another; the result's
            metadata are TopicsMetadata.
        values : sequence or columns of n records
            A list or iterable of bytes or rows, a numpy structured array, a dict of arrays, or anything with
            ``__arrow_c_stream__``. Copied before the call returns, never changed.
        keys, partitions, timestamps : array or list of n, one for all, or the name of a column, optional
            `timestamps` may be Timestamps of these, which say what times without a zone and missing ones mean.
        headers : mapping or pairs, list of str, list of n mappings, or str, optional
            Name to a value for all records or to a column of n; names of columns, which become headers of that name;
            the headers of each record; the name of a column that holds these.
        timestamp_header : str, optional
            Name of a header that keeps each time's nanoseconds since the epoch: 8 bytes, big-endian, signed.
        serializer, key_serializer : Serializer, optional
            Of the values and of the keys; ``Bytes()`` by default. With a `key_serializer` keys may be whatever it
            takes, also rows or a table of their own.
        on_bad_row : {"raise", "skip"}
            What a row does whose value, key, header, timestamp or partition is refused, or which is too large: refuse
            the whole call, or be left out and named in ``refused`` of the metadata. What concerns the call as a whole
            is raised either way.
        opaque : object, optional
            Of the caller's own: ``opaque`` of the metadata, and of each error of a row.
        timeout : float, optional
            Seconds to wait for room in the window.
        **mistaken
            Refused: a TypeError names the argument that is meant.

        Returns
        -------
        BatchDelivery

        Raises
        ------
        SerializationError, TimestampError, DeliveryError
            Refused; nothing was enqueued. Only a DeliveryError whose ``.delivery`` is set came later: librdkafka itself
            refused a record, or is fatally broken. Records go grouped by partition, so that those accepted may stand
            before and behind ``.index``; the BatchDelivery tells of each, and of none behind its last.
        QueueFullError
            ``.index`` is the first record not enqueued, ``.delivery`` the BatchDelivery of those before it.
        RuntimeError
            A row was changed while the call was sending, see docs/serializers.md. On this, and on what a signal handler
            raises, ``.twolane_result`` is the BatchDelivery of the records that had been accepted.

        Notes
        -----
        GIL: released while columns are encoded, while records are enqueued and while waiting.
        """
        if mistaken:
            refuse_unknown(mistaken)
        started = time.monotonic()
        deadline = self._deadline(timeout)
        self._enter()
        try:
            given = BatchArguments(
                keys, headers, partitions, timestamps, timestamp_header, serializer, key_serializer, on_bad_row, opaque
            )
            if isinstance(topic, TopicColumn):
                return self._send_by_topic(self._bind_by_topic(topic, values, given, deadline), started, deadline)
            return self._send_call(self._bind(topic, values, given, deadline), started, deadline)
        finally:
            self._leave()

    def _send_call(self, call: ProduceCall, started: float, deadline: float) -> BatchDelivery:
        """Enqueue one topic's records."""
        result = CallResult(self._reader, call.n)
        places = np.empty(call.n, dtype=np.int32)
        batch = BatchDelivery(
            call.topic.name, result, places, started, self._delivery_thread.problems, call.skipped, call.opaque
        )
        result.attach()
        self._accumulator.drain()  # what this thread sent one by one goes first
        try:
            self._enqueuing[batch] = threading.get_ident()
            self._delivery_thread.add(batch)
            self._enqueue(call, batch, result, deadline)
        except BaseException as error:
            note = f"{result.expected} of {call.n} records had been accepted when this came"
            attach_result(error, batch, note)  # those accepted need not be the first ones
            if isinstance(error, DeliveryError):
                error.delivery = batch
            raise
        finally:
            result.close_for_appends()
            self._enqueuing.pop(batch, None)
        return batch

    def _send_by_topic(self, parts: Parts, started: float, deadline: float) -> TopicsDelivery:
        """Enqueue the records of several topics, one topic behind another."""
        problems = self._delivery_thread.problems
        deliveries: list[BatchDelivery] = []
        for part in parts.parts:
            try:
                deliveries.append(self._send_call(part.call, started, deadline))
            except BaseException as error:
                partly = getattr(error, "twolane_result", None)
                so_far = TopicsDelivery(parts, [*deliveries, partly] if partly is not None else deliveries, problems)
                by_row(error, part.rows)
                attach_result(error, so_far, f"{so_far.accepted} of {parts.n} records had been accepted when this came")
                if isinstance(error, DeliveryError):
                    error.delivery = so_far
                raise
        return TopicsDelivery(parts, deliveries, problems)

    def _enqueue(self, call: ProduceCall, batch: BatchDelivery, result: CallResult, deadline: float) -> None:
        rows = call.slice_rows(SLICE)
        for start in range(0, call.n, rows):
            stop = min(call.n, start + rows)
            records, partitions = call.record_slice(start, stop)
            batch._partitions[start:stop] = partitions
            at = 0
            while at < stop - start:
                at, error, blocked_partition = self._buffer.produce(call.topic, records, at, result, start)
                if error:
                    call.topic.recount = call.topic.recount or error == KafkaError._UNKNOWN_PARTITION
                    self._handle.raise_if_fatal(call.topic.name)
                    raise refused(call.topic.name, error, REFUSED, index=batch._row(start + at))
                if blocked_partition >= 0:
                    self._backpressure.wait_for_first_ack(call.topic, blocked_partition, deadline, batch)
                elif at < stop - start:
                    self._backpressure.wait_for_space(deadline, batch)

    def _call_on_full(self) -> None:
        self._on_full(self)  # type: ignore[operator]

    def partitions_for(self, topic: str, timeout: float | None = None) -> set[int]:  # noqa: D102 - as in BaseProducer
        self._enter()
        try:
            return super().partitions_for(topic, timeout)
        finally:
            self._leave()

    # ---- transactions --------------------------------------------------------------------------------------------

    def _check_may_wait(self, what: str) -> None:
        self._refuse_if_closed()
        if self._delivery_thread.problems.is_delivery_thread:
            raise RuntimeError(f"{what}() in a delivery callback would wait for itself")

    def _await_reports(self, timeout: float | None) -> None:
        overdue = time.monotonic() + self._timeout + REPORT_SECONDS
        left = self._flush(overdue if timeout is None else min(overdue, self._deadline(timeout)))
        if left and time.monotonic() >= overdue:
            self._transactions.give_up_if_lost("transaction")
        if left:
            raise TimeoutError(f"{left} records of the transaction were not reported within the timeout")

    def _forget_failures(self) -> None:
        # What was sent is void, and no news for a later flush().
        self._delivery_thread.flush(time.monotonic() + PURGE_WAIT)
        self._delivery_thread.problems.forget()

    # ---- the end -------------------------------------------------------------------------------------------------

    def flush(self, timeout: float | None = None) -> int:
        """Wait until every record accepted before the call was reported and its callback has run.

        What other threads send meanwhile is not waited for; a ``send_batch()`` that another thread is in counts whole,
        one that `on_full` or a signal handler was called from as far as it has come.

        Parameters
        ----------
        timeout : float, optional
            Seconds; ``message.timeout.ms`` and a little by default. Ctrl-C interrupts.

        Returns
        -------
        int
            Of these records those still on their way: 0 unless the time ran out.

        Raises
        ------
        DeliveryError
            Records sent without `on_delivery` failed since the last ``flush()``; ``.failures`` has them all.
        Exception
            What a callback raised since the last ``flush()``.
        """
        self._check_may_wait("flush")
        return self._flush(self._deadline(timeout) + (1.5 if timeout is None else 0.0))

    def _flush(self, deadline: float) -> int:
        mine = threading.get_ident()
        left = self._delivery_thread.flush(
            deadline, {batch for batch, its in list(self._enqueuing.items()) if its == mine}
        )
        self._delivery_thread.problems.raise_first()
        return left

    def stats(self) -> Stats:
        """Return the producer's figures of this moment; ``accepted == written + not_written + unknown + in_queue``."""
        self._accumulator.drain()  # those are counted when they go
        return super().stats()

    def purge(self, *, in_flight: bool = False) -> None:
        """Drop the records that are not in a request on its way. Each gets its report.

        They end as *not written* where no request at all has left since they were accepted, else as *unknown*: they
        may be back in the queue after a first attempt.

        It empties the whole queue: librdkafka cannot take back the records of one call, which is why a BatchDelivery
        has no ``cancel()``. A ``send_batch()`` that waits for room goes on with the rest of its records.

        Parameters
        ----------
        in_flight : bool
            Give up the requests without an answer too: their records end as *unknown*.
        """
        self._enter()
        try:
            self._accumulator.drain()
            self._handle.purge(in_flight)
        finally:
            self._leave()

    def close(self, timeout: float | None = None) -> None:
        """Drain, report, and destroy the client. Idempotent, from any thread but the delivery thread.

        Calls that are waiting end with ClosedProducerError, also those that `on_full` or a signal handler is on top of.

        Parameters
        ----------
        timeout : float, optional
            Seconds to drain. What is not acknowledged by then is purged: it gets its verdict, and its callbacks run.

        Raises
        ------
        TimeoutError
            A callback did not return within the timeout and 1.5 s; the message says where it stands. The producer is
            closed, and ends when the callback does; calling again waits for that.
        DeliveryError, Exception
            As ``flush()``: failures that were not raised yet. The producer is closed all the same.
        """
        if self._handle.is_forked:
            self._handle.draining = True
            return
        if self._delivery_thread.problems.is_delivery_thread:
            raise RuntimeError("close() in a delivery callback would wait for itself")
        deadline = self._deadline(timeout) + (1.5 if timeout is None else 0.0)
        if self._transactions.gave_up:
            deadline = time.monotonic()
        # From here on nothing gets in; calls that wait for room or for a topic end with ClosedProducerError.
        self._buffer.close()
        self._transactions.end_by = min(self._transactions.end_by, deadline)
        try:
            has_ended = self._delivery_thread.end(deadline)
        except BaseException:
            # Ctrl-C: leave, but leave verdicts behind.
            self._delivery_thread.end(time.monotonic())
            raise
        if not has_ended:
            where = self._delivery_thread.whereabouts()
            raise TimeoutError(f"{self!r}: a callback still runs ({where}); the producer ends when it does")
        self._delivery_thread.problems.raise_first()

    def _end_unclosed(self) -> None:
        # The delivery thread drains and ends the client: this may run in any thread, also in that one.
        self._buffer.close()
        self._delivery_thread.abandon(EXIT_TIMEOUT)


def _weakly(method: Callable[[], None]) -> Callable[[], None]:
    """Return a call of a method that does not keep its object alive, and does nothing once that is gone."""
    reference = weakref.WeakMethod(method)

    def call() -> None:
        living = reference()
        if living is not None:
            living()

    return call
