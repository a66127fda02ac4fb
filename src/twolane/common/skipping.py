"""``send_batch(on_bad_row="skip")``: which rows of a call are bad, and the call of the others.

Nothing is done twice where no row is bad: the whole call is checked first, as with "raise". Only what that refuses for
one of its rows is looked at argument by argument; the good rows are then a call like any other; `Skipped` says which
rows of the caller's they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from confluent_kafka import KafkaError

from twolane.batch import EncodedBatch
from twolane.common.arguments import (
    BYTES,
    bind_call,
    column_values,
    is_array,
    named_column,
    out_of_range,
    prefix_field,
    prepare,
    refuse_first,
    too_large,
)
from twolane.common.headers import has_value_per_record, shared_headers
from twolane.encoding.columns.bytes import int32_column
from twolane.encoding.columns.table import Column, Table
from twolane.encoding.mismatch import MemoryLimitExceeded
from twolane.encoding.time.times import Timestamps
from twolane.encoding.time.timestamps import nanosecond_column, timestamp_column
from twolane.errors import DeliveryError, SerializationError, TimestampError, refused
from twolane.serializers import Bytes
from twolane.serializers.bad_rows import (
    BadRows,
    Check,
    NativeFirst,
    find_bad_rows,
    quick_check,
    readable,
    report_of,
    select_rows,
)
from twolane.serializers.base import BaseSerializer
from twolane.serializers.raw import bind_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from twolane.common.arguments import BatchArguments, Fault, Limits, ProduceCall
    from twolane.common.topics import Topics
    from twolane.errors import TwolaneError
    from twolane.results import RefusedRows

# Refusals before anything is sent that concern one record.
_OF_A_RECORD = (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError._UNKNOWN_PARTITION)
_BY_RECORD = ("keys", "headers", "partitions", "timestamps")
_SCALARS = (str, bytes, bytearray, memoryview, int, float, np.generic, type(None))


@dataclass(frozen=True, slots=True)
class Skipped:
    """What a call leaves out.

    Attributes
    ----------
    n : int
        Rows that the caller gave.
    rows : ndarray of int64
        The caller's number of each record that goes, rising.
    refused : RefusedRows
    """

    n: int
    rows: NDArray[np.int64]
    refused: RefusedRows

    def row(self, record: int) -> int:
        """Return the caller's number of a record; behind the last record the number of rows."""
        return int(self.rows[record]) if record < len(self.rows) else self.n

    def upto(self, n: int) -> Skipped:
        """Return the same of the first `n` records alone."""
        if n >= len(self.rows):
            return self
        return Skipped(self.row(n), self.rows[:n], self.refused.before(self.row(n)))

    def spread(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return an array by record as one by row, -1 where a row was refused."""
        wide = np.full(self.n, -1, dtype=values.dtype)
        wide[self.rows] = values
        return wide


def prepare_good(
    topic: str, values: Any, given: BatchArguments, topics: Topics, deadline: float, limits: Limits
) -> ProduceCall:
    """Do as `prepare`, but leave bad rows out.

    Raises
    ------
    SerializationError, TimestampError, DeliveryError
        For what concerns the call as a whole.
    """
    try:
        values = _readable_by(given.serializer, values)
    except SerializationError as error:
        error.topic = topic
        raise
    given = given._replace(
        keys=_kept(given.keys), timestamps=_kept(given.timestamps), partitions=_kept(given.partitions)
    )
    first = given._replace(serializer=NativeFirst.of(given.serializer, values))
    try:
        return prepare(topic, values, first, topics, deadline, limits)
    except MemoryLimitExceeded:
        pass
    except SerializationError as error:
        if error.index is None:
            raise
    except DeliveryError as error:
        if error.error.code() not in _OF_A_RECORD:
            raise
    try:
        return _GoodRows(topic, values, given).call(topics, deadline, limits)
    except SerializationError as error:
        error.topic = topic
        raise


def _kept(argument: Any) -> Any:
    """Return what can be read twice: iterators and Arrow streams can be read once."""
    if isinstance(argument, Timestamps):
        return replace(argument, values=_kept(argument.values))
    if hasattr(argument, "__arrow_c_stream__") and (isinstance(argument, Iterator) or not hasattr(argument, "__len__")):
        return readable(argument)
    return list(argument) if isinstance(argument, Iterator) else argument


def _readable_by(serializer: Any, values: Any) -> Any:
    """Return values that can be read in parts; a serializer of the user's own gets the array it was given."""
    columns = readable(values)
    if not isinstance(columns, Column) or serializer is None or isinstance(serializer, BaseSerializer):
        return columns
    return values if is_array(values) and hasattr(values, "__len__") else list(values)


class _Pairs(list[tuple[str, Any]]):
    """Headers by name: a value for all, or a column that `_GoodRows` has read."""


class _GoodRows:
    """The arguments of a call with a bad row, and which of its rows are good."""

    def __init__(self, topic: str, values: Any, given: BatchArguments) -> None:
        self._values = values
        self._topic = topic
        self._table = values if isinstance(values, Table) else None
        self._given = given
        self.bad_rows = BadRows(len(values))
        self._serializer = given.serializer or BYTES
        find_bad_rows(self.bad_rows, self._serializer, values)
        for name, look in (
            ("keys", self._check_keys),
            ("headers", self._check_headers),
            ("timestamps", self._check_times),
            ("partitions", self._check_partitions),
        ):
            if (argument := getattr(given, name)) is not None:
                try:
                    self._given = self._given._replace(**{name: look(self._named(argument, name))})
                except SerializationError as error:
                    error.field = error.field or name
                    raise

    def call(self, topics: Topics, deadline: float, limits: Limits) -> ProduceCall:
        """Return the call of the good rows."""
        is_second = False
        while True:
            rows = self.bad_rows.good()
            given = self._given._replace(**{name: _rows_of(getattr(self._given, name), rows) for name in _BY_RECORD})
            try:
                call = bind_call(self._topic, select_rows(self._values, rows), given, topics, deadline, limits)
            except SerializationError as error:
                if error.index is None or is_second:
                    raise
                is_second = True
                find_bad_rows(self.bad_rows, self._serializer, self._values, is_second=True)
                continue
            faults: list[Fault] = []
            if isinstance(call.partitions, int):
                refuse_first(call.topic, out_of_range(call.topic, call.partitions))
            elif call.partitions is not None:
                faults += out_of_range(call.topic, call.partitions)
            faults += too_large(call)
            if not faults:
                call.skipped = Skipped(self.bad_rows.n, rows, self.bad_rows.refused(self._topic, given.opaque))
                return call
            for index, code, detail, partition in faults:
                self.bad_rows.add(int(rows[index]), (_not_sent, (self._topic, code, detail, partition)))

    def _named(self, argument: Any, what: str) -> Any:
        """Return what an argument stands for: a column by its name; of rows, those without it are bad."""
        if not isinstance(argument, str) or self._table is not None:
            return named_column(argument, self._table, None, what)
        entries, missing, problem = [], [], None
        for index, row in enumerate(self._values):
            try:
                entries += named_column(argument, None, (row,), what)
            except SerializationError as error:
                entries.append(None)
                missing.append(index)
                problem = error
        if problem is not None:
            if len(missing) == len(entries):
                raise problem
            report = report_of(problem)
            for index in missing:
                self.bad_rows.add(index, report)
        return entries

    def _look(self, values: Any, check: Check, field: str, quick: Any = None) -> None:
        self._check_length(values, field)
        self.bad_rows.search(values, check, quick)

    def _check_length(self, values: Any, field: str) -> None:
        if len(values) != self.bad_rows.n:
            raise SerializationError(
                f"expected {self.bad_rows.n} entries, one per record, got {len(values)}", field=field
            )

    def _check_keys(self, keys: Any) -> Any:
        serializer = self._given.key_serializer
        if serializer is None or isinstance(serializer, Bytes):
            if isinstance(keys, _SCALARS) or (isinstance(keys, EncodedBatch) and keys.is_constant):
                return keys
            keys = readable(keys)
            self._look(keys, lambda part: bind_bytes(part, len(part), field="keys"), "keys")
            return keys
        if not hasattr(keys, "__iter__") and not is_array(keys) and not isinstance(keys, Column):
            return keys
        keys = _readable_by(serializer, keys)
        quick = quick_check(serializer, keys)
        self._look(keys, _naming(serializer.bind), "keys", None if quick is None else _naming(quick))
        return keys

    def _check_headers(self, headers: Any) -> Any:
        if isinstance(headers, Column):
            headers = [] if headers.objects is None else list(headers.objects)
        if isinstance(headers, Mapping):
            headers = list(headers.items())
        if not isinstance(headers, Sequence) or isinstance(headers, _SCALARS):
            raise SerializationError("headers are a mapping or a sequence", field="headers", value=headers)
        if all(isinstance(name, str) for name in headers):
            headers = [(name, self._named(name, "headers")) for name in headers]
        if not all(isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str) for pair in headers):
            self._check_length(headers, "headers")
            for index, entry in enumerate(headers):
                try:
                    shared_headers(entry, index)
                except SerializationError as error:
                    self.bad_rows.add(index, report_of(error))
            return list(headers)
        pairs = _Pairs()
        for name, given in headers:
            value, field = given, f"headers[{name!r}]"
            if has_value_per_record(given):
                value = readable(given)
                self._look(value, partial(_bind_header, field=field), field)
            pairs.append((name, value))
        return pairs

    def _check_times(self, times: Any) -> Any:
        if isinstance(times, Timestamps):
            return replace(times, values=self._check_times_as(self._named(times.values, "timestamps"), times))
        return self._check_times_as(times, Timestamps(None))

    def _check_times_as(self, times: Any, meant: Timestamps) -> Any:
        times = column_values(times, "timestamps")
        if isinstance(times, _SCALARS) or not (hasattr(times, "__len__") or hasattr(times, "__iter__")):
            return times
        packed = timestamp_column if self._given.timestamp_header is None else nanosecond_column
        times = times if isinstance(times, np.ndarray) and times.ndim == 1 else readable(times)
        if isinstance(times, Table):
            raise TimestampError("expected a column of times, or of numbers, got a table", field="timestamps")
        self._look(times, lambda part: packed(replace(meant, values=part), len(part), field="timestamps"), "timestamps")
        return times

    def _check_partitions(self, partitions: Any) -> Any:
        if isinstance(partitions, _SCALARS):
            return partitions
        partitions = readable(column_values(partitions, "partitions"))
        self._look(partitions, lambda part: int32_column(part, len(part), low=-(2**31)), "partitions")
        return partitions


def _bind_header(part: Any, field: str) -> None:
    bind_bytes(part, len(part), field=field, scalars=False)


def _naming(check: Check) -> Check:
    """Return a check of keys that names the argument, as `arguments` does."""

    def named(part: Any) -> None:
        try:
            check(part)
        except SerializationError as error:
            prefix_field(error, "keys")
            raise

    return named


def _rows_of(argument: Any, rows: NDArray[np.int64]) -> Any:
    """Return some rows of an argument that `_GoodRows` has read, or what stands for all."""
    if isinstance(argument, Timestamps):
        return replace(argument, values=_rows_of(argument.values, rows))
    if isinstance(argument, _Pairs):
        return [(name, _rows_of(value, rows)) for name, value in argument]
    if isinstance(argument, EncodedBatch) and argument.is_constant:
        return argument
    if isinstance(argument, _SCALARS) or not (hasattr(argument, "__len__") or isinstance(argument, (Table, Column))):
        return argument
    return select_rows(argument, rows)


def _not_sent(topic: str, code: int, detail: str, partition: int | None) -> TwolaneError:
    return refused(topic, code, detail, partition=partition)
