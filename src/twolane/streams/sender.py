"""``send_stream()``, which both lanes and their fronts for asyncio have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Iterable

    from twolane.common.by_topic import TopicColumn
    from twolane.errors import TwolaneError
    from twolane.serializers import Serializer
    from twolane.serializers.bad_rows import OnBadRow
    from twolane.streams.control import StreamControl
    from twolane.streams.run import OnFailure
    from twolane.streams.summary import StreamSummary

# Rows of a chunk.
CHUNK = 65_536


class StreamSender:
    """``send_stream()`` over a blocking ``send_batch()``."""

    send_batch: Any

    def send_stream(
        self,
        topic: str | TopicColumn,
        source: Any,
        *,
        chunk: int = CHUNK,
        rate: float | None = None,
        progress: Callable[[StreamSummary], Any] | None = None,
        control: StreamControl | None = None,
        stop_on: Iterable[signal.Signals] = (),
        on_failure: OnFailure = "raise",
        on_bad_row: OnBadRow | Callable[[TwolaneError], Any] = "raise",
        keys: Any = None,
        headers: Any = None,
        partitions: Any = None,
        timestamps: Any = None,
        timestamp_header: str | None = None,
        serializer: Serializer | None = None,
        key_serializer: Serializer | None = None,
        timeout: float | None = None,
    ) -> StreamSummary:
        """Send a source chunk by chunk, as ``send_batch()`` does each, without ever reading it whole.

        A chunk is read when the one before it was acknowledged (safe lane), or has found room in the window (throughput
        lane): a source that is faster than the brokers waits. Returns when every record has its verdict.

        Parameters
        ----------
        topic : str or TopicColumn
            A TopicColumn names the column with each record's own.
        source : object
            Anything with ``__arrow_c_stream__``, such as a pyarrow RecordBatchReader; a DuckDB relation or a polars
            LazyFrame, which run as they are read; a table or a list; an iterable of rows, or of batches of rows.
        chunk : int
            Rows at a time, at most. Rows from an iterator are sent when so many are there: give a slow source less.
        rate : float, optional
            Rows a second; no bound by default.
        progress : callable, optional
            Called with a StreamSummary after each chunk and at the end.
        control : StreamControl, optional
            To pause, resume or stop it from elsewhere.
        stop_on : signals, optional
            Stop at the first of them, such as ``[signal.SIGTERM]``; in the main thread only.
        on_failure : {"raise", "continue"}
            Whether to go on after records that were not acknowledged, which are counted.
        on_bad_row : {"raise", "skip"} or callable
            As of ``send_batch()``. A callable is called with the error of each row that is left out.
        keys, headers, partitions, timestamps
            Names of the source's columns, or one value for all rows; headers also names of columns, or a mapping.
        timestamp_header, serializer, key_serializer
            As of ``send_batch()``.
        timeout : float, optional
            Seconds for each chunk, as of ``send_batch()``.

        Returns
        -------
        StreamSummary

        Raises
        ------
        BatchError, SerializationError, DeliveryError
            What ``send_batch()`` raised of a chunk. ``.index`` is the row's number in the source, and
            ``.twolane_result`` the StreamSummary, also on whatever the source, a callback or a signal handler raises.
        """
        from twolane.streams.run import StreamOptions, run_stream  # loaded by those who have a stream

        options = StreamOptions(chunk, rate, progress, control, stop_on, on_failure, on_bad_row)
        return run_stream(
            self.send_batch,
            topic,
            source,
            options,
            keys=keys,
            headers=headers,
            partitions=partitions,
            timestamps=timestamps,
            timestamp_header=timestamp_header,
            serializer=serializer,
            key_serializer=key_serializer,
            timeout=timeout,
        )


class AsyncStreamSender:
    """``send_stream()`` over a ``send_batch()`` that is awaited."""

    send_batch: Any

    async def send_stream(
        self,
        topic: str | TopicColumn,
        source: Any,
        *,
        chunk: int = CHUNK,
        rate: float | None = None,
        progress: Callable[[StreamSummary], Any] | None = None,
        control: StreamControl | None = None,
        stop_on: Iterable[signal.Signals] = (),
        on_failure: OnFailure = "raise",
        on_bad_row: OnBadRow | Callable[[TwolaneError], Any] = "raise",
        keys: Any = None,
        headers: Any = None,
        partitions: Any = None,
        timestamps: Any = None,
        timestamp_header: str | None = None,
        serializer: Serializer | None = None,
        key_serializer: Serializer | None = None,
        timeout: float | None = None,
    ) -> StreamSummary:
        """Send a source chunk by chunk, as ``send_batch()`` does each, without ever reading it whole.

        Parameters
        ----------
        topic, source, chunk, rate, progress, control, stop_on, on_failure, on_bad_row
            As of the blocking ``send_stream()``, and so are the result and the errors. `source` may be an asynchronous
            iterable of rows, or of batches; any other is read in a thread. The callbacks are called in the loop.
        keys, headers, partitions, timestamps, timestamp_header, serializer, key_serializer, timeout
            As there.

        Raises
        ------
        asyncio.CancelledError
            ``.twolane_result`` is the StreamSummary of what had its verdict by then.
        """
        from twolane.streams.run import StreamOptions, run_stream_async  # loaded by those who have a stream

        options = StreamOptions(chunk, rate, progress, control, stop_on, on_failure, on_bad_row)
        return await run_stream_async(
            self.send_batch,
            topic,
            source,
            options,
            keys=keys,
            headers=headers,
            partitions=partitions,
            timestamps=timestamps,
            timestamp_header=timestamp_header,
            serializer=serializer,
            key_serializer=key_serializer,
            timeout=timeout,
        )
