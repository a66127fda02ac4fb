from typing import final

from twolane.batch import EncodedBatch
from twolane.encoding.avro.rows import RowEncoder
from twolane.encoding.avro.schema import AvroType
from twolane.encoding.columns.table import Column, Table

@final
class AvroColumns:
    def __init__(
        self, schema: AvroType, rows: RowEncoder, values: Table | Column, prefix: bytes = b"", limit: int | None = None
    ) -> None: ...
    def __len__(self) -> int: ...
    def first_over(self, limit: int) -> tuple[int, int] | None: ...
    def slice(self, start: int, stop: int) -> EncodedBatch: ...
