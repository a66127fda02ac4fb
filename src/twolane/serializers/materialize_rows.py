"""Rows as the source of a call: all are encoded to check them, in memory that does not grow with their number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from twolane.batch import EncodedBatch
from twolane.encoding.columns.bytes import BatchSource
from twolane.encoding.columns.table import Column, Table
from twolane.errors import SerializationError
from twolane.serializers.protocol import Source, rows_of

# What is kept of a call's records: bytes, and rows.
KEPT, KEPT_ROWS = 24 * 2**20, 2**19
# What is encoded at a time of the others: bytes, and rows.
PIECE, PIECE_ROWS = 4 * 2**20, 8_192

# Encodes rows in their order until so many bytes are reached (None: all of them), and the first in any case.
# The index in its SerializationError is that of the row among those it was given.
Encode = Callable[[Any, int | None], EncodedBatch]


def bind_rows(rows: Any, encode: Encode) -> Source:
    """Check all rows by encoding them, and give their source.

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

    A call is refused for any bad row before its first record goes, so these are encoded at once too, and dropped.

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
        """Give records `start` to `stop`: those that are kept share their memory, others are encoded again.

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
