"""One stream: chunk after chunk into ``send_batch()``, its verdicts counted, its pace kept."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from twolane.errors import BatchError, ConfigError, FatalProducerError, SerializationError, attach_result, shown
from twolane.results import BatchMetadata
from twolane.streams.chunks import async_chunks_of, chunks_of, column_arguments
from twolane.streams.control import StreamControl
from twolane.streams.summary import StreamSummary

if TYPE_CHECKING:
    import signal
    from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator

    from twolane.errors import DeliveryError
    from twolane.streams.chunks import Chunk

OnFailure = Literal["raise", "continue"]
# With a rate a chunk is no more than this part of a second's rows.
PARTS_OF_A_SECOND = 10


class Observer:
    """Gets each chunk and its result, for callers that need more than the summary; in the stream's own thread."""

    def handing_over(self, chunk: Chunk) -> None:
        """Take note of a chunk before it is handed to ``send_batch()``."""

    def handed_over(self, chunk: Chunk, refused: Any) -> None:
        """Take note of what was handed over, and of the RefusedRows that were not."""

    def settled(self, chunk: Chunk, metadata: BatchMetadata) -> None:
        """Take note of what became of a chunk, or of the part of it that went."""


class StreamRun:
    """The state of one stream.

    Parameters
    ----------
    options : StreamOptions
        Checked.
    observer : Observer, optional
    start : int
        The number of the first row.
    clock : callable
        Seconds, rising.
    """

    def __init__(
        self,
        options: StreamOptions,
        observer: Observer | None = None,
        start: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.control = options.control or StreamControl()
        self.stop_on = options.stop_on
        self._rate = options.rate
        self._progress = options.progress
        self._on_refused = options.on_bad_row if callable(options.on_bad_row) else None
        self._on_failure = options.on_failure
        self._observer = observer or Observer()
        self._clock = clock
        self._started = clock()
        self._paced_from = (self._started, start)
        self._rows = self._position = start
        self._counts = dict.fromkeys(("written", "not_written", "unknown", "refused"), 0)
        self._last_offsets: dict[tuple[str, int], int] = {}
        self._error: DeliveryError | None = None
        self._on_their_way: deque[tuple[Chunk, Any]] = deque()
        self._in_flight = 0
        self._reason: str | None = None

    # ---- the pace ------------------------------------------------------------------------------------------------

    def delay(self) -> float | None:
        """Return how many seconds the next chunk has to wait, at most 0 for none; None while the stream is paused."""
        if self.control.paused:
            self._paced_from = (self._clock(), self._position)  # what was not sent in the pause is not made up for
            return None
        if self._rate is None:
            return 0.0
        since, position = self._paced_from
        return since + (self._position - position) / self._rate - self._clock()

    def may_go(self) -> bool:
        """Return whether the next chunk need not wait: also where none is to come."""
        delay = self.delay()
        return self.control.stopped is not None or (delay is not None and delay <= 0)

    def is_stopped(self) -> bool:
        """Return whether nothing more is to be read."""
        self._reason = self.control.stopped
        return self._reason is not None

    # ---- the chunks ----------------------------------------------------------------------------------------------

    def begin(self, chunk: Chunk) -> None:
        """Take note of a chunk before it is handed over."""
        self._rows = chunk.start + chunk.n
        self._observer.handing_over(chunk)

    def sent(self, chunk: Chunk, result: Any) -> None:
        """Take what ``send_batch()`` returned: BatchMetadata, or a BatchDelivery, which has none yet."""
        self._position = chunk.start + chunk.n
        self._hand_over(chunk, result)
        self._settle_finished()
        self.report()

    def failed(self, chunk: Chunk, error: BaseException) -> None:
        """Take what ``send_batch()`` raised; raise it, by the stream's rows, unless the stream is to go on."""
        metadata = getattr(error, "metadata", None)
        if metadata is not None:
            self._position = chunk.start + chunk.n
            self._hand_over(chunk, metadata)
            if self._goes_on(error):
                self.report()
                return
        else:
            partly = getattr(error, "delivery", None) or getattr(error, "twolane_result", None)
            if partly is not None:
                self._hand_over(chunk, partly)
                self._position = chunk.start + int(getattr(error, "index", None) or 0)
        self._by_stream(error, chunk.start)
        raise error

    def _goes_on(self, error: Any) -> bool:
        self._error = self._error or error
        return self._on_failure == "continue" and not isinstance(error, FatalProducerError)

    def _hand_over(self, chunk: Chunk, result: Any) -> None:
        refused = result.refused
        self._observer.handed_over(chunk, refused)
        if self._on_refused is not None:
            for error in refused:
                error.index += chunk.start
                self._on_refused(error)
        kept = chunk._replace(values=None)  # so that the rows can go
        if isinstance(result, BatchMetadata):
            self._settle(kept, result)
        else:
            self._on_their_way.append((kept, result))
            self._in_flight += len(result)

    def _settle_finished(self) -> None:
        """Take the verdicts that are there, in the order of the chunks; raise the first failure."""
        while self._on_their_way and self._on_their_way[0][1].done():
            self._settle_next()

    def _settle_next(self, timeout: float | None = 0) -> None:
        chunk, delivery = self._on_their_way[0]
        failure: BatchError | None = None
        try:
            metadata = delivery.result(timeout)
        except BatchError as error:
            failure, metadata = error, error.metadata
        self._on_their_way.popleft()
        self._in_flight -= len(delivery)
        self._settle(chunk, metadata)
        if failure is not None and not self._goes_on(failure):
            self._by_stream(failure, chunk.start)
            raise failure

    def _settle(self, chunk: Chunk, metadata: BatchMetadata) -> None:
        counts = self._counts
        counts["written"] += metadata.written
        counts["refused"] += len(metadata.refused)
        if metadata.failed:
            unknown = metadata.unknown
            counts["unknown"] += unknown
            counts["not_written"] += metadata.failed - unknown
        for topic, partition, offset in last_offsets(metadata):
            self._last_offsets[topic, partition] = max(offset, self._last_offsets.get((topic, partition), -1))
        self._observer.settled(chunk, metadata)

    def _by_stream(self, error: BaseException, start: int) -> None:
        """Set the error's index to the row's number in the stream."""
        if isinstance(getattr(error, "index", None), int):
            error.index += start  # type: ignore[attr-defined]

    # ---- the end -------------------------------------------------------------------------------------------------

    def wait_for_verdicts(self) -> None:
        """Wait for what is on its way; every record has its ``message.timeout.ms``."""
        problem: BaseException | None = None
        while self._on_their_way:
            try:
                self._settle_next(None)
            except BatchError as error:
                problem = problem or error
        if problem is not None:
            raise problem

    def fail(self, error: BaseException) -> None:
        """Attach the summary to what ends the stream, once what is on its way has its verdict."""
        if isinstance(error, Exception):
            with contextlib.suppress(BatchError, RuntimeError):
                self.wait_for_verdicts()
        summary = self.summary()
        attach_result(error, summary, f"the stream when this came: {summary!r}")

    def summary(self) -> StreamSummary:
        """Return how far the stream has come."""
        return StreamSummary(
            rows=self._rows,
            position=self._position,
            **self._counts,
            in_flight=self._in_flight,
            last_offsets=dict(self._last_offsets),
            seconds=self._clock() - self._started,
            stopped=self._reason,
            error=self._error if self._on_failure == "continue" else None,
        )

    def report(self) -> None:
        """Call `progress`."""
        if self._progress is not None:
            self._progress(self.summary())


def last_offsets(metadata: BatchMetadata) -> Iterator[tuple[str, int, int]]:
    """Yield topic, partition and the highest offset of each partition that was written to."""
    for part in getattr(metadata, "by_topic", {"": metadata}).values():
        written = part.offsets >= 0
        partitions, offsets = part.partitions[written], part.offsets[written]
        if offsets.size:
            last = np.full(int(partitions.max()) + 1, -1, dtype=np.int64)
            last[partitions] = offsets  # rising in each partition: the last one stays
            for partition in np.flatnonzero(last >= 0):
                yield part.topic, int(partition), int(last[partition])


class StreamOptions(NamedTuple):
    """The arguments of ``send_stream()`` that are not ``send_batch()``'s, in the order of its signature."""

    chunk: int
    rate: float | None
    progress: Callable[[StreamSummary], Any] | None
    control: StreamControl | None
    stop_on: Iterable[signal.Signals]
    on_failure: OnFailure
    on_bad_row: Any

    def checked(self) -> StreamOptions:
        """Return the options with a control, and with chunks no larger than what a rate wants of them.

        Raises
        ------
        ConfigError
            For what can be seen before anything is read.
        """
        chunk, rate = self.chunk, self.rate
        if isinstance(chunk, bool) or not isinstance(chunk, int) or chunk < 1:
            raise ConfigError(f"chunk: expected a number of rows, got {shown(chunk)}", key="chunk")
        if rate is not None:
            if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not rate > 0:
                raise ConfigError(f"rate: expected rows a second, got {shown(rate)}", key="rate")
            chunk = min(chunk, max(1, int(rate / PARTS_OF_A_SECOND)))
        if self.on_failure not in ("raise", "continue"):
            raise ConfigError(
                f"on_failure: expected 'raise' or 'continue', got {shown(self.on_failure)}", key="on_failure"
            )
        return self._replace(chunk=chunk, control=self.control or StreamControl())

    def batch_arguments(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of each chunk's ``send_batch()``."""
        column_arguments({name: arguments.get(name) for name in ("keys", "headers", "partitions", "timestamps")})
        return {**arguments, "on_bad_row": "skip" if callable(self.on_bad_row) else self.on_bad_row}


def run_stream(
    send: Callable[..., Any], topic: Any, source: Any, options: StreamOptions, **arguments: Any
) -> StreamSummary:
    """Send a source through a producer's ``send_batch()``; see ``send_stream()``."""
    options, arguments = options.checked(), options.batch_arguments(arguments)
    return run_chunks(send, topic, chunks_of(source, options.chunk), StreamRun(options), **arguments)


def run_chunks(
    send: Callable[..., Any], topic: Any, chunks: Generator[Chunk, None, None], run: StreamRun, **arguments: Any
) -> StreamSummary:
    """Send chunks, which are closed at the end."""
    control = run.control
    with control.on_signals(run.stop_on), contextlib.closing(chunks):
        try:
            while not run.is_stopped():
                if not run.may_go():
                    control._waiters.wait(run.may_go, run.delay())
                    continue
                chunk = next(chunks, None)
                if chunk is None:
                    break
                run.begin(chunk)
                try:
                    result = send(topic, chunk.values, **arguments)
                except BaseException as error:  # noqa: BLE001 - raised there, unless the stream is to go on
                    run.failed(chunk, error)
                else:
                    run.sent(chunk, result)
            run.wait_for_verdicts()
        except BaseException as error:
            run.fail(error)
            raise
    run.report()
    return run.summary()


async def run_stream_async(
    send: Callable[..., Any], topic: Any, source: Any, options: StreamOptions, **arguments: Any
) -> StreamSummary:
    """Do the same with a ``send_batch()`` that is awaited. A source that is not asynchronous is read in a thread."""
    options, arguments = options.checked(), options.batch_arguments(arguments)
    run = StreamRun(options)
    if hasattr(source, "__aiter__"):
        chunks = async_chunks_of(source, options.chunk)
    else:
        chunks = _in_thread(chunks_of(source, options.chunk))
    with run.control.on_signals(options.stop_on):
        try:
            while not run.is_stopped():
                if not run.may_go():
                    await _wait_for_change(run)
                    continue
                chunk = await anext(chunks, None)
                if chunk is None:
                    break
                run.begin(chunk)
                try:
                    result = await send(topic, chunk.values, **arguments)
                except BaseException as error:  # noqa: BLE001 - raised there, unless the stream is to go on
                    run.failed(chunk, error)
                else:
                    run.sent(chunk, result)
            await _wait_for_verdicts(run)
        except BaseException as error:
            if isinstance(error, Exception):
                with contextlib.suppress(BatchError, SerializationError):
                    await _wait_for_verdicts(run)
            run.fail(error)
            raise
        finally:
            await chunks.aclose()
    run.report()
    return run.summary()


async def _wait_for_verdicts(run: StreamRun) -> None:
    for _, delivery in list(run._on_their_way):
        with contextlib.suppress(BatchError):  # raised below
            await delivery
    run.wait_for_verdicts()


async def _in_thread(chunks: Generator[Chunk, None, None]) -> AsyncGenerator[Chunk, None]:
    try:
        while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
            yield chunk
    finally:
        chunks.close()


async def _wait_for_change(run: StreamRun) -> None:
    """Wait until the stream may go, or may have to look again."""
    loop = asyncio.get_running_loop()
    changed = asyncio.Event()
    token = object()
    run.control._listeners[token] = lambda: loop.call_soon_threadsafe(changed.set)
    try:
        if not run.may_go():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), run.delay())
    finally:
        run.control._listeners.pop(token, None)
