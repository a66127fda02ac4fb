from collections.abc import Iterable
from typing import Any, final

import numpy as np

from twolane.batch import EncodedBatch
from twolane.encoding.column_encoder import ColumnEncoder
from twolane.encoding.columns.table import Column, Table

@final
class StructLayout:
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def width(self) -> int: ...
    def __init__(self, dtype: np.dtype[Any]) -> None: ...
    def encode(self, record: Any) -> bytes | None: ...
    def encode_rows(self, rows: Iterable[Any], limit: int | None = None) -> EncodedBatch: ...

@final
class StructColumns(ColumnEncoder):
    def __init__(self, layout: StructLayout, values: Table | Column, limit: int | None = None) -> None: ...
