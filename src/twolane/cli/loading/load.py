"""One run of ``twolane load``: rows in, records out, and a state that says where to go on."""

from __future__ import annotations

import hashlib
import signal
import time
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twolane.cli.loading.bad_file import BadFile
from twolane.cli.loading.formats import row_of, rows_of, serializer_of, topics_of
from twolane.cli.loading.progress import LoadProgress
from twolane.cli.loading.sources import BadLine, Reader
from twolane.cli.loading.state import Doubt, Ends, LoadState
from twolane.cli.loading.tail import LogTail, content_of, ranges_of
from twolane.cli.output import say
from twolane.errors import BatchError, TwolaneError
from twolane.streams.chunks import Chunk, chunks_of, cut
from twolane.streams.control import StreamControl
from twolane.streams.run import Observer, StreamOptions, StreamRun, last_offsets, run_chunks
from twolane.streams.summary import StreamSummary
from twolane.testing import FakeProducer

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from twolane import BatchMetadata
    from twolane.cli.loading.formats import Columns
    from twolane.cli.loading.sources import Source
    from twolane.cli.options import Connection, Lane
    from twolane.results import RefusedRows
    from twolane.serializers.in_words import Format

# What the end of a load waits for the brokers that Ctrl-C stopped twice.
CLOSE_SECONDS = 1.0
STOPS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class LoadOptions:
    """What the command line says of a load, beside the cluster."""

    sources: list[Source]
    topic: str | None
    columns: Columns
    format: Format
    registry: str | None
    lane: Lane
    rate: float | None
    limit: int | None
    chunk: int
    skip: bool
    bad: Path | None
    state: Path | None
    resume: bool
    strings: bool
    quiet: bool

    def identity(self) -> dict[str, Any]:
        """Return what makes it this load and no other, for the state file."""
        columns, form = self.columns, self.format
        return {
            "sources": [source.identity() for source in self.sources],
            "topic": self.topic,
            "topic_column": columns.topic,
            "format": f"{form.name}:{form.file or form.column}:{form.message}",
            "schema": None if form.schema is None else hashlib.sha256(form.schema).hexdigest(),
            "registry": self.registry,
            "key": columns.key,
            "timestamp": columns.timestamp,
            "partition": columns.partition,
            "headers": list(columns.headers),
            "limit": self.limit,
            "chunk": self.chunk,
        }


