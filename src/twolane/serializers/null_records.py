"""Nulls of a column that makes records by itself: null records, as None is among rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from twolane.batch import EncodedBatch
from twolane.encoding.columns.selection import null_rows, select
from twolane.encoding.columns.table import Column
from twolane.errors import SerializationError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from twolane.encoding.columns.table import Table
    from twolane.serializers.protocol import Source


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
