"""One table of every kind of column, lent by every library: the same records, and fastavro reads the rows back."""

import dataclasses
import io
from collections import namedtuple
from datetime import UTC, date, datetime, time
from decimal import Decimal

import attrs
import duckdb
import fastavro
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pydantic
import pytest

from twolane.serializers import Avro, Json

NOW = datetime(2026, 11, 24, 12, 0, 0, 5, UTC)
N = 7
TABLE = pa.table(
    {
        "bool": pa.array([True, None, False] * 3, pa.bool_()),
        "int": pa.array([1, None, -(2**31)] * 3, pa.int32()),
        "long": pa.array([2**62, -1, None] * 3, pa.int64()),
        "float": pa.array([1.5, None, -0.0] * 3, pa.float32()),
        "double": pa.array([0.1, 5e-324, None] * 3, pa.float64()),
        "text": pa.array(["a", "", None] * 3, pa.string()),
        "large": pa.array([None, "ä" * 20, "b"] * 3, pa.large_string()),
        "view": pa.array(["x" * 13, None, "y"] * 3, pa.string_view()),
        "word": pa.array(["one", None, "two"] * 3).dictionary_encode(),
        "bytes": pa.array([b"\xff", b"", None] * 3, pa.binary()),
        "when": pa.array([NOW, None, NOW.replace(year=1900)] * 3, pa.timestamp("us", "UTC")),
        "day": pa.array([date(1969, 12, 31), None, date(9999, 12, 31)] * 3, pa.date32()),
        "clock": pa.array([time(23, 59, 59, 999_999), None, time()] * 3, pa.time64("us")),
        "price": pa.array([Decimal("-1.25"), None, Decimal("99999999.99")] * 3, pa.decimal128(10, 2)),
        "list": pa.array([[1, None], None, []] * 3, pa.list_(pa.int64())),
        "struct": pa.array([{"a": 1, "b": "x"}, None, {"a": None, "b": None}] * 3),
        "map": pa.array([[("k", 1.5)], None, []] * 3, pa.map_(pa.string(), pa.float64())),
        "always": pa.array(range(9), pa.int64()),
    }
)[1 : 1 + N]
AVRO = Avro.from_arrow(TABLE)
ROWS = [{**row, "map": None if row["map"] is None else dict(row["map"])} for row in TABLE.to_pylist()]


def chunked(table):
    return pa.concat_tables([table[:2], table[2:2], table[2:3], table[3:]])


def objects(values):
    """Give an object array of one dimension, lists and all."""
    return np.array([..., *values], object)[1:]


def without(names, make):
    """Lend columns that this library has no type for as Arrow does."""

    def lend():
        lent = make(TABLE.drop_columns(names))
        return {**{name: lent[name] for name in lent.columns}, **{name: TABLE[name] for name in names}}

    return lend


LENDERS = {
    "pyarrow": lambda: TABLE,
    "chunks": lambda: chunked(TABLE),
    "reader": lambda: pa.RecordBatchReader.from_batches(TABLE.schema, chunked(TABLE).to_batches()),
    "dict of columns": lambda: {name: TABLE[name] for name in TABLE.column_names},
    "dict of lists": lambda: {name: [row[name] for row in ROWS] for name in ROWS[0]},
    "dict of object arrays": lambda: {name: objects([row[name] for row in ROWS]) for name in ROWS[0]},
    "polars": without(["map"], lambda table: pl.from_arrow(table)),
    "polars slice": without(["map"], lambda table: pl.concat([pl.from_arrow(table)] * 2, rechunk=False)[:N]),
    "pandas with Arrow": lambda: TABLE.to_pandas(types_mapper=pd.ArrowDtype),
    "duckdb": lambda: duckdb.from_arrow(TABLE),
    "rows": lambda: ROWS,
    "generator": lambda: (row for row in ROWS),
    "tuples": lambda: [tuple(row.values()) for row in ROWS],
    "named tuples": lambda: map(namedtuple("Row", ROWS[0])._make, [row.values() for row in ROWS]),
    "dataclasses": lambda: [dataclasses.make_dataclass("Row", list(ROWS[0]))(**row) for row in ROWS],
    "attrs": lambda: [attrs.make_class("Row", list(ROWS[0]))(**row) for row in ROWS],
    "pydantic": lambda: [pydantic.create_model("Row", **dict.fromkeys(ROWS[0], (object, ...)))(**row) for row in ROWS],
}  # fmt: skip


