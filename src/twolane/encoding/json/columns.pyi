from collections.abc import Callable
from typing import Any, final

from twolane.encoding.column_encoder import ColumnEncoder
from twolane.encoding.columns.table import Column, Table

@final
class JsonColumns(ColumnEncoder):
    def __init__(
        self,
        values: Table | Column,
        dump: Callable[[Any], bytes],
        base64: bool,
        refuse_nan: bool,
        limit: int | None = None,
    ) -> None: ...
