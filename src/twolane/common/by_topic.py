"""``send_batch(TopicColumn(...))``: records of one call to several topics, each topic's rows a call of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np
from confluent_kafka import KafkaError

from twolane.client.handle import MAX_TOPIC_BYTES
from twolane.common.arguments import named_column
from twolane.common.batch_metadata import metadata_of
from twolane.common.headers import has_value_per_record
from twolane.encoding.columns.bytes import bytes_source
from twolane.encoding.columns.table import Table
from twolane.encoding.time.times import Timestamps
from twolane.errors import (
    BatchError,
    DeliveryError,
    FatalProducerError,
    SerializationError,
    attach_result,
    from_metadata,
)
from twolane.results import BatchMetadata, RefusedRows, TimestampType, Verdict
from twolane.serializers.bad_rows import BadRows, readable, select_rows, skips_bad_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from twolane.batch import EncodedBatch
    from twolane.common.arguments import BatchArguments, ProduceCall
    from twolane.errors import TwolaneError

# Rows whose topics are told apart at a time.
BLOCK = 65_536
BEHIND = "not sent: a record before it was not written"
Bind = Callable[[str, Any, "BatchArguments"], "ProduceCall"]


class TopicColumn:
    """The topic of each record, in place of one for all: what ``topic`` of ``send_batch()`` and others may be.

    Parameters
    ----------
    values : str or sequence of str
        The name of a column of the values; for ``send_batch()`` also the topics themselves, one for each record.

    Examples
    --------
    >>> producer.send_batch(TopicColumn("topic"), outbox, serializer=Json())      # doctest: +SKIP
    """

    __slots__ = ("values",)

    def __init__(self, values: Any) -> None:
        self.values = values

    def __repr__(self) -> str:
        return f"TopicColumn({self.values!r})" if isinstance(self.values, str) else "TopicColumn(...)"


class Part(NamedTuple):
    """The rows of one topic.

    Attributes
    ----------
    rows : ndarray of int64
        Their numbers in the whole call, rising.
    call : ProduceCall
    """

    rows: NDArray[np.int64]
    call: ProduceCall


@dataclass(frozen=True, slots=True)
class Parts:
    """A call by its topics, in the order in which these come first.

    Attributes
    ----------
    n : int
        Rows of the whole call.
    parts : list of Part
    refused : RefusedRows
        Rows without a topic, with ``on_bad_row="skip"``.
    opaque : object
    """

    n: int
    parts: list[Part]
    refused: RefusedRows
    opaque: Any

    def refused_of(self, parts: list[RefusedRows]) -> RefusedRows:
        """Return the refused rows of all, from those of the first topics."""
        rows = [part.rows for part in self.parts[: len(parts)]]
        return TopicsRefused([*parts, self.refused], [*rows, np.arange(self.n, dtype=np.int64)])

    def merged(self, metadata: Sequence[BatchMetadata]) -> TopicsMetadata:
        """Return what became of all rows, from what became of the first parts; the others were not sent."""
        known = [*metadata, *(_not_sent(part.call) for part in self.parts[len(metadata) :])]
        return merge(self.n, [part.rows for part in self.parts], known, self.refused, self.opaque)


def bind_by_topic(column: TopicColumn, values: Any, given: BatchArguments, bind: Bind) -> Parts:
    """Check every row of a call, and return it by topic.

    Raises
    ------
    SerializationError, TimestampError, DeliveryError
        As `bind` raises them, with the row's number in the whole call.
    """
    values = readable(values)
    n = len(values)
    table = values if isinstance(values, Table) else None
    topics = readable(named_column(column.values, table, values, "topic"))
    if len(topics) != n:
        raise SerializationError(f"expected {n} entries, one per record, got {len(topics)}", field="topic")
    bad = BadRows(n)
    by_name = _rows_by_name(topics, bad, skip=skips_bad_rows(given.on_bad_row))
    # Read once, whatever they are: each part takes its rows of them.
    given = given._replace(**{name: _readable(getattr(given, name), name, n) for name in _BY_RECORD})
    parts = []
    for topic, rows in by_name.items():
        chosen = given._replace(**{name: _rows_of(getattr(given, name), rows) for name in _BY_RECORD})
        try:
            parts.append(Part(rows, bind(topic, select_rows(values, rows), chosen)))
        except (SerializationError, DeliveryError) as error:
            by_row(error, rows)
            raise
    return Parts(n, parts, bad.refused(None, given.opaque), given.opaque)


def by_row(error: BaseException, rows: NDArray[np.int64]) -> None:
    """Set an error's index to the row's number in the whole call."""
    index = getattr(error, "index", None)
    if isinstance(index, int) and index < len(rows):
        error.index = int(rows[index])  # type: ignore[attr-defined]


def send_in_turn(parts: Parts, send: Callable[[ProduceCall], BatchMetadata]) -> TopicsMetadata:
    """Send the parts one after another, until one fails.

    Raises
    ------
    BatchError
        Its metadata are those of all rows.
    """
    done: list[BatchMetadata] = []
    for part in parts.parts:
        try:
            done.append(send(part.call))
        except BatchError as error:
            merged = parts.merged([*done, error.metadata])
            fatal = str(error.detail).removeprefix("fatal: ") if isinstance(error, FatalProducerError) else None
            raise from_metadata(merged, fatal) from None
        except BaseException as error:
            partly = getattr(error, "twolane_result", None)
            merged = parts.merged([*done, partly] if isinstance(partly, BatchMetadata) else done)
            by_row(error, part.rows)
            attach_result(error, merged, f"the batch being sent when this came: {merged!r}")
            raise
    return parts.merged(done)


# ---- which rows are whose --------------------------------------------------------------------------------------------

_BY_RECORD = ("keys", "headers", "partitions", "timestamps")


def _rows_by_name(topics: Any, bad: BadRows, *, skip: bool) -> dict[str, NDArray[np.int64]]:
    """Return the rows of each topic; those without one are bad, which `skip` allows."""
    if skip:
        bad.search(topics, _names)
    good = bad.good()
    names: dict[bytes, int] = {}
    codes = np.empty(len(good), dtype=np.int64)
    for start in range(0, len(good), BLOCK):
        rows = good[start : start + BLOCK]
        try:
            batch = _names(select_rows(topics, rows))
        except SerializationError as error:
            by_row(error, rows)
            raise
        found, inverse = np.unique(_fixed_width(batch.data, np.diff(batch.offsets)), return_inverse=True)
        numbers = np.array([names.setdefault(name, len(names)) for name in found.tolist()], dtype=np.int64)
        codes[start : start + BLOCK] = numbers[inverse]
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=len(names)))
    by_name = {name.decode(): good[order[ends[code - 1] if code else 0 : ends[code]]] for name, code in names.items()}
    return dict(sorted(by_name.items(), key=lambda item: int(item[1][0])))


def _names(topics: Any) -> EncodedBatch:
    """Return topics as byte strings that may be names: numpy takes a name with a NUL behind it for the name."""
    batch = bytes_source(topics, len(topics), field="topic", scalars=False).slice(0, len(topics))
    sizes = np.diff(batch.offsets)
    wrong = (sizes == 0) | (sizes > MAX_TOPIC_BYTES)
    wrong[np.searchsorted(batch.offsets, np.flatnonzero(batch.data == 0), side="right") - 1] = True
    if wrong.any():
        index = int(np.argmax(wrong))
        reason = f"a topic is named by a string of 1 to {MAX_TOPIC_BYTES} bytes without NUL"
        raise SerializationError(reason, index=index, field="topic", value=batch[index])
    return batch


def _fixed_width(data: NDArray[np.uint8], sizes: NDArray[np.int64]) -> NDArray[np.bytes_]:
    """Return byte strings, which lie one behind another, as an array of numpy's."""
    width = max(1, int(sizes.max(initial=0)))
    wide = np.zeros((len(sizes), width), dtype=np.uint8)
    wide[np.arange(width) < sizes[:, None]] = data
    return wide.view(f"S{width}")[:, 0]


