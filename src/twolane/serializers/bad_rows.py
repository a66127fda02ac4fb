"""``on_bad_row="skip"``: which rows of a call are bad, each with its error, and the batch of the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from twolane.batch import EncodedBatch
from twolane.encoding.avro.suspects import integers
from twolane.encoding.columns.selection import null_rows, select
from twolane.encoding.columns.table import Column, Table, as_columns
from twolane.encoding.mismatch import MemoryLimitExceeded
from twolane.errors import ConfigError, SerializationError, TimestampError, shown, without_init
from twolane.results import RefusedRows
from twolane.serializers.protocol import rows_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from twolane.errors import TwolaneError
    from twolane.results import RowError
    from twolane.serializers.protocol import Serializer, Source

OnBadRow = Literal["raise", "skip"]
# Rows that are checked at a time, to begin with.
FIRST = 8_192
# What checks a part of some values, and raises for the first bad row with its index among those.
Check = Callable[[Any], Any]
# What `avro_suspects.suspects` says of rows, of a table that it can tell.
Suspects = Callable[[Any], "tuple[NDArray[np.int32], NDArray[np.uint8]] | None"]
LOOK, IS_NULL, OUT_OF_RANGE = 1, 2, 3
# Suspects that turn out good, until all rows are looked at in another way.
SURPRISES = 32


def remade(kind: type[SerializationError], reason: str, field: str | None, value_text: str | None) -> TwolaneError:
    """Return an error of a value made anew from its words."""
    error = kind(reason, field=field)
    error.value_text = value_text
    return error


def report_of(error: SerializationError) -> RowError:
    """Return what is kept of an error: not the value, and no traceback that keeps a frame's objects alive.

    Of an error of the user's own its attributes too: what its constructor asks for is not known.
    """
    if type(error) not in (SerializationError, TimestampError):
        return without_init, (type(error), error.args, tuple(error.__dict__.items()))
    return remade, (type(error), error.reason, error.field, error.value_text)


def select_rows(values: Any, rows: NDArray[np.int64]) -> Any:
    """Return some rows of a list, tuple, array, series, Table, Column or EncodedBatch."""
    if isinstance(values, Table):
        return select(values, rows)
    if isinstance(values, Column):
        return select(values, rows)
    if isinstance(values, np.ndarray):
        return values[rows]
    if isinstance(values, EncodedBatch):
        return values.select(rows)
    for name in ("take", "gather"):  # pandas and Arrow, polars
        if hasattr(values, name):
            return getattr(values, name)(rows)
    return [values[row] for row in rows.tolist()]


def slice_rows(values: Any, start: int, stop: int) -> Any:
    """Return the rows from `start` to `stop`."""
    if isinstance(values, EncodedBatch):
        return values.slice(start, stop)
    return getattr(values, "iloc", values)[start:stop]  # pandas' own slices may go by labels


def error_of(check: Check, row: Any) -> SerializationError | None:
    """Return what the check of one row raises, or None."""
    try:
        check(row)
    except SerializationError as error:
        if error.index is None:
            raise
        return error
    return None


class BadRows:
    """The bad rows of a call, found argument by argument; the first error of a row is kept.

    Parameters
    ----------
    n : int
        Rows of the call.
    """

    def __init__(self, n: int) -> None:
        self.n = n
        self._reports: dict[int, RowError] = {}
        self._shared: dict[RowError, RowError] = {}

    def __len__(self) -> int:
        return len(self._reports)

    def add(self, row: int, report: RowError) -> None:
        """Add a bad row, unless it is there already. Equal reports are kept once."""
        if row in self._reports:
            return
        try:
            self._reports[row] = self._shared.setdefault(report, report)
        except TypeError:  # an error of the user's own with attributes that cannot be hashed
            self._reports[row] = report

    def good(self) -> NDArray[np.int64]:
        """Return the numbers of the good rows, rising."""
        flags = np.ones(self.n, dtype=np.bool_)
        flags[list(self._reports)] = False
        return np.flatnonzero(flags)

    def refused(self, topic: str | None = None, opaque: Any = None) -> RefusedRows:
        """Return what users see of the bad rows."""
        rows = sorted(self._reports)
        return RefusedRows(np.array(rows, dtype=np.int64), [self._reports[row] for row in rows], topic, opaque)

    def search(self, values: Any, check: Check, quick: Check | None = None, suspects: Suspects | None = None) -> None:
        """Find the bad rows of one argument.

        The parts that are checked grow while they are good, and behind a bad row they start with as many rows as were
        good before it: work for a bad row grows with the logarithm of that number, and for all rows with theirs.

        Parameters
        ----------
        values : list, tuple, ndarray, Table, Column or EncodedBatch
            One entry for each row of the call.
        check : callable
            Takes a part of `values`; raises SerializationError with the index of a bad row in it. What it raises
            without an index concerns the call as a whole.
        quick : callable, optional
            The same without making Python objects of values: TooMuch where that cannot be.
        suspects : callable, optional
            Gives of a Table the rows that may be bad, see `avro_suspects`: then only those are checked.
        """
        found = suspects(values) if suspects is not None and isinstance(values, Table) else None
        if found is None or not self._judge(values, check, *found):
            _Search(self, values, check, quick).run()

    def _judge(self, table: Table, check: Check, fields: NDArray[np.int32], why: NDArray[np.uint8]) -> bool:
        """Check suspects, of the bad ones of one field and kind one: the others differ in their value at most.

        False if many are good after all: then there is something that this does not know.
        """
        good = 0
        rows = np.flatnonzero(why)
        of_field: dict[tuple[int, int], SerializationError] = {}
        numbers: dict[int, int] = {}
        for field in np.unique(fields[why == OUT_OF_RANGE]):
            wide = np.flatnonzero((why == OUT_OF_RANGE) & (fields == field))
            error = error_of(check, slice_rows(table, int(wide[0]), int(wide[0]) + 1))
            if error is None or error.field is None:
                return False
            of_field[int(field), OUT_OF_RANGE] = error
            numbers.update(zip(wide.tolist(), integers(table.column(error.field), wide.tolist()), strict=True))
        for row, field, kind in zip(rows.tolist(), fields[rows].tolist(), why[rows].tolist(), strict=True):
            known = of_field.get((field, kind))
            if known is None:
                known = error_of(check, slice_rows(table, row, row + 1))
                if known is None:
                    good += 1
                    if good > SURPRISES:
                        return False
                    continue
                if kind == IS_NULL:
                    of_field[field, kind] = known
            report = report_of(known)
            if kind == OUT_OF_RANGE:
                report = remade, (*report[1][:3], shown(numbers[row]))
            self.add(row, report)
        return True


class _Search:
    def __init__(self, bad_rows: BadRows, values: Any, check: Check, quick: Check | None) -> None:
        self._found = bad_rows
        self._values = values
        self._check = check
        self._quick = quick
        # Numbers of the values' rows in the call; None: the same.
        self._rows: NDArray[np.int64] | None = None

    def run(self) -> None:
        at, size = 0, FIRST
        while at < len(self._values):
            bad = self._first_bad(at, min(len(self._values), at + size))
            if bad is None:
                at, size = at + size, 2 * size
                continue
            size = max(1, bad - at)
            at = bad + 1
            error = self._refuse(bad)
            if error is not None and self._without_nulls(bad, error):
                at = 0

    def _first_bad(self, low: int, high: int) -> int | None:
        """Return the first of these rows that is not known to be good, or None."""
        hint = self._attempt(low, high)
        if hint is None:
            return None
        while high - low > 1:
            if hint >= 0:
                high = hint + 1
                if hint == low:
                    break
                middle = hint
            else:
                middle = (low + high) // 2
            found = self._attempt(low, middle)
            if found is None:
                low, hint = middle, -1
            else:
                high, hint = middle, found
        return low

    def _attempt(self, low: int, high: int) -> int | None:
        """Check some rows. None: all are good. Else a row that is bad, or -1 where it is not known which."""
        part = slice_rows(self._values, low, high)
        try:
            (self._quick or self._check)(part)
        except MemoryLimitExceeded:
            return -1
        except SerializationError as error:
            if error.index is None:
                raise
            # One that is none of these rows, of a serializer of the user's own, says nothing.
            return low + error.index if 0 <= error.index < high - low else -1
        return None

    def _refuse(self, row: int) -> SerializationError | None:
        """Check one row alone: what it raises is its error."""
        error = error_of(self._check, slice_rows(self._values, row, row + 1))
        if error is not None:
            self._found.add(self._number(row), report_of(error))
            return error
        # Good, though not without Python objects: so are others of its kind, and looking for them is in vain.
        self._quick = None
        return None

    def _number(self, row: int) -> int:
        return row if self._rows is None else int(self._rows[row])

    def _without_nulls(self, row: int, error: SerializationError) -> bool:
        """Refuse all nulls of a column behind one that was refused, and go on with the other rows."""
        values = self._values
        if not isinstance(values, Column):
            return False
        flags = null_rows(values)
        if flags is None or not flags[row]:
            return False
        report = report_of(error)
        for null in np.flatnonzero(flags[row + 1 :]) + row + 1:
            self._found.add(self._number(int(null)), report)
        left = np.flatnonzero(~flags[row + 1 :]) + row + 1
        self._rows = left  # none of these is null: this happens once
        self._values = select(values, left)
        return True


def skips_bad_rows(on_bad_row: object) -> bool:
    """Return whether bad rows are to be left out."""
    if not isinstance(on_bad_row, str) or on_bad_row not in ("raise", "skip"):
        raise ConfigError(f"on_bad_row: expected 'raise' or 'skip', got {shown(on_bad_row)}")
    return on_bad_row == "skip"


def readable(values: Any) -> Any:
    """Return values that can be read twice and in parts: Table, Column, EncodedBatch, list or tuple.

    Raises
    ------
    SerializationError
        If they are neither rows nor columns.
    """
    if isinstance(values, (list, tuple, EncodedBatch)):
        return values
    columns = as_columns(values)
    return list(rows_of(values)) if columns is None else columns


def quick_check(serializer: Serializer, values: Any) -> Callable[[Any], Any] | None:
    """Return the check that makes no Python objects, or None: there is none, or a column is of objects."""
    check = getattr(serializer, "bind_natively", None)
    columns = [values.column(name) for name in values.names] if isinstance(values, Table) else [values]
    if check is None or any(not isinstance(one, Column) or one.objects is not None for one in columns):
        return None
    return check  # type: ignore[no-any-return]


def find_bad_rows(bad_rows: BadRows, serializer: Serializer, values: Any, *, is_second: bool = False) -> None:
    """Find the rows of `values` that a serializer refuses; a second time those that C code missed."""
    if is_second:
        bad_rows.search(values, serializer.bind)
        return
    bad_rows.search(values, serializer.bind, quick_check(serializer, values), getattr(serializer, "suspects", None))


class NativeFirst:
    """A serializer that checks a table for bad rows without making Python objects of its values.

    Where more than half of the rows are suspects, the way through Python objects is the ordinary one for this table.
    """

    def __init__(self, serializer: Any) -> None:
        self._serializer = serializer
        self.schema_headers = getattr(serializer, "schema_headers", ())

    @staticmethod
    def of(serializer: Any, values: Any) -> Any:
        """Return the serializer, wrapped where that makes a difference."""
        return NativeFirst(serializer) if isinstance(values, Table) and hasattr(serializer, "suspects") else serializer

    def warm_up(self, topic: str, field: str) -> NativeFirst:
        """Return the serializer for one topic."""
        return NativeFirst(self._serializer.warm_up(topic, field))

    def bind(self, table: Table) -> Source:
        """Validate a table and return its source; MemoryLimitExceeded where a row may be bad."""
        try:
            return self._serializer.bind_natively(table)  # type: ignore[no-any-return]
        except MemoryLimitExceeded:
            found = self._serializer.suspects(table)
            if found is not None and 2 * np.count_nonzero(found[1]) <= len(table):
                raise
        return self._serializer.bind(table)  # type: ignore[no-any-return]


def encode_good_rows(serializer: Serializer, values: Any) -> EncodedBatch:
    """Encode the good rows; where all are good, that costs no more than `encode_batch`."""
    values = readable(values)
    native = NativeFirst.of(serializer, values)
    try:
        if isinstance(native, NativeFirst):
            return native.bind(values).slice(0, len(values))
        return serializer.encode_batch(values)
    except MemoryLimitExceeded:
        pass
    except SerializationError as error:
        if error.index is None:
            raise
    bad_rows = BadRows(len(values))
    find_bad_rows(bad_rows, serializer, values)
    rows = bad_rows.good()
    try:
        batch = serializer.encode_batch(select_rows(values, rows))
    except SerializationError as error:
        if error.index is None:
            raise
        find_bad_rows(bad_rows, serializer, values, is_second=True)
        rows = bad_rows.good()
        batch = serializer.encode_batch(select_rows(values, rows))
    return batch.leaving_out(rows, bad_rows.refused())
