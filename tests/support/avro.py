"""Avro schemas in short, and records as fastavro writes them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import fastavro

if TYPE_CHECKING:
    from collections.abc import Iterable


def record_of(name: str, /, **fields: Any) -> dict[str, Any]:
    """Return the schema of a record with these fields and types."""
    return {"type": "record", "name": name, "fields": [{"name": field, "type": kind} for field, kind in fields.items()]}


def written(schema: Any, rows: Iterable[Any]) -> list[bytes]:
    """Return the records as fastavro writes them."""
    parsed = fastavro.parse_schema(schema)
    records = []
    for row in rows:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, parsed, row)
        records.append(out.getvalue())
    return records
