"""What turns values into record bytes: `Bytes`, and the interface the lanes rely on.

A serializer is bound to all the values of one call before anything is sent. Binding validates everything, so that a bad
value in the last row stops the call, not a half-sent batch; what it gives, a Source, hands out slices of bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from twolane.encoding.byte_columns import bytes_source

if TYPE_CHECKING:
    from twolane.batch import EncodedBatch

__all__ = ["Bytes", "Serializer", "Source"]


@runtime_checkable
class Source(Protocol):
    """All records of one call, validated: after ``bind()`` only memory can fail."""

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
    """Values of one kind to bytes. Immutable after construction, so that several threads may share one."""

    def encode(self, record: Any) -> bytes | None:
        """Encode one record."""
        ...

    def encode_batch(self, values: Any) -> EncodedBatch:
        """Encode all records of `values`, rows or columns."""
        ...

    def bind(self, values: Any) -> Source:
        """Validate all of `values` (rows, columns, or a Table already read from them) and give their source."""
        ...


class Bytes:
    """Bytes as they are: bytes, str (as UTF-8), bytearray, memoryview, numpy and Arrow byte strings; None is a tombstone.

    Examples
    --------
    >>> list(Bytes().encode_batch([b"a", "é", None]))
    [b'a', b'\\xc3\\xa9', None]
    """

    def encode(self, record: Any) -> bytes | None:
        """Give the bytes of one record; None stays None.

        Raises
        ------
        SerializationError
            If it is neither bytes, str, bytearray, memoryview nor None.
        """
        if type(record) is bytes:
            return record
        try:
            return bytes_source([record]).slice(0, 1)[0]
        except ValueError as error:
            error.index = None  # type: ignore[attr-defined]
            raise

    def encode_batch(self, values: Any) -> EncodedBatch:
        """Give the bytes of all records.

        Raises
        ------
        SerializationError
            With the index of the first record that is neither bytes, str, bytearray, memoryview nor None.
        """
        source = self.bind(values)
        return source.slice(0, len(source))

    def bind(self, values: Any) -> Source:
        """Validate all records and give their source; bytes objects and arrays are borrowed, not copied.

        Raises
        ------
        SerializationError
            As for `encode_batch`.
        """
        return bytes_source(values, scalars=False)

    def __repr__(self) -> str:
        return "Bytes()"
