"""Schemas inferred from data take that data, and fastavro reads it back."""

import copy
import io
import uuid
from collections import namedtuple
from datetime import UTC, date, datetime, time
from decimal import Decimal

import fastavro
import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from twolane.errors import SerializationError
from twolane.serializers import Avro

NOW = datetime(2026, 11, 23, 12, 0, 0, 5, UTC)
ROWS = [
    {"id": 1, "name": "a", "temp": 1, "tags": ["x"], "in": {"a": 1}, "when": NOW, "price": Decimal("1.25"), "on": True},
    {"id": 2, "name": None, "temp": 1.5, "tags": [], "in": {"a": 2, "b": b"x"}, "when": NOW, "price": Decimal("100"),
     "on": False, "day": date(2026, 1, 1), "clock": time(1), "key": uuid.UUID(int=5), "mixed": "text"},
    {"id": 3, "name": "b", "temp": 2, "tags": ["y", "z"], "in": {"a": 3}, "when": NOW, "price": Decimal("0.5"),
     "on": True, "mixed": 5},
]  # fmt: skip


def read_all(avro, batch):
    schema = fastavro.parse_schema(copy.deepcopy(avro.schema))
    return [fastavro.schemaless_reader(io.BytesIO(record), schema, None) for record in batch]


def test_from_example():
    avro = Avro.from_example(ROWS, name="n")
    got = read_all(avro, avro.encode_batch(ROWS))
    for row, want in zip(got, ROWS, strict=True):
        assert row["in"]["a"] == want["in"]["a"]
        for name in ("id", "name", "temp", "tags", "when", "price", "on"):
            assert row[name] == want[name]
    types = {field["name"]: field["type"] for field in avro.schema["fields"]}
    assert types["id"] == "long"
    assert types["name"] == ["null", "string"]
    assert types["temp"] == "double"
    assert types["price"] == {"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 2}
    assert types["mixed"] == ["null", "string", "long"]
    point = namedtuple("point", "x y")
    assert Avro.from_example([point(1, "a")]).encode(point(1, "a")) == b"\x02\x02a"
    for wrong in ([], [5], [{"a": object()}], [{"a b": 1}]):
        with pytest.raises(SerializationError):
            Avro.from_example(wrong)


def test_from_arrow():
    table = pa.table(
        {
            "i": pa.array([1, None], pa.int16()),
            "l": pa.array([1, 2], pa.uint64()),
            "s": pa.array(["a", None]).dictionary_encode(),
            "t": pa.array([NOW, NOW], pa.timestamp("us", "UTC")),
            "w": pa.array([NOW, NOW], pa.timestamp("ns")),
            "d": pa.array([Decimal("1.25"), None]),
            "f": pa.array([b"ab", b"cd"], pa.binary(2)),
            "list": pa.array([[1.5], None]),
            "map": pa.array([{"a": 1}, {}], pa.map_(pa.string(), pa.int32())),
            "st": pa.array([{"x": 1, "y": {"z": "a"}}, None]),
        }
    )
    for lender in (table.schema, table, table.to_batches()[0]):
        avro = Avro.from_arrow(lender, name="Top")
        got = read_all(avro, avro.encode_batch(table))
        assert [row["i"] for row in got] == [1, None]
        assert [row["s"] for row in got] == ["a", None]
        assert got[0]["t"] == NOW
        assert got[0]["d"] == Decimal("1.25")
        assert got[0]["st"] == {"x": 1, "y": {"z": "a"}}
        assert got[0]["map"] == {"a": 1}
        assert got[1]["list"] is None
    frame = pl.DataFrame({"a": [1], "b": ["x"]})
    assert read_all(Avro.from_arrow(frame), Avro.from_arrow(frame).encode_batch(frame)) == [{"a": 1, "b": "x"}]
    for wrong in (pa.schema([("a b", pa.int8())]), pa.schema([("a", pa.duration("s"))])):
        with pytest.raises(SerializationError):
            Avro.from_arrow(wrong)
    with pytest.raises(TypeError, match="Arrow"):
        Avro.from_arrow(5)


def test_from_dtype():
    dtype = np.dtype(
        [("a", "i2"), ("b", "u4"), ("c", "f4"), ("d", "S3"), ("e", "U3"), ("f", "?"), ("g", "M8[ns]"), ("h", "M8[D]"),
         ("i", "V2"), ("j", "f8", (2,)), ("k", [("x", "i8")])]
    )  # fmt: skip
    array = np.zeros(2, dtype=dtype)
    array["g"] = "2026-01-01"
    array["h"] = "2026-01-01"
    avro = Avro.from_dtype(dtype)
    got = read_all(avro, avro.encode_batch(array))
    assert got[0]["k"] == {"x": 0}
    assert got[0]["h"] == date(2026, 1, 1)
    assert got[0]["j"] == [0.0, 0.0]
    assert Avro.from_dtype("i8").schema == "long"
    for wrong in ("c16", [("a", "m8[s]")]):
        with pytest.raises(SerializationError):
            Avro.from_dtype(wrong)
