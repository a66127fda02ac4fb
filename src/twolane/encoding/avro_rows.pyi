from collections.abc import Iterable
from typing import Any, final

from twolane.batch import EncodedBatch
from twolane.encoding.avro_schema import AvroType
from twolane.encoding.avro_writers import Writer

@final
class RowEncoder:
    @property
    def root(self) -> Writer: ...
    def __init__(self, schema: AvroType, prefix: bytes = b"") -> None: ...
    def encode(self, record: Any) -> bytes | None: ...
    def encode_rows(self, rows: Iterable[Any], limit: int | None = None) -> EncodedBatch: ...
