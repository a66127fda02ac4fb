"""JSON against orjson and msgspec: ``python -m bench.encoding.bench_json``; pyperf's own options follow.

The libraries' bytes are let go one by one: kept in a list, orjson's cost a page of memory each on some machines.
"""

from __future__ import annotations

from typing import Any

import msgspec
import orjson

from bench.encoding._cases import Case, each, run, through
from bench.encoding._data import five_columns, five_rows, five_table, thirty_rows, thirty_table
from twolane.serializers import Json

N = 10_000


def made_then_orjson() -> Any:
    """Make the rows of the columns, then write them."""
    columns = five_columns(N)

    def write() -> None:
        lists = {**{k: v.tolist() for k, v in columns.items()}, "sensor": columns["sensor"].astype("U5").tolist()}
        for row in zip(*lists.values(), strict=True):
            orjson.dumps(dict(zip(lists, row, strict=True)))

    return write


def library(dumps: Any, rows: Any) -> Case:
    def case() -> Any:
        given = rows(N)
        assert orjson.loads(dumps(given[7])) == given[7]
        return lambda: each(dumps, given)

    return case


def ours(values: Any, rows: Any) -> Case:
    def case() -> Any:
        serializer, given = Json(), values(N)
        assert [orjson.loads(record) for record in serializer.encode_batch(given)] == rows(N)
        if isinstance(given, list):
            return lambda: serializer.encode_batch(given)
        return lambda: through(serializer.bind(given))

    return case


CASES = {
    "json5_orjson_rows": library(orjson.dumps, five_rows),
    "json5_msgspec_rows": library(msgspec.json.Encoder().encode, five_rows),
    "json5_make_rows_then_orjson": made_then_orjson,
    "json5_rows": ours(five_rows, five_rows),
    "json5_arrow_columns": ours(five_table, five_rows),
    "json5_numpy_columns": ours(five_columns, five_rows),
    "json30_orjson_rows": library(orjson.dumps, thirty_rows),
    "json30_msgspec_rows": library(msgspec.json.Encoder().encode, thirty_rows),
    "json30_rows": ours(thirty_rows, thirty_rows),
    "json30_arrow_columns": ours(thirty_table, thirty_rows),
}

if __name__ == "__main__":
    run(CASES, N)
