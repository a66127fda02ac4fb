"""Columns read item by item, as Python objects: types without a native path, and types that a union leaves open."""

from __future__ import annotations

import datetime
import io
import pickle
import struct
from decimal import Decimal

import fastavro
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from twolane import Avro, Json, SerializationError, Struct
from twolane.batch import EncodedBatch
from twolane.encoding.columns.bytes import bytes_source
from twolane.encoding.columns.table import as_column, as_table

DURATION = {"type": "fixed", "name": "D", "size": 12, "logicalType": "duration"}
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 2}
DATE = {"type": "int", "logicalType": "date"}
POINT = {
    "type": "record",
    "name": "Point",
    "fields": [{"name": "x", "type": "long"}, {"name": "label", "type": "string"}],
}


def record_of(type_):
    return {"type": "record", "name": "R", "fields": [{"name": "f", "type": type_}]}


def encoded(type_, column):
    return list(Avro(record_of(type_)).encode_batch({"f": column}))


def test_arrow_intervals_are_avro_durations():
    months = pa.array([pa.MonthDayNano([1, 2, 3_999_999]), pa.MonthDayNano([0, 5, 7_000_000])])
    assert encoded(DURATION, months) == [struct.pack("<3I", 1, 2, 3), struct.pack("<3I", 0, 5, 7)]
    times = pa.array([1, 86_400_000], pa.duration("ms"))
    assert encoded(DURATION, times) == [struct.pack("<3I", 0, 0, 1), struct.pack("<3I", 0, 1, 0)]


@pytest.mark.parametrize(
    ("branch", "column", "want"),
    [
        (
            {"type": "map", "values": "long"},
            pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int64())),
            [{"a": 1}, {}],
        ),
        (POINT, pa.array([{"x": 1, "label": "ä"}, None]), [{"x": 1, "label": "ä"}, None]),
        ({"type": "array", "items": "long"}, pa.array([[0], [1, 2], [3]])[1:], [[1, 2], [3]]),
        (
            {"type": "array", "items": "long"},
            np.array([([1, 2],), ([3, 4],)], [("v", "<i8", 2)])["v"],
            [[1, 2], [3, 4]],
        ),
        (DECIMAL, pa.array([Decimal("-1.25"), Decimal("0.01")]), [Decimal("-1.25"), Decimal("0.01")]),
        (
            DATE,
            pa.array([-1, 365], pa.int32()).cast(pa.date32()),
            [datetime.date(1969, 12, 31), datetime.date(1971, 1, 1)],
        ),
    ],
    ids=["map", "record", "sliced array", "subarray", "decimal", "date"],
)
def test_a_union_takes_each_item_by_its_own_type(branch, column, want):
    schema = record_of(["null", "string", branch])
    found = [
        fastavro.schemaless_reader(io.BytesIO(block), schema, None)["f"]
        for block in encoded(["null", "string", branch], column)
    ]
    assert found == want


def test_dates_beyond_pythons_own_keep_their_days():
    # The year 10183.
    days = pa.array([3_000_000], pa.int32()).cast(pa.date32())
    plain = {"type": "record", "name": "R", "fields": [{"name": "f", "type": ["string", "int"]}]}
    (block,) = encoded(["string", DATE], days)
    assert fastavro.schemaless_reader(io.BytesIO(block), plain, None) == {"f": 3_000_000}


@pytest.mark.parametrize(
    "batch",
    [
        EncodedBatch.borrowed([b"ab", None, b"", b"ccc"]),
        EncodedBatch.borrowed([None, b"ab", None, b"", b"ccc"]).slice(1, 5),
        bytes_source(pa.array([b"x", b"ab", None, b"", b"ccc"])[1:]).slice(0, 4),
    ],
    ids=["borrowed", "slice", "column"],
)
def test_a_batch_tells_and_pickles_its_bytes(batch):
    assert bytes(batch.data) == b"abccc"
    assert batch.offsets.tolist() == [0, 2, 2, 2, 5]
    assert batch.valid.tolist() == [True, False, True, True]
    assert list(pickle.loads(pickle.dumps(batch))) == [b"ab", None, b"", b"ccc"]


@pytest.mark.parametrize("value", [b"key", b"", None])
def test_a_constant_batch_stays_one(value):
    again = pickle.loads(pickle.dumps(EncodedBatch.constant(value)))
    assert again.is_constant
    assert list(again) == [value]