@pytest.mark.parametrize("lender", LENDERS)
def test_the_same_records_from_every_lender(lender):
    records = list(AVRO.encode_batch(LENDERS[lender]()))
    schema = fastavro.parse_schema(AVRO.schema)
    assert [fastavro.schemaless_reader(io.BytesIO(record), schema, None) for record in records] == ROWS
    assert records == [AVRO.encode(row) for row in ROWS]


def test_pandas_over_numpy():
    names = ["bool", "long", "double", "text", "bytes", "when", "always"]
    frame = TABLE.select(names).drop_null().to_pandas()
    assert list(frame.dtypes.astype(str)) == [
        "bool",
        "int64",
        "float64",
        "str",
        "object",
        "datetime64[us, UTC]",
        "int64",
    ]
    avro = Avro.from_arrow(TABLE.select(names))
    want = [avro.encode(row) for row in TABLE.select(names).drop_null().to_pylist()]
    assert list(avro.encode_batch(frame)) == want
    assert list(avro.encode_batch(frame.to_dict("series"))) == want
    assert list(avro.encode_batch(frame.to_dict("records"))) == want


@pytest.mark.parametrize("name", sorted(set(TABLE.column_names) - {"word", "list", "struct", "map", "view"}))
def test_dictionaries_of_every_type(name):
    column = TABLE[name].combine_chunks()
    (type_,) = [field["type"] for field in AVRO.schema["fields"] if field["name"] == name]
    avro = Avro({"type": "record", "name": "R", "fields": [{"name": "f", "type": type_}]})
    assert list(avro.encode_batch({"f": column.dictionary_encode()})) == list(avro.encode_batch({"f": column}))
    json = Json(binary="base64")
    assert list(json.encode_batch({"f": column.dictionary_encode()})) == list(json.encode_batch({"f": column}))


def test_objects_in_polars_are_not_their_addresses():
    values = [b"a", None, b"bcd"]
    avro = Avro({"type": "record", "name": "R", "fields": [{"name": "f", "type": ["null", "bytes"]}, NUMBER]})
    frame = pl.DataFrame({"f": pl.Series(values, dtype=pl.Object), "n": [1, 2, 3]})
    want = [avro.encode({"f": value, "n": i}) for i, value in enumerate(values, 1)]
    assert list(avro.encode_batch(frame)) == want
    assert list(avro.encode_batch({"f": frame["f"], "n": frame["n"]})) == want


NUMBER = {"name": "n", "type": "long"}


@pytest.mark.parametrize(
    ("type_", "array"),
    [
        ("long", pd.array([2**62 + 1, None], dtype="Int64")),
        ("boolean", pd.array([True, None], dtype="boolean")),
        ("string", pd.array(["a", None], dtype="string")),
        ("string", pd.Categorical(["b", None])),
        ({"type": "long", "logicalType": "timestamp-micros"}, pd.array([NOW, None], dtype="datetime64[us, UTC]")),
        ({"type": "long", "logicalType": "timestamp-micros"}, pd.DatetimeIndex([NOW, None])),
    ],
    ids=str,
)
def test_arrays_and_indexes_of_pandas(type_, array):
    avro = Avro({"type": "record", "name": "R", "fields": [{"name": "f", "type": ["null", type_]}]})
    want = [avro.encode({"f": array[0]}), b"\0"]
    assert list(avro.encode_batch({"f": array})) == want
    assert list(avro.encode_batch({"f": pd.Series(array)})) == want


def test_a_pandas_column_that_arrow_cannot_take_is_read_by_numpy():
    avro = Avro({"type": "record", "name": "R", "fields": [NUMBER]})
    assert list(avro.encode_batch(pd.DataFrame({"n": pd.arrays.SparseArray([0, 0, 1])}))) == [b"\0", b"\0", b"\2"]
