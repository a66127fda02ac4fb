"""The arguments of one call: checked, encoded where that is the way to check them, and cut into slices of records.

Everything that can be refused is refused here, before the first record of the call is handed to librdkafka.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np
from confluent_kafka import KafkaError

from twolane._units import MS_NS
from twolane.batch import EncodedBatch
from twolane.common.headers import AddedHeaders, BatchHeaders, Header, batch_headers, shared_headers
from twolane.common.topics import RECOUNT_BEYOND
from twolane.encoding.columns.bytes import BatchSource, bytes_source, int32_column
from twolane.encoding.columns.table import Column, Table, as_columns
from twolane.encoding.named_rows import all_named
from twolane.encoding.time.times import Timestamps
from twolane.encoding.time.timestamps import nanosecond_column, pack_nanoseconds, pack_timestamps, timestamp_column
from twolane.errors import ConfigError, SerializationError, oversize, refused, shown
from twolane.produce.record_slice import MOST_AROUND_A_RECORD, RecordSlice, headers_size
from twolane.serializers import Bytes
from twolane.serializers.bad_rows import skips_bad_rows
from twolane.serializers.base import BaseSerializer
from twolane.serializers.functions import FunctionSerializer
from twolane.serializers.protocol import check_serializer, for_topic, is_function, rows_of, rows_within
from twolane.serializers.raw import bind_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from twolane.client.handle import Topic
    from twolane.client.partitioner import Partitioner
    from twolane.common.skipping import Skipped
    from twolane.common.topics import Topics
    from twolane.serializers import Serializer, Source
    from twolane.serializers.bad_rows import OnBadRow

SIZE_CHECK_SLICE = 65_536
# What a slice's values, or its keys, may take while they are encoded.
SLICE_BYTES = 32 * 2**20
BYTES = Bytes()
# Seconds, the longest timeout: Python's locks take some 290 years, but not infinity.
FOREVER = 1e9


def now_ms() -> int:
    """Return the time as a record's CreateTime."""
    return time.time_ns() // MS_NS


class BatchArguments(NamedTuple):
    """The arguments of ``send_batch()`` behind the values, in the order of its signature."""

    keys: Any
    headers: Any
    partitions: Any
    timestamps: Any
    timestamp_header: str | None
    serializer: Serializer | None
    key_serializer: Serializer | None
    on_bad_row: OnBadRow
    opaque: Any
    added_headers: tuple[Header, ...] = ()  # see AddedHeaders


class Limits(NamedTuple):
    """What a producer sets for all its calls: ``message.max.bytes`` and the partitioner."""

    max_bytes: int
    partitioner: Partitioner


@dataclass(slots=True)
class ProduceCall:
    """One call's records, every one of them checked.

    Attributes
    ----------
    topic : Topic
    n : int
    values, keys : Source
        Bytes by slice; keys may be None.
    timestamps : int or ndarray of int64
    partitions : int, ndarray of int32, or None
        None: chosen slice by slice.
    headers : BatchHeaders
    skipped : Skipped or None
        Which of the caller's rows the records are, and the errors of the others.
    opaque : object
        The caller's, passed through.
    """

    topic: Topic
    n: int
    values: Source
    keys: Source | None
    timestamps: int | NDArray[np.int64]
    partitions: int | NDArray[np.int32] | None
    headers: BatchHeaders
    limits: Limits
    skipped: Skipped | None = None
    opaque: Any = None

    def slice_rows(self, most: int) -> int:
        """Return how many records to encode at a time: `most`, or as many of the largest as `SLICE_BYTES` hold."""
        rows = most
        for source in (self.values, self.keys):
            if source is not None and not isinstance(source, BatchSource):  # what is encoded takes nothing more
                rows = min(rows, rows_within(SLICE_BYTES, most, source))
        return rows

    def record_slice(self, start: int, stop: int) -> tuple[RecordSlice, int | NDArray[np.int32]]:
        """Return the records `start` to `stop`, and their partitions. Valid until the next call of it."""
        values = self.values.slice(start, stop)
        keys = self.keys.slice(start, stop) if self.keys is not None else None
        if self.partitions is None:
            partitions = self.limits.partitioner.assign(self.topic, values, keys, stop - start)
        else:
            partitions = self.partitions if isinstance(self.partitions, int) else self.partitions[start:stop]
        timestamps = self.timestamps if isinstance(self.timestamps, int) else self.timestamps[start:stop]
        headers, columns = self.headers.slice(start, stop)
        return RecordSlice(values, keys, timestamps, partitions, headers, stop - start, columns), partitions

    def unplaced_slice(self, start: int, stop: int) -> RecordSlice:
        """Return the records `start` to `stop` without times and partitions, for their sizes."""
        keys = self.keys.slice(start, stop) if self.keys is not None else None
        headers, columns = self.headers.slice(start, stop)
        return RecordSlice(self.values.slice(start, stop), keys, 1, 0, headers, stop - start, columns)


