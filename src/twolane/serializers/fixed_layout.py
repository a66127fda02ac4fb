"""`Struct`: records of fixed layout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twolane.encoding.struct_format import layout_of
from twolane.encoding.structs import StructColumns, StructLayout
from twolane.serializers.interface import Source, bindable, rows_of
from twolane.serializers.rows import bind_rows

if TYPE_CHECKING:
    import numpy as np

    from twolane.batch import EncodedBatch


class Struct:
    r"""Records of fixed layout, as C structs: a numpy dtype, or a format of the struct module.

    Parameters
    ----------
    layout : dtype_like, str or struct.Struct
        A structured dtype; a format such as ``">qd"`` (its fields are taken by position); a plain dtype for one field.

    Raises
    ------
    SerializationError
        If the layout is none of these.

    Notes
    -----
    Rows are dicts, tuples or objects with attributes, for a single field also bare values; None is a tombstone. Nothing
    is cut or wrapped: an integer out of range or a string that is too long is an error. Shorter strings are filled up
    with zeros, and so are gaps between fields. Columns are taken by name.

    Examples
    --------
    >>> Struct(">hd").encode((1, 0.5))
    b'\x00\x01?\xe0\x00\x00\x00\x00\x00\x00'
    """

    def __init__(self, layout: Any) -> None:
        self._layout = StructLayout(layout_of(layout))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The layout as a structured dtype."""
        return self._layout.dtype

    def encode(self, record: Any) -> bytes | None:
        """Encode one record; None stays None.

        Raises
        ------
        SerializationError
            With the first field whose value does not fit.
        """
        return self._layout.encode(record)

    def encode_batch(self, values: Any) -> EncodedBatch:
        """Encode all records of `values`: rows, or columns.

        Raises
        ------
        SerializationError
            With the row and the field of the first value that does not fit.
        """
        columns = self._columns(values)
        return self._layout.encode_rows(rows_of(values)) if columns is None else columns.slice(0, len(columns))

    def bind(self, values: Any) -> Source:
        """Validate all records and give their source; all rows are encoded at once, columns slice by slice.

        Raises
        ------
        SerializationError
            As for `encode_batch`.
        """
        columns = self._columns(values)
        return bind_rows(values, self._layout.encode_rows) if columns is None else columns

    def _columns(self, values: Any) -> StructColumns | None:
        columns = bindable(values, single=len(self.dtype.names or ()) == 1)
        return None if columns is None else StructColumns(self._layout, columns)

    def __repr__(self) -> str:
        return f"Struct({self.dtype})"