N = 40
SOME = list(range(N))
LISTS = [[*range(i % 4)] if i % 5 else None for i in range(N)]
UNION = [
    pa.array([i % 2 for i in range(N)], pa.int8()),
    pa.array([i // 2 for i in range(N)], pa.int32()),
]
COLUMNS = {
    "bool": pa.array([i % 3 == 0 if i % 4 else None for i in range(N)]),
    "string": pa.array(["x" * (i % 9) if i % 4 else None for i in range(N)]),
    "string view": pa.array(["x" * (i % 20) if i % 4 else None for i in range(N)], pa.string_view()),
    "dictionary": pa.array(["a", "b", None, "c"] * (N // 4)).dictionary_encode(),
    "decimal": pa.array([Decimal(i) / 8 for i in range(N)], pa.decimal128(9, 3)),
    "list": pa.array(LISTS),
    "list view": pa.array(LISTS, pa.list_view(pa.int64())),
    "fixed list": pa.array([[i, None] for i in range(N)], pa.list_(pa.int64(), 2)),
    "struct": pa.array([{"a": i, "b": LISTS[i]} if i % 7 else None for i in range(N)]),
    "map": pa.array([[(str(i), i)] * (i % 3) for i in range(N)], pa.map_(pa.string(), pa.int64())),
    "dense union": pa.UnionArray.from_dense(*UNION, [pa.array(SOME), pa.array([str(i) for i in SOME])]),
    "sparse union": pa.UnionArray.from_sparse(UNION[0], [pa.array(SOME), pa.array([str(i) for i in SOME])]),
    "masked": np.ma.array(SOME, mask=[i % 3 == 0 for i in SOME]),
    "backwards": np.array(SOME)[::-1],
    "swapped": np.array(SOME, dtype=">i4"),
    "two dimensions": np.arange(2 * N).reshape(N, 2),
    "characters": np.array([str(i) for i in SOME]),
    "times": np.array([f"2026-11-{1 + i % 30:02}" if i % 6 else "NaT" for i in SOME], dtype="M8[s]"),
    "objects": np.array([i if i % 2 else str(i) for i in SOME], dtype=object),
    "a list": [i if i % 2 else None for i in SOME],
}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_part_of_a_column_is_what_lies_there(name):
    """Pieces of large calls are parts of their columns: the same bytes as of the whole, at every offset."""
    column = COLUMNS[name]
    inputs = {"whole": column, "sliced": column[3:37]}
    if isinstance(column, pa.Array) and "union" not in name:
        inputs["chunked"] = pa.chunked_array([column[:5], column[5:5], column[9:30], column[30:31]], column.type)
    for values in inputs.values():
        whole = list(Json().encode_batch({"f": values}))
        table, alone = as_table({"f": values}), as_column(values, "f")
        assert len(whole) == len(table) == len(alone) == len(values)
        for start, stop in [(0, len(values)), (0, 0), (0, 1), (4, 6), (5, 20), (8, 27), (17, len(values)), (30, 999)]:
            assert list(Json().encode_batch(table[start:stop])) == whole[start:stop]
            part = list(Json().encode_batch({"f": alone[start:stop][1:]})) if start < stop else []
            assert part == whole[start:stop][1:]


@pytest.mark.parametrize("serializer", [Avro("long"), Avro(["null", "long"]), Struct("<q"), Json()], ids=repr)
def test_a_null_of_a_column_of_records_is_a_null_record(serializer):
    rows = [1, None, None, 300, None, -5]
    want = [serializer.encode(row) for row in rows]
    assert want.count(None) == 3
    whole = pa.array([None, *rows, 7])
    columns = [pa.array(rows), whole[1:7], pa.chunked_array([whole[1:3], whole[3:3], whole[3:7]])]
    columns += [pa.array(rows).dictionary_encode(), pd.array(rows, "Int64"), rows]
    for column in columns:
        assert list(serializer.encode_batch(column)) == want
        source = serializer.bind(column)
        assert [list(source.slice(i, j)) for i in range(7) for j in range(i, 7)] == [
            want[i:j] for i in range(7) for j in range(i, 7)
        ]
        largest = max(len(one) for one in want if one is not None)
        assert source.first_over(largest - 1) == (0 if len(want[0]) == largest else 3, largest)
        assert source.first_over(largest) is None


def test_what_is_refused_behind_a_null_is_named():
    with pytest.raises(SerializationError) as caught:
        Avro("int").encode_batch(pa.array([None, 1, None, 2**40]))
    assert caught.value.index == 3