def seconds_of(timeout: Any) -> float:
    """Return a timeout's seconds, at least 0, and no more than a wait may be given."""
    try:
        seconds = float(timeout)
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if math.isnan(seconds):
        raise ConfigError(f"timeout: expected a number of seconds, got {shown(timeout)}", key="timeout")
    return min(max(0.0, seconds), FOREVER)


def refuse_unknown(mistaken: Mapping[str, object]) -> NoReturn:
    """Refuse keywords that ``send_batch()`` does not have, such as `key`, naming the one that is meant."""
    known = ("values", *BatchArguments._fields[:-1], "timeout")
    name = next(iter(mistaken))
    close = get_close_matches(name, known, 1)
    hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(known)}"
    raise TypeError(f"send_batch() got an unexpected keyword argument {name!r}; {hint}")


def refuse_callback(callback: object) -> NoReturn:
    """Refuse what code written for confluent-kafka gives a call that waits: `callback`, or else ``on_delivery``."""
    name = "on_delivery" if callback is None else "callback"
    raise TypeError(
        f"{name}: send() returns the record's metadata once it is written, and raises a DeliveryError otherwise; "
        "ThroughputProducer.send() has on_delivery, and twolane.confluent.Producer calls back as confluent-kafka does"
    )


def topic_name(topic: Any) -> str:
    """Return a topic's name as a plain ``str``, also where it is of a class derived from it."""
    if type(topic) is str:
        return topic
    if isinstance(topic, str):
        return str.__str__(topic)
    raise SerializationError("a topic is named by a string", field="topic", value=topic)


def _times(timestamps: Any, table: Any, rows: Any) -> Any:
    """Return the times as they are to be packed, with the column that is named in place of its name."""
    if isinstance(timestamps, Timestamps):
        return replace(timestamps, values=_times(timestamps.values, table, rows))
    return column_values(named_column(timestamps, table, rows, "timestamps"), "timestamps")


def is_array(values: Any) -> bool:
    """Return whether serializers read the values as an array: numpy, pandas and polars, or the Arrow C interface."""
    return any(hasattr(values, name) for name in ("dtype", "__arrow_c_stream__", "__arrow_c_array__"))


def named_column(value: Any, table: Any, rows: Any, what: str) -> Any:
    """Return the column that a ``str`` names, from the table or from rows of mappings; anything else as it is."""
    if not isinstance(value, str):
        if isinstance(value, Set):
            raise SerializationError(f"{what}: a set has no order in which its entries belong to records", field=what)
        return value
    value = str.__str__(value)
    if table is not None:
        return table.column(value)
    try:
        return [row[value] if isinstance(row, dict) else getattr(row, value) for row in all_named(rows, value, what)]
    except (KeyError, AttributeError, TypeError):
        named = all_named(rows, value, what)
        lacking = [value not in row if isinstance(row, dict) else not hasattr(row, value) for row in named]
        # Where other rows have it, it is the row that is at fault.
        index = None if all(lacking) else lacking.index(True)
        reason = f"{what}={value!r} names no column of these values"
        raise SerializationError(reason, index=index, field=value) from None


