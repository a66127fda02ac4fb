from collections.abc import Callable
from typing import Any, final

from twolane.batch import EncodedBatch
from twolane.encoding.columns.table import Column, Table

@final
class JsonColumns:
    def __init__(
        self,
        values: Table | Column,
        dump: Callable[[Any], bytes],
        base64: bool,
        refuse_nan: bool,
        limit: int | None = None,
    ) -> None: ...
    def __len__(self) -> int: ...
    def first_over(self, limit: int) -> tuple[int, int] | None: ...
    def slice(self, start: int, stop: int) -> EncodedBatch: ...
