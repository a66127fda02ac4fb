"""Protobuf from Arrow columns of 256 messages: the bytes of messages that google.protobuf fills."""

from __future__ import annotations

import pyarrow as pa

from tests.encoding.protobuf.generated import agrees
from tests.fuzz.draw import Draw
from tests.fuzz.protobuf_cases import case


def run(data: bytes) -> None:
    draw = Draw(data)
    kind, columns, protobuf, values = case(draw.take(1))
    n, before = 1 + draw.below(3), draw.below(3)
    values.feed(draw.rest())
    rows = [columns.draw() for _ in range(before + n)]
    held = {name: [row[name] for row in rows] for name in columns.fields}
    table = {name: pa.array(made, columns.arrow.field(name).type).slice(before) for name, made in held.items()}
    records = list(protobuf.encode_batch(table))
    assert len(records) == n
    for row, record in zip(rows[before:], records, strict=True):
        assert agrees(kind, columns, row, record), f"{row!r} became {record!r}"
