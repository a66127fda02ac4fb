"""Encoders against fastavro and orjson, in one process and one run: read the ratios, not the times.

``python -m bench.encoding.bench_encoders`` from the root of the project; pyperf's own options follow (``--fast``).
Every result is checked before it is timed. A batch of N records is timed; ``inner_loops`` makes it per record.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import make_dataclass
from typing import Any

import fastavro
import orjson
import pyarrow as pa
import pyperf

from bench.encoding._data import FIVE, THIRTY, five_columns, five_rows, thirty_rows
from twolane.serializers import Avro, Json, Source, Struct

N = 20_000
SLICE = 8192


def through(source: Source) -> int:
    """Encode a bound call slice by slice, as the lanes do."""
    size = 0
    for start in range(0, len(source), SLICE):
        batch = source.slice(start, min(len(source), start + SLICE))
        size += len(batch)
        del batch
    return size


def fastavro_rows(schema: dict[str, Any], rows: list[dict[str, Any]]) -> list[bytes]:
    parsed = fastavro.parse_schema(json.loads(json.dumps(schema)))
    made = []
    for row in rows:
        block = io.BytesIO()
        fastavro.schemaless_writer(block, parsed, row)
        made.append(block.getvalue())
    return made


def cases() -> dict[str, Callable[[], object]]:
    """Name and function of each measurement; all have been checked against each other."""
    columns, rows = five_columns(N), five_rows(N)
    wide_rows = thirty_rows(N)
    table = pa.table({**columns, "sensor": columns["sensor"].astype("U5").tolist()})
    wide_table = pa.Table.from_pylist(
        wide_rows,
        pa.schema(
            [
                (f["name"], {"long": pa.int64(), "string": pa.string(), "double": pa.float64(), "boolean": pa.bool_(),
                             "int": pa.int32()}[f["type"][1]])
                for f in THIRTY["fields"]
            ]
        ),
    )  # fmt: skip
    five, thirty, js = Avro(FIVE), Avro(THIRTY), Json()
    layout = Struct([("id", "<i8"), ("sensor", "S5"), ("temp", "<f8"), ("flag", "?"), ("ts", "<i8")])
    row_class = make_dataclass("Row", list(rows[0]))
    objects = [row_class(**row) for row in rows]

    want = fastavro_rows(FIVE, rows)
    for values in (columns, table, rows, objects):
        assert list(five.encode_batch(values)) == want
    assert (
        list(thirty.encode_batch(wide_table))
        == list(thirty.encode_batch(wide_rows))
        == fastavro_rows(THIRTY, wide_rows)
    )
    assert [orjson.loads(record) for record in js.encode_batch(table)] == rows
    assert list(layout.encode_batch(columns)) == list(layout.encode_batch(rows))

    def rows_then_orjson() -> list[bytes]:
        lists = {**{k: v.tolist() for k, v in columns.items()}, "sensor": columns["sensor"].astype("U5").tolist()}
        return [orjson.dumps(dict(zip(lists, row, strict=True))) for row in zip(*lists.values(), strict=True)]

    return {
        "avro5_fastavro_rows": lambda: fastavro_rows(FIVE, rows),
        "avro5_rows": lambda: five.encode_batch(rows),
        "avro5_dataclasses": lambda: five.encode_batch(objects),
        "avro5_numpy_columns": lambda: through(five.bind(columns)),
        "avro5_arrow_columns": lambda: through(five.bind(table)),
        "avro30_fastavro_rows": lambda: fastavro_rows(THIRTY, wide_rows),
        "avro30_rows": lambda: thirty.encode_batch(wide_rows),
        "avro30_arrow_columns": lambda: through(thirty.bind(wide_table)),
        "json5_orjson_rows": lambda: [orjson.dumps(row) for row in rows],
        "json5_make_rows_then_orjson": rows_then_orjson,
        "json5_rows": lambda: js.encode_batch(rows),
        "json5_arrow_columns": lambda: through(js.bind(table)),
        "struct5_numpy_columns": lambda: through(layout.bind(columns)),
    }


def main() -> None:
    runner = pyperf.Runner(processes=3, values=3)
    runner.metadata["description"] = "time per record; ratios within this run"
    for name, function in cases().items():
        runner.bench_func(name, function, inner_loops=N)


if __name__ == "__main__":
    main()
