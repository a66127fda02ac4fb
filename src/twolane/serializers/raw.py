"""`Bytes`: records that are bytes already."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from twolane.encoding.columns.bytes import bytes_source, spans_of
from twolane.encoding.columns.table import Column
from twolane.errors import SerializationError
from twolane.serializers.base import BaseSerializer
from twolane.serializers.materialize import bind_rows

if TYPE_CHECKING:
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


class Bytes(BaseSerializer):
    r"""Bytes as they are: bytes, str (as UTF-8), bytearray, memoryview, byte strings of numpy and Arrow.

    None is a tombstone.

    Examples
    --------
    >>> list(Bytes().encode_batch([b"a", "é", None]))
    [b'a', b'\xc3\xa9', None]
    """

    def encode(self, record: Any) -> bytes | None:
        """Return the bytes of one record; None stays None.

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

    def bind(self, values: Any) -> Source:
        """Validate all records and return their source; bytes objects and arrays are borrowed, not copied.

        Raises
        ------
        SerializationError
            With the index of the first record that is neither bytes, str, bytearray, memoryview nor None.
        """
        return bind_bytes(values, scalars=False)

    def _settings(self) -> dict[str, Any]:
        return {}

    def __repr__(self) -> str:
        return "Bytes()"
