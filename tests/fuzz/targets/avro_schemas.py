"""Avro schemas with faults: refused by a SerializationError, or understood as fastavro understands them."""

from __future__ import annotations

import json
from typing import Any

import fastavro
from fastavro.schema import SchemaParseException, UnknownType

from tests.fuzz.avro_values import plain, read_back, schema_of
from tests.fuzz.draw import Draw
from twolane import Avro, SerializationError

WORDS = [
    "type", "name", "namespace", "fields", "items", "values", "symbols", "size", "default", "aliases", "order", "doc",
    "logicalType", "precision", "scale", "null", "boolean", "int", "long", "float", "double", "bytes", "string",
    "record", "error", "enum", "fixed", "array", "map", "decimal", "uuid", "duration", "date", "T0", "n.T1", "T1", ".T",
    "a.b", "T0.", "1", "a-b", "ä", "", "timestamp-nanos", "local-timestamp-micros", "timestamp-millis",
]  # fmt: skip


def places(schema: Any) -> list[tuple[Any, Any]]:
    """Return all that can be changed: a list or dict, and an index or key of it."""
    found: list[tuple[Any, Any]] = []
    todo = [schema]
    while todo:
        one = todo.pop()
        for key in one if isinstance(one, dict) else range(len(one)) if isinstance(one, list) else ():
            found.append((one, key))
            todo.append(one[key])
    return found


def spoil(draw: Draw, schema: Any) -> Any:
    """Change a schema in one place."""
    root = [schema]
    holder, key = draw.choice(places(root))
    how = draw.below(6)
    if how == 0:
        holder[key] = draw.choice(WORDS)
    elif how == 1:
        holder[key] = draw.json(2)
    elif how == 2 and isinstance(holder, dict):
        holder[draw.choice(WORDS)] = holder.pop(key)
    elif how == 3 and isinstance(holder, dict):
        holder[draw.choice(WORDS)] = draw.choice(WORDS) if draw.below(2) else draw.json(2)
    elif how == 4:
        other, place = draw.choice(places(root))
        holder[key] = json.loads(json.dumps(other[place]))
    elif holder is not root:
        del holder[key]
    return root[0]


def run(data: bytes) -> None:
    draw = Draw(data)
    schema = schema_of(draw)
    for _ in range(draw.below(4)):
        schema = spoil(draw, schema)
    if schema is None:
        return  # no schema at all, which is another argument
    text = json.dumps(schema)
    if draw.one_in(8):
        at = draw.below(len(text) + 1)
        text = text[:at] + draw.text(3) + text[at + draw.below(3) :]
    strict = bool(draw.below(2))
    try:
        avro = Avro(text if draw.below(2) else json.loads(text), strict_names=strict)
    except (SerializationError, json.JSONDecodeError):
        return
    try:
        parsed = fastavro.parse_schema(plain(avro.schema))
    except (SchemaParseException, UnknownType, ValueError, KeyError, TypeError, AttributeError):
        return  # fastavro refuses what the specification allows, too: aliases, order, names that are used twice
    for value in (None, 0, "", b"", [], {}, False):
        try:
            record = avro.encode(value)
        except SerializationError:
            continue
        if record is not None:
            read_back(record, parsed)
