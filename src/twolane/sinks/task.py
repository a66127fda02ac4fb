"""One attempt of one task: its rows into ``send_batch()``, and what became of them."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from twolane.encoding.time.times import Timestamps
from twolane.errors import SerializationError, TaskError, TransactionError, TwolaneError, Verdict
from twolane.serializers.in_words import Format
from twolane.sinks.exactly_once import task_transaction
from twolane.sinks.key_order import KeyOrder
from twolane.sinks.process import shared_producer
from twolane.sinks.reports import Ranges, TaskReport, add_ranges, ranges_of
from twolane.streams.chunks import chunks_of
from twolane.streams.run import Observer, StreamOptions, StreamRun, run_chunks
from twolane.streams.summary import StreamSummary

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from twolane.results import BatchMetadata
    from twolane.sinks.options import SinkOptions
    from twolane.sinks.reports import Task
    from twolane.streams.chunks import Chunk

# The header that names a record's task and attempt: job/number/attempt.
MARK = "twolane-task"


def write_task(options: SinkOptions, task: Task, batches: Iterable[Any]) -> TaskReport:
    """Send the rows of one attempt of a task; return when each has its verdict.

    Parameters
    ----------
    options : SinkOptions
    task : Task
    batches : iterable of pyarrow.RecordBatch or pyarrow.Table
        Read one after another, never whole.

    Raises
    ------
    TaskError
        A row could not be sent, or was not acknowledged: names the task, counts the rows by their verdicts, and has
        the first failure as its cause. Its ``report`` is what this returns otherwise.
    """
    attempt = _Attempt(options, task)
    try:
        return attempt.run(batches)
    except TwolaneError as error:
        report = attempt.report(error)
        message = f"{task}: {report.counts()}; rows behind these were not sent; first failure: {error}"
        raise TaskError(message, report=report) from error


class _Attempt(Observer):
    """What is known of an attempt so far; the observer of its stream."""

    def __init__(self, options: SinkOptions, task: Task) -> None:
        self._options = options
        self._task = task
        self._started = time.monotonic()
        self._ranges: Ranges = {}
        self._bytes = 0
        self._serializer: Any = None
        self._summary = StreamSummary()
        self._order = KeyOrder() if options.order_by_key else None

    def run(self, batches: Iterable[Any]) -> TaskReport:
        options, task = self._options, self._task
        if options.transactional_id is None:
            with shared_producer(options) as producer:
                self._send(producer, batches)
        else:
            with task_transaction(options, task) as producer:
                if producer is None:
                    if self._order is not None and options.key is not None:
                        for batch in batches:
                            self._order.add_keys(_column(batch, options.key))
                    return replace(self.report(), repeated=True)
                self._send(producer, batches)
        return self.report()

    def _send(self, producer: Any, batches: Iterable[Any]) -> None:
        options = self._options
        mark = {MARK: self._task.mark} if options.mark else {}

        def send(topic: str, rows: Any, **more: Any) -> Any:
            values, given = self._arguments(rows, mark)
            return producer.send_batch(topic, values, serializer=self._serializer, **given, **more)

        stream = StreamOptions(options.chunk, None, None, None, (), "raise", options.on_bad_row).checked()
        chunks = chunks_of(self._counted(batches), options.chunk)
        try:
            self._summary = run_chunks(
                send, options.topic, chunks, StreamRun(stream, self), on_bad_row=options.on_bad_row
            )
        except BaseException as error:
            found = getattr(error, "twolane_result", None)
            self._summary = found if isinstance(found, StreamSummary) else self._summary
            raise
        if self._order is not None:
            self._order.check()

    def _counted(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Yield the batches; the first one says what a serializer without a schema is made of."""
        for batch in batches:
            if self._serializer is None:
                self._serializer = self._serializer_for(batch)
            self._bytes += batch.nbytes
            yield batch

    def _serializer_for(self, batch: Any) -> Any:
        serializer = self._options.serializer
        if not isinstance(serializer, Format):
            return serializer
        registry = self._options.registry
        schema = self._without(batch).schema if serializer.name == "avro" else None
        return serializer.serializer(None if registry is None else registry.resolved(), schema)

    def _without(self, rows: Any) -> Any:
        dropped = [name for name in rows.schema.names if name in self._options.without]
        return rows.drop_columns(dropped) if dropped else rows

    def _arguments(self, rows: Any, mark: dict[str, str]) -> tuple[Any, dict[str, Any]]:
        """Return what ``send_batch()`` takes for some rows: the values, and the arguments by name."""
        options = self._options
        given: dict[str, Any] = {}
        if options.key is not None:
            keys = _column(rows, options.key)
            given["keys"] = _as_text(keys)
            if self._order is not None:
                self._order.add_keys(keys)
        if options.timestamp is not None:
            given["timestamps"] = Timestamps(_column(rows, options.timestamp), naive="utc")
        if options.partition is not None:
            given["partitions"] = _column(rows, options.partition)
        if options.headers or mark:
            given["headers"] = {name: _as_text(_column(rows, name)) for name in options.headers} | mark
        serializer = options.serializer
        if isinstance(serializer, Format) and serializer.column:
            return _column(rows, serializer.column), given
        return self._without(rows), given

    def settled(self, chunk: Chunk, metadata: BatchMetadata) -> None:
        """Add what a chunk wrote to each partition."""
        add_ranges(self._ranges, ranges_of(metadata))
        if self._order is not None:
            self._order.add_offsets(chunk.start, metadata)

    def report(self, error: TwolaneError | None = None) -> TaskReport:
        """Return what became of the rows; of those in a transaction that failed what the failure says of it."""
        summary, transactional = self._summary, self._options.transactional_id is not None
        counts = {name: getattr(summary, name) for name in ("written", "not_written", "unknown")}
        counts["unknown"] += summary.in_flight
        if transactional and error is not None:
            unknown = isinstance(error, TransactionError) and error.verdict is Verdict.UNKNOWN
            n = sum(counts.values())
            counts = {"written": 0, "not_written": 0 if unknown else n, "unknown": n if unknown else 0}
        return TaskReport(
            task=self._task,
            rows=summary.rows,
            **counts,
            refused=summary.refused,
            ranges=self._ranges if not transactional or error is None else {},
            seconds=time.monotonic() - self._started,
            bytes=self._bytes,
            in_transaction=transactional,
            keys=None if self._order is None else self._order.keys(),
        )


def _column(rows: Any, name: str) -> Any:
    names = rows.schema.names
    if name not in names:
        raise SerializationError(f"no column {name!r}; the columns are {', '.join(map(repr, names))}")
    return rows.column(name)


def _as_text(values: Any) -> Any:
    """Return keys or headers as they are, whole numbers as their digits."""
    import pyarrow  # type: ignore[import-untyped]

    return values.cast(pyarrow.string()) if pyarrow.types.is_integer(values.type) else values
