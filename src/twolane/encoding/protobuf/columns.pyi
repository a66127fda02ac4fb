from collections.abc import Callable
from typing import Any, final

from twolane.encoding.column_encoder import ColumnEncoder
from twolane.encoding.columns.table import Table
from twolane.encoding.protobuf.schema import MessageType

@final
class ProtobufColumns(ColumnEncoder):
    def __init__(
        self,
        message: MessageType,
        encode: Callable[[str, Any], bytes],
        values: Table,
        prefix: bytes = b"",
        limit: int | None = None,
    ) -> None: ...