def column_values(values: Any, what: str) -> Any:
    """Return a column's values; of a mapping the keys would be taken for them."""
    if isinstance(values, Mapping):
        raise SerializationError("expected a column, got a mapping", field=what, value=values)
    if isinstance(values, memoryview):
        try:
            return values.tolist()
        except (ValueError, NotImplementedError) as error:  # released, or of a format that Python does not read
            raise SerializationError(f"expected a column: {error}", field=what, value=values) from None
    return values


# Of a record that is refused before it is handed over: its number, librdkafka's code, why, and the partition asked for.
Fault = tuple[int, int, str, int | None]


def missing_partition(partition: int, count: int) -> str:
    """Return why a partition is refused; -1 is confluent-kafka's way of asking for none."""
    hint = "; to let the key choose, leave it out" if partition == -1 else ""
    return f"partition {partition} does not exist, the topic has {count}{hint}"


def out_of_range(topic: Topic, partitions: Any) -> Iterator[Fault]:
    """Yield the records whose partition does not exist; one partition for all is the first one's."""
    count = topic.partition_count
    places = np.array([partitions]) if isinstance(partitions, int) else partitions
    for index in np.flatnonzero((places < 0) | (places >= count)):
        value = int(places[index])
        yield (
            int(index),
            KafkaError._UNKNOWN_PARTITION,
            missing_partition(value, count),
            value,
        )


