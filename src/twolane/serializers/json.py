"""`Json`: JSON objects in UTF-8."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twolane.encoding.columns.objects import is_missing
from twolane.encoding.json.columns import JsonColumns
from twolane.encoding.json.objects import dump_rows
from twolane.encoding.json.rows import make_dump
from twolane.encoding.mismatch import Mismatch
from twolane.serializers.base import BatchSerializer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from twolane.batch import EncodedBatch
    from twolane.encoding.columns.table import Column, Table


class Json(BatchSerializer):
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
    Doubles have the shortest digits that read back the same, ints all of theirs. Times and datetimes are ISO 8601
    (a column of instants ends in ``+00:00``, one without a zone in nothing), Decimals and UUIDs are strings, members
    of enums their values. Missing values (None, NaT, NA) are null. Rows may be any object; one that is a missing value
    is a tombstone. Rows made of dicts, lists, tuples, texts, ints, booleans and doubles of everyday size are written
    by C code; others go through orjson if it is installed, else through the standard library. Columns are written by
    C code without the GIL.

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
        if is_missing(record):
            return None
        try:
            return self._dump(record)
        except Mismatch as error:
            raise error.as_error(None, None) from None

    def _settings(self) -> dict[str, Any]:
        return {"binary": self._binary, "nan": self._nan}

    def _takes_single(self) -> bool:
        return True

    def _encode_rows(self, rows: Iterable[Any], limit: int | None) -> EncodedBatch:
        return dump_rows(rows, self._dump, limit)

    def _bind_columns(self, columns: Table | Column, limit: int | None) -> JsonColumns:
        return JsonColumns(columns, self._dump, self._binary == "base64", self._nan == "error", limit)

    def __repr__(self) -> str:
        return f"Json(binary={self._binary!r}, nan={self._nan!r})"