class Load(Observer):
    """One run.

    Parameters
    ----------
    connection : Connection
    options : LoadOptions
    """

    def __init__(self, connection: Connection, options: LoadOptions) -> None:
        self._connection = connection
        self._options = options
        on_bad_row = "skip" if options.skip else "raise"
        self._stream = StreamOptions(
            options.chunk, options.rate, None, StreamControl(), STOPS, "raise", on_bad_row
        ).checked()
        self._reader = Reader(
            options.sources, options.chunk, self._take_bad_line if options.skip else None, strings=options.strings
        )
        self._started = time.monotonic()
        self._read = 0  # rows of the sources
        self._first = 0  # the first row that is not done
        self._bad_lines: list[BadLine] = []
        self._bad = BadFile(None)
        self._state: LoadState | None = None
        self._tail: LogTail | None = None
        self._ends: Ends = {}
        self._refused_of: dict[int, int] = {}  # by the start of a chunk
        self._counts = dict.fromkeys(("written", "not_written", "unknown", "found", "sent_again"), 0)
        self._resumed_at: int | None = None
        self._position = 0
        self._serializer: Any = None
        self._producer: Any = None
        self._stopped: str | None = None

    def run(self) -> None:
        """Load.

        Raises
        ------
        click.UsageError, TwolaneError, OSError, KafkaException, KeyboardInterrupt
            ``result()`` says what was done by then.
        """
        options = self._options
        self._reader.check()
        with ExitStack() as stack:
            if options.state is not None:
                self._state = LoadState(options.state, options.identity(), resume=options.resume)
                stack.callback(self._state.close)
                if self._state.position or self._state.done:
                    self._resumed_at = self._state.doubt.start if self._state.doubt else self._state.position
                if self._state.done:
                    self._position = self._state.position
                    return
            resumes = self._resumed_at is not None
            self._first = self._position = self._resumed_at or 0
            self._bad = BadFile(options.bad, self._state.bad_size if self._state else None, resume=resumes)
            stack.callback(self._bad.close)
            self._producer = producer = self._connection.producer(options.lane)
            stack.push(self._close)
            if self._state is not None:
                self._tail = LogTail(producer._settings.native)
                stack.callback(self._tail.close)
            if options.topic is not None:
                self._look_up({options.topic})
            doubt = self._state.doubt if self._state else None
            chunks = stack.enter_context(closing(self._chunks(doubt.stop if doubt else 0)))
            next(chunks)  # makes the serializer
            self._send_all(producer, chunks, doubt, stack)

    def _send_all(self, producer: Any, chunks: Any, doubt: Doubt | None, stack: ExitStack) -> None:
        options = self._options
        total = self._reader.total
        if options.limit is not None:
            total = options.limit if total is None else min(total, options.limit)
        progress = LoadProgress(total, quiet=options.quiet)
        stack.callback(progress.close)

        def send(topic: str | None, values: Any, **more: Any) -> Any:
            to = options.columns.topic_of(values, topic)
            values, given = options.columns.arguments(values)
            return producer.send_batch(to, values, serializer=self._serializer, **given, **more)

        if doubt is not None:
            self._resolve(doubt, chunks, send, producer)
        summary: StreamSummary | None = None
        try:
            run = StreamRun(self._stream._replace(progress=progress.show), self, self._position)
            summary = run_chunks(send, options.topic, chunks, run, on_bad_row=self._stream.on_bad_row)
        except BaseException as error:
            found = getattr(error, "twolane_result", None)
            summary = found if isinstance(found, StreamSummary) else None
            raise
        finally:
            if summary is not None:
                self._count(summary)
                self._counts["unknown"] += summary.in_flight  # of a load that was stopped at once
                self._position, self._stopped = summary.position, summary.stopped
        if self._stopped is None:
            self._end()

    def _close(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        """Close the producer; where the user stopped at once, without waiting for the brokers."""
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            with suppress(TwolaneError, TimeoutError):
                self._producer.close(CLOSE_SECONDS)
        else:
            self._producer.close()

    def _end(self) -> None:
        """Take note of what came behind the last row, and of the end."""
        if self._bad_lines:
            self.handing_over(Chunk(self._position, 0, None))
            if self._state is not None:
                self._state.settled(self._position, 0, self._refused_of.pop(self._position, 0), [])
        if self._state is not None:
            self._state.end(self._position)

    # ---- reading -------------------------------------------------------------------------------------------------

    def _batches(self) -> Iterator[Any]:
        for batch in self._reader:
            yield batch
            self._read += len(batch)

    def _chunks(self, boundary: int) -> Generator[Any, None, None]:
        """Make the serializer from the first rows, yield None, then the chunks that are not done.

        No chunk goes over `boundary`.
        """
        first, limit = self._first, self._options.limit
        chunks = chunks_of(self._batches(), self._stream.chunk)
        chunk = next(chunks, None)
        values = [] if chunk is None else chunk.values
        if chunk is not None:
            self._serializer = serializer_of(self._options.format, self._options.registry, values, self._reader)
            self._options.columns.check(values)
        yield None
        while chunk is not None:
            start, stop = max(chunk.start, first), chunk.start + chunk.n
            if limit is not None:
                stop = min(stop, limit)
            for low, high in ((start, min(stop, boundary)), (max(start, boundary), stop)):
                if low < high:
                    values = chunk.values
                    if high - low < chunk.n:
                        values = cut(values, low - chunk.start, high - chunk.start)
                    yield Chunk(low, high - low, values)
            if limit is not None and stop >= limit:
                return
            chunk = next(chunks, None)

    def _take_bad_line(self, line: BadLine) -> None:
        if self._read >= self._first:
            self._bad_lines.append(line)

    # ---- writing, as the stream's observer -----------------------------------------------------------------------

    def handing_over(self, chunk: Chunk) -> None:
        """Note the chunk in the state file, then take the bad lines before it."""
        if self._options.columns.topic is not None and chunk.n:
            self._look_up(topics_of(chunk.values, self._options.columns.topic))
        if self._state is not None:
            self._state.handing_over(chunk.start, chunk.n, self._ends, self._bad.size)
        self._write_bad_lines(chunk.start)

    def _look_up(self, topics: set[str]) -> None:
        """Make sure that topics are there, and take note of where they end before this load."""
        for topic in sorted(topics - self._ends.keys()):
            partitions = self._producer.partitions_for(topic)
            self._ends[topic] = self._tail.ends(topic, partitions) if self._tail is not None else {}
        if self._options.skip and self._options.lane == "safe":
            # Rows that the topic finds too large are left out only once its limit is known: until then they are sent.
            self._producer._topic_monitor.check.join(time.monotonic())

    def _write_bad_lines(self, start: int) -> None:
        for line in self._bad_lines:
            self._bad.add(line.place, line.reason, line.text)
        self._refused_of[start] = len(self._bad_lines)
        self._bad_lines.clear()

    def handed_over(self, chunk: Chunk, refused: Any) -> None:
        """Write the chunk's bad rows."""
        self._write_bad_rows(chunk, refused)
        self._refused_of[chunk.start] += len(refused)

    def _write_bad_rows(self, chunk: Chunk, refused: RefusedRows) -> None:
        for index, error in zip(refused.indices.tolist(), refused, strict=True):
            error.index = chunk.start + index  # type: ignore[attr-defined]
            self._bad.add(chunk.start + index, str(error), row_of(chunk.values, index))

    def settled(self, chunk: Chunk, metadata: BatchMetadata) -> None:
        """Note that a chunk is done, and where its partitions end."""
        for topic, partition, offset in last_offsets(metadata):
            ends = self._ends.setdefault(topic, {})
            ends[str(partition)] = max(ends.get(str(partition), 0), offset + 1)
        refused = self._refused_of.pop(chunk.start, 0)
        if self._state is not None and not metadata.failed and len(metadata) == chunk.n:
            # The safe lane has nothing else on its way: its ends say enough.
            at = ranges_of(metadata) if self._options.lane == "throughput" else []
            self._state.settled(chunk.start, chunk.n, refused, at)

    # ---- what a crash left in doubt ------------------------------------------------------------------------------

    def _resolve(self, doubt: Doubt, chunks: Iterator[Chunk], send: Any, producer: Any) -> None:
        """Send of the rows in doubt those that the log does not hold, in their order."""
        assert self._tail is not None
        assert self._state is not None
        in_log = self._tail.contents(doubt.ends, doubt.others)
        refused = 0
        settings = {"message.max.bytes": producer.config["message.max.bytes"]}
        partitions = {topic: len(ends) for topic, ends in doubt.ends.items()}
        with FakeProducer(settings, partitions=partitions) as fake:
            for topic in partitions:
                limit = producer._handle.open_topic(topic).max_message_bytes
                fake._handle.open_topic(topic).max_message_bytes = limit
            position = doubt.start
            while position < doubt.stop and (chunk := next(chunks, None)) is not None:
                self._write_bad_lines(chunk.start)
                topic = self._options.columns.topic_of(chunk.values, self._options.topic)
                values, given = self._options.columns.arguments(chunk.values)
                metadata = fake.send_batch(
                    topic,
                    values,
                    serializer=self._serializer,
                    on_bad_row=self._stream.on_bad_row,
                    **given,
                )
                self._write_bad_rows(chunk, metadata.refused)
                refused += len(metadata.refused) + self._refused_of.pop(chunk.start)
                missing = []
                for index, record in zip(_rows_sent(metadata), fake.records, strict=True):
                    content = content_of(record.topic, record.key, record.value, record.headers)
                    if in_log[content] > 0:
                        in_log[content] -= 1
                        self._counts["found"] += 1
                    else:
                        missing.append(index)
                fake.clear()
                if missing:
                    self._send_again(chunk, sorted(missing), send)
                position = self._position = chunk.start + chunk.n
        # Nothing of this load is on its way now: what comes is behind these.
        self._ends = {topic: self._tail.ends(topic, map(int, ends)) for topic, ends in doubt.ends.items()}
        self._state.settled(doubt.start, doubt.stop - doubt.start, refused, [])

    def _send_again(self, chunk: Chunk, missing: list[int], send: Any) -> None:
        self._counts["sent_again"] += len(missing)
        # Said now: a run that is killed has no summary.
        say(
            f"rows {chunk.start} to {chunk.start + chunk.n}: {len(missing)} were in doubt, are not in the log, go again"
        )
        try:
            result = send(self._options.topic, rows_of(chunk.values, missing))
            self._count(result if hasattr(result, "written") else result.result())
        except BatchError as error:
            self._count(error.metadata)
            error.index = chunk.start + missing[error.index or 0]
            raise

    def _count(self, what: StreamSummary | BatchMetadata) -> None:
        for name in ("written", "not_written", "unknown"):
            self._counts[name] += getattr(what, name)

    # ---- the result ----------------------------------------------------------------------------------------------

    def result(self) -> dict[str, Any]:
        """Return what was done, also where `run` raised."""
        before = self._state.refused if self._state else 0
        return {
            "topic": self._options.topic or ", ".join(self._ends),
            "position": self._position,
            **self._counts,
            "refused": before + self._bad.count,
            "resumed_at": self._resumed_at,
            "stopped": self._stopped,
            "seconds": round(time.monotonic() - self._started, 3),
        }


def _rows_sent(metadata: BatchMetadata) -> Iterator[int]:
    """Yield the rows that were not refused, in the order in which they went: by topic, where there are several."""
    bad = set(metadata.refused.indices.tolist())
    rows = getattr(metadata, "rows", None)
    for index in range(len(metadata)) if rows is None else (row for each in rows.values() for row in each.tolist()):
        if index not in bad:
            yield index
