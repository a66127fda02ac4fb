"""`Struct`: records of fixed layout."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from twolane.encoding.struct.format import layout_of
from twolane.encoding.struct.records import StructColumns, StructLayout
from twolane.serializers.base import BatchSerializer

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np

    from twolane.batch import EncodedBatch
    from twolane.encoding.columns.table import Column, Table


class Struct(BatchSerializer):
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
    Rows are dicts and whatever else names its fields, plain tuples or objects with attributes, for a single field also
    bare values; a missing value is a tombstone. A format has no names: named tuples are taken by position. Nothing
    is cut or wrapped: an integer out of range or a string that is too long is an error. Shorter strings are filled up
    with zeros, and so are gaps between fields. Columns are taken by name.

    Examples
    --------
    >>> Struct(">hd").encode((1, 0.5))
    b'\x00\x01?\xe0\x00\x00\x00\x00\x00\x00'
    """

    def __init__(self, layout: Any) -> None:
        # struct.Struct cannot be pickled, its format can.
        self._given = layout.format if isinstance(layout, struct.Struct) else layout
        self._layout = StructLayout(layout_of(layout))
        self._takes_single = len(self.dtype.names or ()) == 1

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

    def _settings(self) -> dict[str, Any]:
        return {"layout": self._given}

    def _encode_rows(self, rows: Iterable[Any], limit: int | None) -> EncodedBatch:
        return self._layout.encode_rows(rows, limit)

    def _bind_columns(self, columns: Table | Column, limit: int | None) -> StructColumns:
        return StructColumns(self._layout, columns, limit)

    def __repr__(self) -> str:
        return f"Struct({self.dtype})"
