from typing import final

from twolane.encoding.avro.rows import RowEncoder
from twolane.encoding.avro.schema import AvroType
from twolane.encoding.column_encoder import ColumnEncoder
from twolane.encoding.columns.table import Column, Table

@final
class AvroColumns(ColumnEncoder):
    def __init__(
        self, schema: AvroType, rows: RowEncoder, values: Table | Column, prefix: bytes = b"", limit: int | None = None
    ) -> None: ...
