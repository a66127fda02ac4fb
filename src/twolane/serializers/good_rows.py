"""``on_bad_row="skip"`` of serializers: the good rows are encoded, the bad ones are named."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from twolane.batch import EncodedBatch
from twolane.encoding.columns.table import Column, Table, as_columns
from twolane.encoding.mismatch import MemoryLimitExceeded
from twolane.errors import ConfigError, SerializationError, shown
from twolane.serializers.bad_rows import Sieve, chosen
from twolane.serializers.protocol import rows_of

if TYPE_CHECKING:
    from twolane.serializers.protocol import Serializer, Source

OnBadRow = Literal["raise", "skip"]


def skips(on_bad_row: object) -> bool:
    """Tell whether bad rows are to be left out."""
    if not isinstance(on_bad_row, str) or on_bad_row not in ("raise", "skip"):
        raise ConfigError(f"on_bad_row: expected 'raise' or 'skip', got {shown(on_bad_row)}")
    return on_bad_row == "skip"


def readable(values: Any) -> Any:
    """Give values that can be read twice and in parts: Table, Column, EncodedBatch, list or tuple.

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
    """Give the check of columns that makes no Python object of a value, if there is one and no column is of objects."""
    check = getattr(serializer, "bind_natively", None)
    columns = [values.column(name) for name in values.names] if isinstance(values, Table) else [values]
    if check is None or any(not isinstance(one, Column) or one.objects is not None for one in columns):
        return None
    return check  # type: ignore[no-any-return]


def sift(sieve: Sieve, serializer: Serializer, values: Any, *, is_second: bool = False) -> None:
    """Find the rows of `values` that a serializer refuses; a second time those that C code overlooked."""
    if is_second:
        sieve.look(values, serializer.bind)
        return
    sieve.look(values, serializer.bind, quick_check(serializer, values), getattr(serializer, "suspects", None))


class Native:
    """A serializer that finds out whether a table has bad rows without making Python objects of its values.

    Where more than half of the rows are suspects, the way through Python objects is the ordinary one for this table.
    """

    def __init__(self, serializer: Any) -> None:
        self._serializer = serializer

    @staticmethod
    def of(serializer: Any, values: Any) -> Any:
        """Give a serializer as one of these where that makes a difference."""
        return Native(serializer) if isinstance(values, Table) and hasattr(serializer, "suspects") else serializer

    def warm_up(self, topic: str, field: str) -> Native:
        """Give the serializer for one topic."""
        return Native(self._serializer.warm_up(topic, field))

    def bind(self, table: Table) -> Source:
        """Validate a table and give its source; MemoryLimitExceeded where a row may be bad."""
        try:
            return self._serializer.bind_natively(table)  # type: ignore[no-any-return]
        except MemoryLimitExceeded:
            found = self._serializer.suspects(table)
            if found is not None and 2 * np.count_nonzero(found[1]) <= len(table):
                raise
        return self._serializer.bind(table)  # type: ignore[no-any-return]


def encode_good(serializer: Serializer, values: Any) -> EncodedBatch:
    """Encode the rows that a serializer takes; where it takes all, that costs no more than without this."""
    values = readable(values)
    native = Native.of(serializer, values)
    try:
        if isinstance(native, Native):
            return native.bind(values).slice(0, len(values))
        return serializer.encode_batch(values)
    except MemoryLimitExceeded:
        pass
    except SerializationError as error:
        if error.index is None:
            raise
    sieve = Sieve(len(values))
    sift(sieve, serializer, values)
    rows = sieve.good()
    try:
        batch = serializer.encode_batch(chosen(values, rows))
    except SerializationError as error:
        if error.index is None:
            raise
        sift(sieve, serializer, values, is_second=True)
        rows = sieve.good()
        batch = serializer.encode_batch(chosen(values, rows))
    return batch.leaving_out(rows, sieve.refused())
