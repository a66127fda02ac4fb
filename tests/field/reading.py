"""What the cases of this folder share: schemas, and fastavro to read records back."""

from __future__ import annotations

import io
from typing import Any

import fastavro

DATE = {"type": "int", "logicalType": "date"}
MOMENT = {"type": "long", "logicalType": "timestamp-micros"}
WALL = {"type": "long", "logicalType": "local-timestamp-micros"}
MONEY = {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}
UUID = {"type": "string", "logicalType": "uuid"}


def record(title: str = "Order", /, **fields: Any) -> dict[str, Any]:
    """A record's schema; a field that may be null has null as its default."""
    made = []
    for field, type_ in fields.items():
        optional = isinstance(type_, list) and type_[0] == "null"
        made.append({"name": field, "type": type_, **({"default": None} if optional else {})})
    return {"type": "record", "name": title, "fields": made}


def read(schema: Any, records: Any) -> list[Any]:
    """What fastavro reads."""
    parsed = fastavro.parse_schema(schema)
    return [fastavro.schemaless_reader(io.BytesIO(one), parsed, None) for one in records]