def _readable(argument: Any, name: str, n: int) -> Any:
    """Return an argument of which rows can be taken."""
    if isinstance(argument, Timestamps):
        return replace(argument, values=_readable(argument.values, name, n))
    if name == "headers" and argument is not None and not isinstance(argument, str):
        if isinstance(argument, Mapping):
            argument = list(argument.items())
        argument = list(argument)
        if all(isinstance(one, str) for one in argument):
            return argument
        if all(isinstance(one, tuple) and len(one) == 2 and isinstance(one[0], str) for one in argument):
            return _Pairs((key, _readable(value, f"headers[{key!r}]", n)) for key, value in argument)
    elif argument is None or (not has_value_per_record(argument) and not hasattr(argument, "__arrow_c_stream__")):
        return list(argument) if isinstance(argument, Iterator) else argument
    elif isinstance(argument, str):
        return argument
    column = readable(argument)
    if len(column) != n:
        raise SerializationError(f"expected {n} entries, one per record, got {len(column)}", field=name)
    return _Rows(column)


class _Pairs(list[tuple[str, Any]]):
    """Headers by name."""


class _Rows:
    """An argument with an entry for each row."""

    def __init__(self, entries: Any) -> None:
        self.entries = entries


def _rows_of(argument: Any, rows: NDArray[np.int64]) -> Any:
    if isinstance(argument, Timestamps):
        return replace(argument, values=_rows_of(argument.values, rows))
    if isinstance(argument, _Pairs):
        return [(name, _rows_of(value, rows)) for name, value in argument]
    return select_rows(argument.entries, rows) if isinstance(argument, _Rows) else argument


