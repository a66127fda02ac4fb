"""Protobuf from columns: the bytes that google.protobuf writes of messages filled by hand; errors with their place."""

from __future__ import annotations

import random
from itertools import count
from typing import Any

import pyarrow as pa

from tests.encoding.protobuf.generated import Columns, Schema
from tests.encoding.tally import WANTED, Tally
from twolane.encoding.columns.table import as_table
from twolane.encoding.protobuf.columns import ProtobufColumns
from twolane.encoding.protobuf.schema import message_type

ROWS = 30


def natively(name: str, value: Any) -> bytes:
    raise AssertionError(f"{name} has no native operation: {value!r}")


def arrow_table(rng: random.Random, columns: Columns, rows: list[dict[str, Any]]) -> pa.Table:
    """The rows as Arrow has them: with offsets, and in chunks that differ from column to column."""
    made = {}
    for name in columns.fields:
        type_ = columns.arrow.field(name).type
        values = [row[name] for row in rows]
        cut = rng.randrange(len(rows))
        parts = [values] if rng.random() < 0.6 else [values[:cut], values[cut:]]
        before = [rng.choice(values) for _ in range(rng.randrange(4))]
        chunks = [pa.array([*before, *part, *before], type_).slice(len(before), len(part)) for part in parts]
        made[name] = pa.chunked_array(chunks, type_)
    return pa.table(made)


def test_generated_schemas_and_values_are_written_as_google_does(tally: Tally) -> None:
    for seed in count():
        if tally.values >= WANTED:
            return
        rng = random.Random(seed)
        kind = Schema(rng).kind
        columns = Columns(rng, kind.DESCRIPTOR)
        if not columns.fields:
            continue
        rows = [columns.draw() for _ in range(ROWS)]
        source = ProtobufColumns(
            message_type(kind.DESCRIPTOR), natively, as_table(arrow_table(rng, columns, rows)), b"\0p"
        )
        start = rng.randrange(ROWS)
        got = [*source.slice(0, start), *source.slice(start, ROWS)]
        for i, (row, record) in enumerate(zip(rows, got, strict=True)):
            want = kind()
            columns.fill(want, row)
            assert record[:2] == b"\0p"
            read = kind.FromString(record[2:])
            assert read.SerializeToString(deterministic=True) == want.SerializeToString(deterministic=True), (
                seed,
                i,
                row,
            )
        tally.add(ROWS)
