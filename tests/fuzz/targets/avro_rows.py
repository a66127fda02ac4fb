"""Avro from rows of 256 schemas: read by fastavro as they were, and refused by a SerializationError only."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

import fastavro

from tests.fuzz.avro_values import Values, agree, plain, read_back, record_of, schema_of
from tests.fuzz.draw import Draw
from twolane import Avro, SerializationError


@cache
def case(number: int) -> tuple[Any, Avro, Any]:
    """Return a schema, our serializer and fastavro's parsed schema."""
    rng = random.Random(number)
    schema = record_of(rng) if number % 4 else schema_of(rng)
    return schema, Avro(schema), fastavro.parse_schema(plain(schema))


def run(data: bytes) -> None:
    draw = Draw(data)
    schema, avro, parsed = case(draw.take(1))
    values = Values(draw)
    given, want = values.value(schema)
    try:
        record = avro.encode(given)
    except SerializationError:
        assert values.is_odd, f"refused: {given!r}"
        record = b"refused"
    try:
        both = list(avro.encode_batch([given, given]))
    except SerializationError as error:
        assert record == b"refused", f"one is taken, two are not: {given!r}"
        assert error.index == 0
        return
    assert both == [record, record]
    if record is not None:
        assert agree(want, read_back(record, parsed)), f"{given!r} became {record!r}"