# ---- what became of them ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class TopicsMetadata(BatchMetadata):
    """What became of every record of a call to several topics.

    Attributes
    ----------
    topic : str
        The names of all, with commas between.
    partitions, offsets, written, failures, refused, opaque, latency, timestamp_type, log_append_times
        As of BatchMetadata, by the rows of the whole call; each failure names its topic.
    by_topic : mapping of str to BatchMetadata
        Of each topic's records, by themselves.
    rows : mapping of str to ndarray of int64
        Their numbers in the call.
    """

    by_topic: Mapping[str, BatchMetadata] = field(default_factory=dict)
    rows: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)


class _Merged:
    """Some of several sequences of errors, by row.

    Parameters
    ----------
    sequences : list
        Each has `indices`, by which `rows` gives the rows of the whole call.
    """

    def __init__(self, sequences: list[Any], rows: list[NDArray[np.int64]]) -> None:
        self._sequences = sequences
        self.places = sorted(
            (int(numbers[index]), which, place)
            for which, (sequence, numbers) in enumerate(zip(sequences, rows, strict=True))
            if len(sequence)
            for place, index in enumerate(sequence.indices)
        )

    def make(self, place: tuple[int, int, int]) -> Any:
        """Return one error."""
        row, which, index = place
        error = self._sequences[which][index]
        error.index = row
        return error


