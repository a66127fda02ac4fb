"""The records that the encoder benches measure: the five fields of baseline.md, and thirty with nulls."""

from __future__ import annotations

from dataclasses import make_dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from bench.contender import SCHEMA

FIVE = SCHEMA
THIRTY: dict[str, Any] = {
    "type": "record",
    "name": "Wide",
    "fields": [
        {"name": f"{kind[0]}{i}", "type": ["null", kind]}
        for i in range(6)
        for kind in ("long", "string", "double", "boolean", "int")
    ],
}


def five_columns(n: int) -> dict[str, np.ndarray]:
    """Columns of the five-field record, seeded."""
    rng = np.random.default_rng(1)
    return {
        "id": np.arange(n),
        "sensor": np.array([f"s{i:04}" for i in range(1000)], dtype="S5")[np.arange(n) % 1000],
        "temp": rng.normal(20, 5, n),
        "flag": rng.random(n) < 0.5,
        "ts": 1_700_000_000_000 + np.arange(n),
    }


def five_rows(n: int) -> list[dict[str, Any]]:
    """Give the same as ready dict rows."""
    return rows_of(five_columns(n))


def rows_of(columns: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """Give columns of the five-field record as dict rows."""
    lists = {**{k: v.tolist() for k, v in columns.items()}, "sensor": columns["sensor"].astype("U5").tolist()}
    return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]


def five_table(n: int) -> pa.Table:
    """Give the same as an Arrow table."""
    columns = five_columns(n)
    return pa.table({**columns, "sensor": columns["sensor"].astype("U5").tolist()})


def objects(rows: list[dict[str, Any]], *, slots: bool = False) -> list[Any]:
    """Give dict rows as dataclass instances."""
    row_class = make_dataclass("Row", list(rows[0]), slots=slots)
    return [row_class(**row) for row in rows]


ARROW = {
    "long": pa.int64(), "string": pa.string(), "double": pa.float64(), "boolean": pa.bool_(), "int": pa.int32(),
}  # fmt: skip


def thirty_table(n: int) -> pa.Table:
    """Give the rows of thirty fields as an Arrow table."""
    return pa.Table.from_pylist(
        thirty_rows(n), pa.schema([(field["name"], ARROW[field["type"][1]]) for field in THIRTY["fields"]])
    )


def thirty_rows(n: int) -> list[dict[str, Any]]:
    """Rows of thirty nullable fields, one value in ten missing."""
    rng = np.random.default_rng(2)
    made: list[dict[str, Any]] = []
    for i in range(n):
        missing = rng.random(30) < 0.1
        row: dict[str, Any] = {}
        for place, field in enumerate(THIRTY["fields"]):
            kind = field["type"][1]
            value = {
                "long": i * 7919,
                "string": f"text {i % 97}",
                "double": i / 7,
                "boolean": i % 3 == 0,
                "int": i % 5000,
            }[kind]
            row[field["name"]] = None if missing[place] else value
        made.append(row)
    return made
