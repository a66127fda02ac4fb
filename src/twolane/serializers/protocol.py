"""What the lanes ask of a serializer, and how serializers tell rows from columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeGuard, runtime_checkable

from twolane.batch import EncodedBatch
from twolane.encoding.columns.table import Column, Table, as_columns
from twolane.errors import SerializationError


@runtime_checkable
class Source(Protocol):
    """All records of one call, validated: after ``bind()`` only memory can fail, or a row that changes meanwhile."""

    def __len__(self) -> int:
        """Return the number of records."""
        ...

    def first_over(self, limit: int) -> tuple[int, int] | None:
        """Find the first record whose bytes exceed `limit`: (index, size in bytes), or None.

        Costs O(columns) where the columns' widths bound the size; only beyond that are records measured.
        """
        ...

    def slice(self, start: int, stop: int) -> EncodedBatch:
        """Encode records `start` to `stop`, ``0 <= start <= stop <= len(self)``.

        The batch owns what it shows as long as it lives. Drop it before the next slice, and its memory is used again.
        The GIL is released while columns are encoded.
        """
        ...


@runtime_checkable
class Serializer(Protocol):
    """Values of one kind to bytes. Immutable after construction, so that several threads may share one.

    A serializer may have ``warm_up(topic, field)`` besides: it gives the serializer to use for that topic, and the
    lanes call it before anything is bound. If it has a parameter `deadline` too, that is when the call ends, in seconds
    of `time.monotonic()`: what ``warm_up`` waits for should end by then. See `good_rows` for what else it may have.
    """

    def encode(self, record: Any) -> bytes | None:
        """Encode one record."""
        ...

    def encode_batch(self, values: Any) -> EncodedBatch:
        """Encode all records of `values`, rows or columns."""
        ...

    def bind(self, values: Any) -> Source:
        """Validate all of `values` (rows, columns, or a Table already read from them) and give their source."""
        ...


def is_function(serializer: object) -> TypeGuard[Callable[..., Any]]:
    """Whether this is no Serializer, but a function that makes bytes of a record (see ``functions``)."""
    return callable(serializer) and not isinstance(serializer, type) and not hasattr(serializer, "bind")


def check_serializer(serializer: Any, name: str, *methods: str) -> None:
    """Refuse what is no serializer, in terms of what was probably meant.

    Raises
    ------
    SerializationError
        A class, or something without the `methods` that the call needs.
    """
    expected = f"{name}: expected a serializer, such as Json(), Avro(schema) or Struct(layout)"
    if isinstance(serializer, type):
        own = serializer.__name__
        raise SerializationError(f"{expected}, got the class {own}: make one of it, {own}(...)")
    if serializer is not None and not is_function(serializer) and not all(hasattr(serializer, one) for one in methods):
        raise SerializationError(expected, value=serializer)


def rows_within(size: int, most: int, *sources: Source) -> int:
    """Return how many records to encode at a time: `most`, or as many of the largest as `size` bytes hold."""
    rows = most
    while rows > 1 and any(source.first_over(size // rows) is not None for source in sources):
        rows = max(1, rows // 4)
    return rows


def bindable(values: Any, *, single: bool) -> Any:
    """Give `values` as a Table, or as a Column where a `single` one makes records; None where they are rows."""
    columns = as_columns(values)
    if columns is None or isinstance(columns, Table):
        return columns
    if columns.objects is not None:
        return None
    if not single and columns.type_name != "struct":
        raise SerializationError(f"expected rows or a table, got one column of {columns.type_name}")
    return columns


def rows_of(values: Any) -> Any:
    """Give an iterable of rows, or say that it is none."""
    if isinstance(values, Column):
        return values.objects
    if isinstance(values, (str, bytes, bytearray, memoryview)) or not hasattr(values, "__iter__"):
        raise SerializationError("expected a sequence of rows, or columns", value=values)
    if getattr(values, "ndim", 1) == 0:  # numpy's scalars and arrays without a dimension only look iterable
        raise SerializationError("expected a sequence of rows, or columns", value=values)
    return values
