"""What serializers of rows and columns have in common: how many records become bytes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Any

from twolane.serializers.bad_rows import OnBadRow, encode_good_rows, skips_bad_rows
from twolane.serializers.materialize import bind_around_nulls, bind_columns, bind_rows
from twolane.serializers.protocol import Source, bindable, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from twolane.batch import EncodedBatch
    from twolane.encoding.columns.table import Column, Table


class BatchSerializer(ABC):
    """Encodes batches by two functions: one that encodes rows, and one that binds columns."""

    def encode_batch(self, values: Any, *, on_bad_row: OnBadRow = "raise") -> EncodedBatch:
        """Encode all records of `values`: rows, or columns.

        Parameters
        ----------
        values : sequence or columns
        on_bad_row : {"raise", "skip"}
            With "skip" the batch has the good rows only: its ``rows`` says which, its ``refused`` why not the others.

        Raises
        ------
        SerializationError
            With the row and the field, or the path, of the first value that is not of its type.
        """
        if skips_bad_rows(on_bad_row):
            return encode_good_rows(self, values)
        columns = bindable(values, single=self._takes_single())
        if columns is None:
            return self._encode_rows(rows_of(values), None)
        return self._bind(columns, None).slice(0, len(columns))

    def bind(self, values: Any) -> Source:
        """Validate all records and give their source.

        Rows, and columns of Python objects, are encoded to check them. Other columns are encoded slice by slice.

        Raises
        ------
        SerializationError
            As for `encode_batch`.
        """
        columns = bindable(values, single=self._takes_single())
        if columns is None:
            return bind_rows(values, self._encode_rows)
        return bind_columns(columns, self._bind)

    def _bind(self, columns: Table | Column, limit: int | None) -> Source:
        return bind_around_nulls(columns, partial(self._bind_columns, limit=limit))

    def bind_natively(self, columns: Table | Column) -> Source:
        """Do as `bind`, but make no Python object of a value: TooMuch where that cannot be, as of many bad values."""
        return self._bind(columns, 0)

    @abstractmethod
    def encode(self, record: Any) -> bytes | None:
        """Encode one record; None stays None."""

    @abstractmethod
    def _takes_single(self) -> bool:
        """Whether one column alone makes records."""

    @abstractmethod
    def _encode_rows(self, rows: Iterable[Any], limit: int | None) -> EncodedBatch:
        """Encode rows in their order until `limit` bytes are reached, and the first in any case."""

    @abstractmethod
    def _bind_columns(self, columns: Table | Column, limit: int | None) -> Source:
        """Validate columns; MemoryLimitExceeded if those of Python objects take more than `limit` bytes."""
