"""Rows as the source of a call: all are encoded to check them, in memory that does not grow with their number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from twolane.batch import EncodedBatch
from twolane.encoding.byte_columns import BatchSource
from twolane.errors import SerializationError
from twolane.serializers.interface import rows_of

# What is kept of a call's records: bytes, and rows.
KEPT, KEPT_ROWS = 24 * 2**20, 2**19
# What is encoded at a time of the others: bytes, and rows.
PIECE, PIECE_ROWS = 4 * 2**20, 8_192

# Encodes rows in their order until so many bytes are reached (None: all of them), and the first in any case.
# The index in its SerializationError is that of the row among those it was given.
Encode = Callable[[Sequence[Any], int | None], EncodedBatch]


class RowSource:
    """Rows of one call. Most calls' records are kept as they were encoded; beyond that, rows are encoded once more.

    A call is refused for any bad row before its first record goes, so every row is encoded at once. What exceeds
    `KEPT` is dropped then, and encoded again when its slice is asked for.

    Parameters
    ----------
    rows : iterable
        A list or tuple is kept, not copied; anything else is read to its end.
    encode : callable
        See `Encode`.

    Raises
    ------
    SerializationError
        With the index of the first row that cannot be encoded.
    """

    def __init__(self, rows: Any, encode: Encode) -> None:
        rows = rows_of(rows)
        self._rows: Sequence[Any] = rows if isinstance(rows, (list, tuple)) else tuple(rows)
        self._encode = encode
        self._n = len(self._rows)
        self._kept = BatchSource(encode(self._rows[:KEPT_ROWS], KEPT))
        # Of the others: where a piece of them begins and ends, and the size of its largest record.
        self._pieces: list[tuple[int, int, int]] = []
        at = len(self._kept)
        while at < self._n:
            piece = self._encoded(at, at + PIECE_ROWS, PIECE)
            self._pieces.append((at, at + len(piece), int(np.diff(piece.offsets).max())))
            at += len(piece)

    def _encoded(self, start: int, stop: int, limit: int | None) -> EncodedBatch:
        rows = self._rows[start : min(stop, self._n)]
        if not rows:
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
