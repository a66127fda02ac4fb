"""Columns read item by item, as Python objects: types without a native path, and types that a union leaves open."""

from __future__ import annotations

import datetime
import io
import pickle
import struct
from decimal import Decimal

import fastavro
import numpy as np
import pyarrow as pa
import pytest

from twolane import Avro
from twolane.batch import EncodedBatch
from twolane.encoding.byte_columns import bytes_source

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
