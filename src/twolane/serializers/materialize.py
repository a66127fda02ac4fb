"""The records of a call as a Source: all are checked before the first is sent, in bounded memory.

`bind_rows` takes Python objects, `bind_columns` columns, `bind_around_nulls` columns that make records by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from twolane.batch import EncodedBatch
from twolane.encoding.columns.bytes import BatchSource, joined
from twolane.encoding.columns.selection import null_rows, select
from twolane.encoding.columns.table import Column, Table
from twolane.encoding.mismatch import MemoryLimitExceeded
from twolane.errors import SerializationError
from twolane.serializers.protocol import Source, rows_of, rows_within

if TYPE_CHECKING:
    from numpy.typing import NDArray

# What is kept of a call's records: bytes, and rows.
KEPT, KEPT_ROWS = 24 * 2**20, 2**19
# What is encoded at a time of the others: bytes, and rows.
PIECE, PIECE_ROWS = 4 * 2**20, 8_192

# Encodes rows in their order until so many bytes are reached (None: all of them), and the first in any case.
# The index in its SerializationError is that of the row among those it was given.
Encode = Callable[[Any, int | None], EncodedBatch]
# Binds columns; raises MemoryLimitExceeded if those of Python objects take more bytes than that (None: no limit).
Bind = Callable[[Any, int | None], Source]


def bind_rows(rows: Any, encode: Encode) -> Source:
    """Check all rows by encoding them, and return their source.

    Parameters
    ----------
    rows : iterable
        A list or tuple is kept as long as it may be needed, not copied; anything else is read to its end.
    encode : callable
        See `Encode`.

    Raises
    ------
    SerializationError
        With the index of the first row that cannot be encoded.
    """
    rows = rows_of(rows)
    if not isinstance(rows, (list, tuple)):
        rows = tuple(rows)
    first = encode(rows if len(rows) <= KEPT_ROWS else rows[:KEPT_ROWS], KEPT)
    return BatchSource(first) if len(first) == len(rows) else RowSource(rows, encode, first)


class RowSource:
    """More rows than are kept as they were encoded: the others are encoded once more when their slice is asked for.

    A bad row refuses the call before its first record is sent, so these are encoded at once too, and dropped.

    Parameters
    ----------
    rows : list, tuple, Table or Column
    encode : callable
    first : EncodedBatch
        Of the first rows, which is kept.
    """

    def __init__(self, rows: Sequence[Any] | Table | Column, encode: Encode, first: EncodedBatch) -> None:
        self._rows, self._encode, self._n = rows, encode, len(rows)
        self._kept = BatchSource(first)
        # Of the others: where a piece of them begins and ends, and the size of its largest record.
        self._pieces: list[tuple[int, int, int]] = []
        at = len(self._kept)
        while at < self._n:
            piece = self._encoded(at, at + PIECE_ROWS, PIECE)
            self._pieces.append((at, at + len(piece), int(np.diff(piece.offsets).max())))
            at += len(piece)

    def _encoded(self, start: int, stop: int, limit: int | None) -> EncodedBatch:
        rows = self._rows[start : min(stop, self._n)]
        if not len(rows):
            raise SerializationError("rows were taken away while they were being read", index=start)
        try:
            return self._encode(rows, limit)
        except SerializationError as error:
            if error.index is not None:
                error.index += start
            raise

    def __len__(self) -> int:
        return self._n

    def first_over(self, limit: int) -> tuple[int, int] | None:
        """Find the first record whose bytes exceed `limit`: (index, size in bytes), or None."""
        found = self._kept.first_over(limit)
        if found is not None:
            return found
        for start, stop, largest in self._pieces:
            if largest > limit:
                # There was one, at least: it is not found again if its row has changed.
                index, size = BatchSource(self.slice(start, stop)).first_over(limit) or (0, largest)
                return start + index, size
        return None

    def slice(self, start: int, stop: int) -> EncodedBatch:
        """Return records `start` to `stop`: those that are kept share their memory, others are encoded again.

        Raises
        ------
        RuntimeError
            If a row was changed since it was checked, and cannot be encoded any more.
        """
        if stop <= len(self._kept):
            return self._kept.slice(start, stop)
        if start == stop:
            return self._kept.slice(0, 0)
        try:
            batch = self._encoded(start, stop, None)
        except SerializationError as error:
            raise RuntimeError(f"a row was changed while the call was sending: {error}") from error
        if len(batch) != stop - start:
            raise RuntimeError(f"rows were taken away while the call was sending: {len(batch)} of {stop - start}")
        return batch


def bind_columns(columns: Table | Column, bind: Bind) -> Source:
    """Check all values, and return their source.

    Columns that C code reads in place take nothing. Where others take too much, all are bound piece by piece: once to
    check them, and again for each slice.

    Parameters
    ----------
    columns : Table or Column
    bind : callable
        See `Bind`.

    Raises
    ------
    SerializationError
        For the first value that cannot be encoded: in the order of columns, or of pieces.
    """
    try:
        return bind(columns, KEPT)
    except MemoryLimitExceeded:
        return RowSource(columns, PieceEncoder(bind), EncodedBatch(b"", [0]))


class PieceEncoder:
    """Encode rows of columns, a piece at a time; what `RowSource` asks for.

    Parameters
    ----------
    bind : callable
        See `Bind`.
    """

    def __init__(self, bind: Bind) -> None:
        self._bind = bind
        self._rows = PIECE_ROWS

    def __call__(self, columns: Any, limit: int | None) -> EncodedBatch:
        """Encode the first rows, no more than `limit` bytes or one row; all without a limit."""
        pieces = self._pieces(columns)
        return joined(pieces, len(columns)) if limit is None else next(pieces)

    def _pieces(self, columns: Any) -> Iterator[EncodedBatch]:
        at = 0
        while at < len(columns):
            piece = columns[at : at + self._rows]
            try:
                source = self._bind(piece, PIECE if self._rows > 1 else None)
            except MemoryLimitExceeded:
                self._rows = max(1, self._rows // 4)
                continue
            except SerializationError as error:
                if error.index is not None:
                    error.index += at
                raise
            rows = rows_within(PIECE, len(piece), source)
            batch = source.slice(0, rows)
            at += rows
            if batch.nbytes < PIECE // 4:
                # A few large records must not make small pieces of all that follow.
                self._rows = min(PIECE_ROWS, 2 * self._rows)
            yield batch


def bind_around_nulls(columns: Table | Column, bind: Callable[[Table | Column], Source]) -> Source:
    """Bind columns; of a single one that has nulls, the other values.

    Raises
    ------
    SerializationError
        As `bind` does, with the index of the row among all.
    """
    nulls = null_rows(columns) if isinstance(columns, Column) else None
    if nulls is None or not nulls.any():
        return bind(columns)
    rows = np.flatnonzero(~nulls)
    try:
        return NullRecords(bind(select(columns, rows)), rows, nulls)
    except SerializationError as error:
        if error.index is not None:
            error.index = int(rows[error.index])
        raise


class NullRecords:
    """The records of some rows, and null records for all others: a Source.

    Parameters
    ----------
    source : Source
        Of the rows that are not null.
    rows : ndarray of int64
        Their numbers among all.
    nulls : ndarray of bool
        One for each of all.
    """

    def __init__(self, source: Source, rows: NDArray[np.int64], nulls: NDArray[np.bool_]) -> None:
        self._source, self._rows, self._nulls = source, rows, nulls

    def __len__(self) -> int:
        return len(self._nulls)

    def first_over(self, limit: int) -> tuple[int, int] | None:
        """Find the first record whose bytes exceed `limit`: (index, size in bytes), or None."""
        found = self._source.first_over(limit)
        return None if found is None else (int(self._rows[found[0]]), found[1])

    def slice(self, start: int, stop: int) -> EncodedBatch:
        """Encode records `start` to `stop`."""
        first, last = np.searchsorted(self._rows, (start, stop)).tolist()
        batch = self._source.slice(first, last)
        valid = ~self._nulls[start:stop]
        offsets = np.zeros(stop - start + 1, dtype=np.int64)
        offsets[1:][valid] = np.diff(batch.offsets)
        return EncodedBatch(batch.data, np.cumsum(offsets), valid)