class TopicsFailures(Sequence[DeliveryError]):
    """The failures of all topics, by row; the attributes are those of one topic's."""

    def __init__(self, parts: list[Any], rows: list[NDArray[np.int64]]) -> None:
        self._merged = _Merged(parts, rows)
        self._parts, self._rows = parts, rows

    @property
    def indices(self) -> list[int]:
        """Rows of the records, rising."""
        return [row for row, _, _ in self._merged.places]

    @property
    def cause(self) -> DeliveryError:
        """The first failure that is no consequence of another one."""
        which = next(which for which, failures in enumerate(self._parts) if len(failures))
        cause: DeliveryError = self._parts[which].cause
        by_row(cause, self._rows[which])
        return cause

    def verdicts(self) -> list[tuple[int, Verdict]]:
        """Return ``(index, verdict)`` of every failure without making an exception of each."""
        each = [failures.verdicts() if len(failures) else [] for failures in self._parts]
        return [(row, each[which][place][1]) for row, which, place in self._merged.places]

    def __len__(self) -> int:
        return len(self._merged.places)

    @overload
    def __getitem__(self, index: int) -> DeliveryError: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[DeliveryError]: ...
    def __getitem__(self, index: int | slice) -> DeliveryError | Sequence[DeliveryError]:
        places = self._merged.places[index]
        if isinstance(index, slice):
            return [self._merged.make(place) for place in places]  # type: ignore[arg-type]
        return self._merged.make(places)  # type: ignore[arg-type, no-any-return]

    def __repr__(self) -> str:
        return f"<{len(self)} failures>"


class TopicsRefused(RefusedRows):
    """The rows of all topics that were left out."""

    def __init__(self, parts: list[RefusedRows], rows: list[NDArray[np.int64]]) -> None:
        merged = _Merged(parts, rows)
        super().__init__(np.array([row for row, _, _ in merged.places], dtype=np.int64), merged.places)  # type: ignore[arg-type]
        self._merged = merged

    def _make(self, place: int) -> TwolaneError:
        return self._merged.make(self._merged.places[place])  # type: ignore[no-any-return]


def merge(
    n: int,
    rows: list[NDArray[np.int64]],
    parts: list[BatchMetadata],
    refused: RefusedRows,
    opaque: Any,
) -> TopicsMetadata:
    """Return the metadata of all rows of a call from those of its topics."""
    partitions, offsets = np.full(n, -1, dtype=np.int32), np.full(n, -1, dtype=np.int64)
    times: NDArray[np.int64] | None = None
    for numbers, part in zip(rows, parts, strict=True):
        # Of a call that was broken off the first records only.
        partitions[numbers[: len(part)]], offsets[numbers[: len(part)]] = part.partitions, part.offsets
        if part.log_append_times is not None:
            times = np.full(n, -1, dtype=np.int64) if times is None else times
            times[numbers[: len(part)]] = part.log_append_times
    kinds = {part.timestamp_type for part in parts} - {TimestampType.NOT_AVAILABLE}
    failures = [part.failures for part in parts]
    everything = np.arange(n, dtype=np.int64)
    return TopicsMetadata(
        topic=", ".join(part.topic for part in parts),
        partitions=partitions,
        offsets=offsets,
        written=sum(part.written for part in parts),
        failures=TopicsFailures(failures, rows) if any(map(len, failures)) else (),
        latency=max((part.latency for part in parts), default=0.0),
        timestamp_type=max(kinds, default=TimestampType.NOT_AVAILABLE),
        log_append_times=times,
        refused=TopicsRefused([*(part.refused for part in parts), refused], [*rows, everything]),
        opaque=opaque,
        by_topic={part.topic: part for part in parts},
        rows={part.topic: numbers for part, numbers in zip(parts, rows, strict=True)},
    )


class _Nothing:
    """In place of the CallResult of a call of which nothing was sent."""

    timestamp_type = TimestampType.NOT_AVAILABLE

    def __init__(self, n: int) -> None:
        self.offsets = np.full(n, -1, dtype=np.int64)


def _not_sent(call: ProduceCall) -> BatchMetadata:
    """Return the metadata of a call that came behind one that failed."""
    nothing: Any = _Nothing(call.n)
    return metadata_of(
        call.topic.name,
        nothing,
        np.full(call.n, -1, dtype=np.int32),
        written=0,
        reports=[],
        behind=list(range(call.n)),
        reason=BEHIND,
        code=KafkaError._PURGE_QUEUE,
        latency=0.0,
        skipped=call.skipped,
        opaque=call.opaque,
    )
