"""`Bytes`: records that are bytes already."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from twolane.encoding.columns.bytes import bytes_source, spans_of
from twolane.encoding.columns.table import Column
from twolane.errors import SerializationError
from twolane.serializers.bad_rows import OnBadRow, encode_good_rows, skips_bad_rows
from twolane.serializers.materialize import bind_rows

if TYPE_CHECKING:
    from twolane.batch import EncodedBatch
    from twolane.serializers.protocol import Source


def bind_bytes(values: Any, n: int | None = None, *, field: str | None = None, scalars: bool = True) -> Source:
    """Do as `bytes_source`; of a list that is very long not all spans are kept."""
    objects = values.objects if isinstance(values, Column) else values
    if not isinstance(objects, (list, tuple)):
        return bytes_source(values, n, field=field, scalars=scalars)
    source = bind_rows(objects, partial(spans_of, field=field))
    if n is not None and len(source) != n:
        raise SerializationError(f"expected {n} entries, one per record, got {len(source)}", field=field)
    return source


class Bytes:
    r"""Bytes as they are: bytes, str (as UTF-8), bytearray, memoryview, byte strings of numpy and Arrow.

    None is a tombstone.

    Examples
    --------
    >>> list(Bytes().encode_batch([b"a", "é", None]))
    [b'a', b'\xc3\xa9', None]
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

    def encode_batch(self, values: Any, *, on_bad_row: OnBadRow = "raise") -> EncodedBatch:
        """Give the bytes of all records.

        Parameters
        ----------
        values : sequence or array
        on_bad_row : {"raise", "skip"}
            With "skip" the batch has the good ones only: its ``rows`` says which, its ``refused`` why not the others.

        Raises
        ------
        SerializationError
            With the index of the first record that is neither bytes, str, bytearray, memoryview nor None.
        """
        if skips_bad_rows(on_bad_row):
            return encode_good_rows(self, values)
        source = self.bind(values)
        return source.slice(0, len(source))

    def bind(self, values: Any) -> Source:
        """Validate all records and give their source; bytes objects and arrays are borrowed, not copied.

        Raises
        ------
        SerializationError
            As for `encode_batch`.
        """
        return bind_bytes(values, scalars=False)

    def __repr__(self) -> str:
        return "Bytes()"