def too_large(call: ProduceCall) -> Iterator[Fault]:
    """Yield the records that are larger than ``message.max.bytes``, or than the topic takes."""
    headers, topic, max_bytes = call.headers, call.topic, call.limits.max_bytes
    limit = min(max_bytes, topic.max_message_bytes - MOST_AROUND_A_RECORD)
    names = tuple((name, None) for name, _ in headers.columns)
    of_headers = headers.each or ([headers.shared + names] if headers.shared or names else [])
    # The ordinary case, without looking at records: nothing comes near the limit. Of 1000 a sixteenth holds a
    # record's overhead.
    if (
        limit >= 1_000
        and max(map(headers_size, of_headers), default=0) <= limit // 16
        and call.values.first_over(limit // 2) is None
        and (call.keys is None or call.keys.first_over(limit // 4) is None)
        and (not names or all(source.first_over(limit // 8 // len(names)) is None for _, source in headers.columns))
    ):
        return
    rows = call.slice_rows(SIZE_CHECK_SLICE)
    for start in range(0, call.n, rows):
        stop = min(call.n, start + rows)
        records = call.unplaced_slice(start, stop)
        sizes = records.sizes()
        for i in np.flatnonzero(sizes > limit).tolist():
            if sizes[i] > max_bytes:
                yield start + i, KafkaError.MSG_SIZE_TOO_LARGE, oversize(int(sizes[i]), max_bytes), None
            elif (size := records.message_set_size(i)) > topic.max_message_bytes:
                yield start + i, KafkaError.MSG_SIZE_TOO_LARGE, oversize_for(topic, size), None


def oversize_for(topic: Topic, size: int) -> str:
    """Return why a record larger than its topic takes is refused, and have the topic's limit asked for again."""
    topic.is_size_refused = True
    if time.monotonic() - topic.counted_at > RECOUNT_BEYOND:
        topic.recount = True  # with the count of partitions settings are asked for, see TopicMonitor.counted()
    return (
        f"{size} bytes as a request of its own, the topic's max.message.bytes is {topic.max_message_bytes} "
        "(the producer's message.max.bytes allows it)"
    )


def refuse_first(topic: Topic, faults: Iterator[Fault]) -> None:
    """Raise the error of the first record that cannot go."""
    for index, code, detail, partition in faults:
        raise refused(topic.name, code, detail, index=index, partition=partition)


def warmed(serializer: Serializer, topic: str, field: str, deadline: float) -> Serializer:
    """Return the serializer for this topic: one with a registry asks it once per topic, before anything is encoded."""
    known: Any = serializer
    if getattr(type(serializer), "warm_up", None) is BaseSerializer.warm_up:
        return serializer if known.registry is None else known.warm_up(topic, field, deadline=deadline)
    if is_function(serializer):
        return FunctionSerializer(known, topic, field)
    return for_topic(serializer, topic, field, deadline)


class WithHeaders(NamedTuple):
    """A record's value or key, and the headers that its serializer gives the record."""

    encoded: bytes | None
    headers: tuple[Header, ...]


def schema_headers(serializer: Any) -> tuple[Header, ...]:
    """Return the headers that a serializer gives each record."""
    return tuple((name.encode(), value) for name, value in getattr(serializer, "schema_headers", ()))


def encode_one(
    serializer: Serializer | None, record: Any, topic: str, field: str, deadline: float
) -> bytes | WithHeaders | None:
    """Return the bytes of one record's value or key; None stays None, whatever the serializer.

    Parameters
    ----------
    serializer : Serializer or None
        None takes bytes, str, bytearray, memoryview.
    field : {"value", "key"}
    deadline : float
        When the call ends, in seconds of `time.monotonic()`.
    """
    if record is None or (serializer is None and type(record) is bytes):
        return record
    try:
        known = warmed(serializer or BYTES, topic, field, deadline)
        if getattr(known, "schema_headers", ()):
            return WithHeaders(known.encode(record), schema_headers(known))
        return known.encode(record)
    except (AttributeError, TypeError):
        # Both: text has an encode() too.
        check_serializer(serializer, "serializer" if field == "value" else "key_serializer", "encode", "bind")
        raise
    except SerializationError as error:
        if field == "key":
            prefix_field(error, field)
        raise


def stamp(timestamp: Any, name: str) -> tuple[int, tuple[Header, ...]]:
    """Return a record's CreateTime (now, for None) and the header that keeps its nanoseconds."""
    nanoseconds = time.time_ns() if timestamp is None else pack_nanoseconds(timestamp)
    return nanoseconds // 1_000_000, shared_headers([(name, nanoseconds.to_bytes(8, "big", signed=True))])


def _stamp_all(timestamps: Any, n: int, headers: BatchHeaders, name: str) -> tuple[Any, BatchHeaders]:
    """Return the records' CreateTimes, and their headers with one more that keeps nanoseconds."""
    if timestamps is None:
        time_ms, ((encoded, value),) = stamp(None, name)
        return time_ms, headers.with_column(encoded, BatchSource(EncodedBatch.constant(value), n), n)
    ((encoded, _),) = shared_headers([(name, None)])
    nanoseconds = nanosecond_column(timestamps, n, field="timestamps")
    times = pack_timestamps(nanoseconds.view("M8[ns]"))
    return times, headers.with_column(encoded, bytes_source(nanoseconds.astype(">i8").view("V8")), n)


def prefix_field(error: SerializationError, name: str) -> None:
    """Put the argument before the path of a field: a key's field must not be taken for one of the value."""
    error.field = f"{name}.{error.field}" if error.field else name


def _bind_keys(keys: Any, table: Any, rows: Any, n: int, serializer: Serializer | None) -> Source:
    """Return the keys' source: bytes as they are, or what the serializer makes of a column, of rows, of one value."""
    entries = named_column(keys, table, rows, "keys")
    if serializer is None or isinstance(serializer, Bytes):
        return bind_bytes(entries, n, field="keys")
    try:
        if not hasattr(entries, "__iter__") and not is_array(entries) and not isinstance(entries, (Column, Table)):
            return BatchSource(EncodedBatch.constant(serializer.encode(entries)), n)
        bound = serializer.bind(entries)
    except SerializationError as error:
        prefix_field(error, "keys")
        raise
    if len(bound) != n:
        raise SerializationError(f"expected {n} entries, one per record, got {len(bound)}", field="keys")
    return bound


def bind_call(
    topic: str, values: Any, given: BatchArguments, topics: Topics, deadline: float, limits: Limits
) -> ProduceCall:
    """Do as `prepare`, but for what depends on the topic: that a partition exists, that a record is not too large."""
    keys, headers, partitions, timestamps, timestamp_header, serializer, key_serializer, _, opaque, added = given
    try:
        columns = as_columns(values)
        table = columns if isinstance(columns, Table) else None
        if table is None and not isinstance(values, (list, tuple, Column)) and not is_array(values):
            values = list(rows_of(values))
        warm = serializer or BYTES
        # A column that was read from a stream cannot be read again; serializers of the user's own know tables only.
        read = table if columns is None or not isinstance(warm, BaseSerializer) else columns
        bound = warm.bind(values if read is None or getattr(read, "objects", None) is not None else read)
        n = len(bound)
        bound_keys = None
        if keys is not None:
            bound_keys = _bind_keys(keys, table, values, n, key_serializer)
        ready_headers = batch_headers(headers, n, lambda name: named_column(name, table, values, "headers"))
        added = schema_headers(serializer) + (() if keys is None else schema_headers(key_serializer)) + added
        if added:
            ready_headers = ready_headers.with_shared(added)
        times: Any = _times(timestamps, table, values)
        if timestamp_header is not None:
            times, ready_headers = _stamp_all(times, n, ready_headers, timestamp_header)
        else:
            times = now_ms() if times is None else timestamp_column(times, n, field="timestamps")
        places: Any = None
        if isinstance(partitions, (int, np.integer)) and not isinstance(partitions, (bool, np.timedelta64)):
            places = int(partitions)
        elif partitions is not None:
            # Whatever does not exist in the topic is refused below, with the topic's own count.
            listed = column_values(named_column(partitions, table, values, "partitions"), "partitions")
            places = int32_column(listed, n, low=-(2**31))
    except SerializationError as error:
        error.topic = topic
        raise
    known = topics.known(topic, deadline)
    if places is not None:
        topics.look_for(known, places if isinstance(places, int) else int(places.max(initial=0)), deadline)
    return ProduceCall(known, n, bound, bound_keys, times, places, ready_headers, limits, None, opaque)


def prepare(
    topic: str, values: Any, given: BatchArguments, topics: Topics, deadline: float, limits: Limits
) -> ProduceCall:
    """Check every argument of a call, none of whose rows may be bad; the serializers are those for this topic."""
    call = bind_call(topic, values, given, topics, deadline, limits)
    if call.partitions is not None:
        refuse_first(call.topic, out_of_range(call.topic, call.partitions))
    refuse_first(call.topic, too_large(call))
    return call


def bind_arguments(
    topic: Any, values: Any, given: BatchArguments, topics: Topics, deadline: float, limits: Limits
) -> ProduceCall:
    """Check every argument of ``send_batch()``.

    Parameters
    ----------
    topics : Topics
        Counts the topic's partitions, by `deadline`.
    deadline : float
        ``time.monotonic()``; a registry is waited for as long.

    Raises
    ------
    SerializationError, TimestampError
        With topic, record index, field and value.
    DeliveryError
        Unknown topic or partition, record too large; the verdict is NOT_WRITTEN.
    """
    topic = topic if type(topic) is str else topic_name(topic)
    serializer, key_serializer = given.serializer, given.key_serializer
    try:
        if serializer is not None:
            check_serializer(serializer, "serializer", "bind")
            serializer = warmed(serializer, topic, "value", deadline)
        if key_serializer is not None and given.keys is not None:
            check_serializer(key_serializer, "key_serializer", "bind")
            key_serializer = warmed(key_serializer, topic, "key", deadline)
    except SerializationError as error:
        error.topic = topic
        raise
    given = given._replace(serializer=serializer, key_serializer=key_serializer)
    if isinstance(given.headers, AddedHeaders):
        given = given._replace(headers=given.headers.given, added_headers=given.headers.added)
    if skips_bad_rows(given.on_bad_row):
        from twolane.common.skipping import prepare_good  # which stands on this module

        return prepare_good(topic, values, given, topics, deadline, limits)
    return prepare(topic, values, given, topics, deadline, limits)
