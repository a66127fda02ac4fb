"""Columns as the source of a call: those of Python objects are encoded to check them, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from twolane.batch import EncodedBatch
from twolane.encoding.columns.bytes import joined
from twolane.encoding.columns.table import Column, Table
from twolane.encoding.mismatch import MemoryLimitExceeded
from twolane.errors import SerializationError
from twolane.serializers.materialize_rows import KEPT, PIECE, PIECE_ROWS, RowSource
from twolane.serializers.protocol import Source, rows_within

# Binds columns; raises MemoryLimitExceeded if those of Python objects take more bytes than that (None: no limit).
Bind = Callable[[Any, int | None], Source]


def bind_columns(columns: Table | Column, bind: Bind) -> Source:
    """Check all values, and give their source.

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
