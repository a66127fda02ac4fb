"""Avro against fastavro: ``python -m bench.encoding.bench_avro``; pyperf's own options follow (``--fast``)."""

from __future__ import annotations

import io
import json
from typing import Any

import fastavro

from bench.encoding._cases import Case, run, through
from bench.encoding._data import (
    FIVE,
    THIRTY,
    five_columns,
    five_rows,
    five_table,
    objects,
    thirty_rows,
    thirty_table,
)  # fmt: skip
from twolane.serializers import Avro

N = 10_000
Schema = dict[str, Any]


def written(schema: Schema, rows: list[Any]) -> list[bytes]:
    """Give the records as fastavro writes them."""
    parsed = fastavro.parse_schema(json.loads(json.dumps(schema)))
    made = []
    for row in rows:
        block = io.BytesIO()
        fastavro.schemaless_writer(block, parsed, row)
        made.append(block.getvalue())
    return made


def reference(schema: Schema, rows: list[Any]) -> Case:
    def case() -> Any:
        parsed = fastavro.parse_schema(json.loads(json.dumps(schema)))

        def write() -> None:
            for row in rows:
                block = io.BytesIO()
                fastavro.schemaless_writer(block, parsed, row)
                block.getvalue()

        return write

    return case


def ours(schema: Schema, values: Any, rows: Any) -> Case:
    """Make the case of one input; `rows` are the same records for fastavro. Both are callables."""

    def case() -> Any:
        avro, given = Avro(schema), values(N)
        assert list(avro.encode_batch(given)) == written(schema, rows(N))
        if isinstance(given, list):
            return lambda: avro.encode_batch(given)
        return lambda: through(avro.bind(given))

    return case


CASES = {
    "avro5_fastavro_rows": lambda: reference(FIVE, five_rows(N))(),
    "avro5_rows": ours(FIVE, five_rows, five_rows),
    "avro5_dataclasses": ours(FIVE, lambda n: objects(five_rows(n)), five_rows),
    "avro5_dataclasses_slots": ours(FIVE, lambda n: objects(five_rows(n), slots=True), five_rows),
    "avro5_tuples": ours(FIVE, lambda n: [tuple(row.values()) for row in five_rows(n)], five_rows),
    "avro5_numpy_columns": ours(FIVE, five_columns, five_rows),
    "avro5_arrow_columns": ours(FIVE, five_table, five_rows),
    "avro30_fastavro_rows": lambda: reference(THIRTY, thirty_rows(N))(),
    "avro30_rows": ours(THIRTY, thirty_rows, thirty_rows),
    "avro30_dataclasses": ours(THIRTY, lambda n: objects(thirty_rows(n)), thirty_rows),
    "avro30_dataclasses_slots": ours(THIRTY, lambda n: objects(thirty_rows(n), slots=True), thirty_rows),
    "avro30_arrow_columns": ours(THIRTY, thirty_table, thirty_rows),
}

if __name__ == "__main__":
    run(CASES, N)
