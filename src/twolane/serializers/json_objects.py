"""`Json`: JSON objects in UTF-8."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twolane.encoding.json_columns import JsonColumns
from twolane.encoding.json_objects import dump_rows
from twolane.encoding.json_rows import make_dump
from twolane.encoding.mismatch import Mismatch
from twolane.serializers.interface import Source, bindable, rows_of
from twolane.serializers.rows import bind_rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from twolane.batch import EncodedBatch


class Json:
    r"""JSON objects in UTF-8, without blanks.

    Parameters
    ----------
    binary : {"error", "base64"}
        What bytes become: JSON has no form for them.
    nan : {"null", "error"}
        What NaN and the infinities become: JSON has no form for them either. "error" takes the standard library's
        encoder for rows, which is slower.

    Notes
    -----
    Doubles have the shortest digits that read back the same. Dates, times and datetimes are ISO 8601 (a column of
    instants ends in ``+00:00``, one without a zone in nothing), Decimals and UUIDs are strings. Rows may be any
    object; a row that is None is a tombstone. Rows made of dicts, lists, tuples, texts, ints, booleans and doubles
    of everyday size are written by C code; others go through orjson if it is installed, else through the standard
    library. Columns are written by C code without the GIL.

    Examples
    --------
    >>> Json().encode({"id": 1, "temp": 21.5})
    b'{"id":1,"temp":21.5}'
    """

    def __init__(self, *, binary: str = "error", nan: str = "null") -> None:
        if binary not in ("error", "base64"):
            raise ValueError(f"binary: expected 'error' or 'base64', got {binary!r}")
        if nan not in ("null", "error"):
            raise ValueError(f"nan: expected 'null' or 'error', got {nan!r}")
        self._binary = binary
        self._nan = nan
        self._dump = make_dump(binary=binary, nan=nan)

    def encode(self, record: Any) -> bytes | None:
        """Encode one record; None stays None.

        Raises
        ------
        SerializationError
            With the path of the first value that has no JSON form.
        """
        if record is None:
            return None
        try:
            return self._dump(record)
        except Mismatch as error:
            raise error.as_error(None, None) from None

    def encode_batch(self, values: Any) -> EncodedBatch:
        """Encode all records of `values`: rows, or columns.

        Raises
        ------
        SerializationError
            With the row and the path of the first value that has no JSON form.
        """
        columns = self._columns(values)
        return self._encode_rows(rows_of(values)) if columns is None else columns.slice(0, len(columns))

    def bind(self, values: Any) -> Source:
        """Validate all records and give their source; all rows are encoded at once, columns slice by slice.

        Raises
        ------
        SerializationError
            As for `encode_batch`.
        """
        columns = self._columns(values)
        return bind_rows(values, self._encode_rows) if columns is None else columns

    def _columns(self, values: Any) -> JsonColumns | None:
        columns = bindable(values, single=True)
        if columns is None:
            return None
        return JsonColumns(columns, self._dump, self._binary == "base64", self._nan == "error")

    def _encode_rows(self, rows: Iterable[Any], limit: int | None = None) -> EncodedBatch:
        return dump_rows(rows, self._dump, limit)

    def __repr__(self) -> str:
        return f"Json(binary={self._binary!r}, nan={self._nan!r})"
