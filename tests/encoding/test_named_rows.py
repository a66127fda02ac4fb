"""A row that names its fields is taken by name, whatever its class and wherever it is; others by position."""

from __future__ import annotations

import contextlib
import io
import json
import sqlite3
import time
from collections import OrderedDict, UserDict, namedtuple
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from itertools import permutations
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

import fastavro
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tests.encoding.harness import prepared
from twolane import Avro, Json, SerializationError, Struct

FIELDS = [
    {"name": "a", "type": "long"},
    {"name": "b", "type": ["null", "string"], "default": None},
    {"name": "count", "type": "long", "default": 7},
]
SCHEMA = {"type": "record", "name": "Row", "fields": FIELDS}
LAYOUT = np.dtype([("a", "i4"), ("b", "i4")])


class AlchemyRow(Sequence):
    """As SQLAlchemy's: a sequence with `_fields`, which is no tuple; attributes beside them are its own."""

    def __init__(self, fields):
        self._data = tuple(fields.values())
        self._names = tuple(fields)

    @property
    def _fields(self):
        return self._names

    def _asdict(self):
        return dict(zip(self._names, self._data, strict=True))

    def __getitem__(self, i):
        return self._data[i]

    def __len__(self):
        return len(self._data)


class SparkRow(tuple):
    """As PySpark's: a tuple with `__fields__`."""

    def __new__(cls, fields):
        row = super().__new__(cls, fields.values())
        row.__fields__ = list(fields)
        return row


class Record:
    """As asyncpg's: `keys()` and items by name, and iterates over its values."""

    def __init__(self, fields):
        self._fields_ = fields

    def keys(self):
        return iter(self._fields_)

    def __getitem__(self, name):
        return self._fields_[name]

    def __iter__(self):
        return iter(self._fields_.values())


def of_sqlite(fields):
    names = ", ".join(f"? as {name}" for name in fields)
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.row_factory = sqlite3.Row
        return connection.execute(f"select {names}", tuple(fields.values())).fetchone()


def of_frame(fields):
    frame = pd.DataFrame({name: pd.Series([value], dtype=object) for name, value in fields.items()})
    return next(frame.itertuples(index=False))


def of_numpy(fields):
    types = [(name, "i8" if isinstance(value, int) else object) for name, value in fields.items()]
    return np.array([tuple(fields.values())], types)[0]


KINDS = {
    "dict": dict,
    "OrderedDict": OrderedDict,
    "UserDict": UserDict,
    "mappingproxy": MappingProxyType,
    "namedtuple": lambda fields: namedtuple("Anything", fields)(**fields),
    "itertuples": of_frame,
    "sqlite3.Row": of_sqlite,
    "SQLAlchemy": AlchemyRow,
    "PySpark": SparkRow,
    "keys and items": Record,
    "pandas.Series": lambda fields: pd.Series(fields, dtype=object),
    "numpy": of_numpy,
}
VALUES = {"a": 1, "b": "x", "count": 3}


def rows_of(make):
    """Every order of the fields, every absence of one that has a default, and one field more."""
    for size in (1, 2, 3):
        for names in permutations(VALUES, size):
            if "a" in names:
                yield make({name: VALUES[name] for name in names}), {name: VALUES[name] for name in names}
    yield make({"z": 9, **VALUES}), {"z": 9, **VALUES}


def read(schema, record):
    return fastavro.schemaless_reader(io.BytesIO(record), fastavro.parse_schema(schema))


def full(fields):
    return {"a": fields["a"], "b": fields.get("b"), "count": fields.get("count", 7)}


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_avro_takes_a_row_by_name(make):
    avro = Avro(SCHEMA)
    rows, plain = zip(*rows_of(make), strict=True)
    for row, fields in zip(rows, plain, strict=True):
        assert read(SCHEMA, avro.encode(row)) == full(fields)
        # Of one class, so that attributes may be read in a row; and twice, when the class is known.
        for _ in range(2):
            assert [read(SCHEMA, record) for record in avro.encode_batch([row] * 70)] == [full(fields)] * 70
    assert [read(SCHEMA, record) for record in avro.encode_batch(list(rows) * 9)] == [full(one) for one in plain] * 9


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_avro_takes_a_nested_row_by_name(make):
    inner = {**SCHEMA, "name": "Inner"}
    other = {"type": "record", "name": "Other", "fields": [{"name": "q", "type": "long"}]}
    schema = {
        "type": "record",
        "name": "Outer",
        "fields": [
            {"name": "one", "type": inner},
            {"name": "list", "type": {"type": "array", "items": "Inner"}},
            {"name": "union", "type": ["null", other, "Inner", {"type": "array", "items": "long"}]},
            {"name": "map", "type": {"type": "map", "values": ["null", "Inner"]}},
        ],
    }
    avro = Avro(schema)
    for row, fields in rows_of(make):
        want = full(fields)
        record = avro.encode({"one": row, "list": [row], "union": row, "map": {"k": row}})
        assert read(schema, record) == {"one": want, "list": [want], "union": want, "map": {"k": want}}


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_a_map_takes_a_row_by_name(make):
    avro = Avro({"type": "map", "values": "long"})
    row = make({"b": 2, "a": 1})
    assert read(avro.schema, avro.encode(row)) == {"b": 2, "a": 1}
    assert avro.encode(row) == avro.encode({"b": 2, "a": 1})


@pytest.mark.parametrize("use_orjson", [True, False])
@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_json_writes_a_row_by_name(make, use_orjson, monkeypatch):
    if not use_orjson:
        monkeypatch.setattr("twolane.encoding.json.rows.orjson", None)
    for row, fields in rows_of(make):
        for value, want in ((row, fields), ({"n": [row]}, {"n": [fields]})):
            assert json.loads(Json().encode(value)) == want
            assert [list(json.loads(record)) for record in Json().encode_batch([value] * 3)] == [list(want)] * 3


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_a_layout_with_names_takes_a_row_by_name(make):
    want = np.array([(1, 2)], LAYOUT).tobytes()
    for fields in ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"z": 0, "b": 2, "a": 1}):
        row = make(fields)
        assert Struct(LAYOUT).encode(row) == want
        assert list(Struct(LAYOUT).encode_batch([row, row])) == [want, want]
        assert Struct([("n", LAYOUT), ("m", "i1")]).encode({"n": row, "m": 0}) == want + b"\0"
    with pytest.raises(SerializationError, match="missing") as caught:
        Struct(LAYOUT).encode(make({"b": 2, "c": 1}))
    assert caught.value.field == "a"


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_a_schema_from_examples_takes_a_row_by_name(make):
    rows = [make({"b": "x", "a": 1}), make({"b": "y", "a": 2})]
    avro = Avro.from_example(rows)
    assert [(field["name"], field["type"]) for field in avro.schema["fields"]] == [("b", "string"), ("a", "long")]
    nested = Avro.from_example([{"n": rows[0]}])
    assert read(nested.schema, nested.encode({"n": rows[1]})) == {"n": {"b": "y", "a": 2}}


def test_rows_without_names_are_taken_by_position():
    class Plain(tuple):
        __slots__ = ()

    want = Avro(SCHEMA).encode({"a": 1, "b": "x", "count": 3})
    for row in ((1, "x", 3), Plain((1, "x", 3))):
        assert Avro(SCHEMA).encode(row) == want
        assert Json().encode(row) == b'[1,"x",3]'
    assert Struct("<2i").encode((1, 2)) == Struct("<2i").encode(namedtuple("T", "b a")(1, 2))
    clock = time.gmtime(0)
    assert Avro({"type": "array", "items": "long"}).encode(clock) == Avro({"type": "array", "items": "long"}).encode(
        list(clock)
    )


def test_a_row_that_lost_a_name_is_refused():
    frame = pd.DataFrame({"a": [1], "_id": [2], "my count": [3]})
    schema = {"type": "record", "name": "R", "fields": [FIELDS[0], {"name": "_id", "type": "long", "default": 0}]}
    row = next(frame.itertuples(index=False))
    for call in (
        lambda: Avro(schema).encode(row),
        lambda: Avro({"type": "record", "name": "R", "fields": FIELDS[:1]}).encode_batch([row, row]),
        lambda: Json().encode(row),
        lambda: Struct([("a", "i4")]).encode(row),
        lambda: Avro.from_example([row]),
    ):
        with pytest.raises(SerializationError, match="named tuple that kept its names"):
            call()
    kept = Avro(schema).encode(frame.to_dict("records")[0])
    assert read(schema, kept) == {"a": 1, "_id": 2}


def test_a_row_that_has_a_name_twice_is_refused():
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.row_factory = sqlite3.Row
        row = connection.execute("select 1 as a, 2 as b, 3 as a").fetchone()
    series = pd.Series([1, 2], ["a", "a"])
    for twice in (row, series):
        for call in (Avro(SCHEMA).encode, Json().encode, Struct(LAYOUT).encode, lambda r: Avro.from_example([r])):
            with pytest.raises(SerializationError, match="'a' is there twice"):
                call(twice)


def test_an_object_with_none_of_the_fields_is_no_row():
    schema = {"type": "record", "name": "R", "fields": [{"name": "f", "type": "long", "default": 1}]}
    nested = {"type": "record", "name": "N", "fields": [{"name": "r", "type": schema}]}
    union = {"type": "record", "name": "N", "fields": [{"name": "r", "type": ["null", schema, "string"]}]}
    for value in (Decimal(1), object(), 1j, np.float64(1), frozenset((1,)), bytearray(b"x"), [1], pd.Timestamp(0)):
        for avro in (Avro(schema), Avro(nested), Avro(union)):
            with pytest.raises(SerializationError):
                avro.encode(value if avro.type.name == "R" else {"r": value})
    assert Avro(schema).encode({}) == b"\2"


def test_a_named_tuple_whose_field_is_a_method_of_tuples():
    class Counted(NamedTuple):
        count: int
        index: int

    class Uncounted(NamedTuple):
        index: int

    fields: list[dict[str, Any]] = [{"name": name, "type": "long", "default": -1} for name in ("index", "count")]
    schema = {"type": "record", "name": "R", "fields": fields}
    rows = [Counted(1, 2), Uncounted(5)] * 40
    assert [read(schema, record) for record in Avro(schema).encode_batch(rows)] == [
        {"index": 2, "count": 1},
        {"index": 5, "count": -1},
    ] * 40


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_a_name_in_the_call_is_a_field_of_each_row(make):
    rows = [make({"at": 1_700_000_000_000 + i, "count": i, "k": f"key {i}"}) for i in range(2)]
    call = prepared(values=rows, keys="k", timestamps="at", serializer=Json())
    assert list(call.keys.slice(0, 2)) == [b"key 0", b"key 1"]
    assert call.timestamps.tolist() == [1_700_000_000_000, 1_700_000_000_001]
    with pytest.raises(SerializationError, match="names no column"):
        prepared(values=rows, keys="nothing", serializer=Json())


@pytest.mark.parametrize(
    "value", [pd.Series([1, 2]), pd.Series([1], [0.5]), pd.DataFrame({"a": [1]})], ids=["series", "floats", "frame"]
)
def test_what_has_other_labels_than_text_is_no_row(value):
    schema = {"type": "record", "name": "R", "fields": [{"name": "size", "type": "long", "default": -1}]}
    for call in (
        Avro(schema).encode,
        Avro(["null", schema]).encode,
        Json().encode,
        lambda row: Json().encode({"n": row}),
        Struct([("size", "i4"), ("ndim", "i4")]).encode,
        lambda row: Avro.from_example([row]),
    ):
        with pytest.raises(SerializationError):
            call(value)


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (date(2024, 1, 2), ("year", "month")),
        (datetime(2024, 1, 2, tzinfo=UTC), ("year", "hour")),
        (timedelta(3, 4), ("days", "seconds")),
        (UUID(int=5), ("node", "version")),
        (Fraction(1, 2), ("numerator", "denominator")),
        (Enum("E", [("ONE", 1)])(1), ("value",)),
        (np.int64(3), ("size", "ndim")),
        (np.datetime64("2024-01-01"), ("size", "ndim")),
        (np.arange(3), ("size", "ndim")),
        (np.ma.array([1, 2]), ("size", "ndim")),
        (pd.Index([1]), ("size", "ndim")),
        (pd.Categorical(["a"]), ("size", "ndim")),
        (pl.DataFrame({"width": [5], "height": [6]}), ("width", "height")),
        (pa.table({"num_rows": [9]}), ("num_rows", "num_columns")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_attributes_of_values_and_containers_are_no_fields(value, names):
    record = {"type": "record", "name": "R", "fields": [{"name": name, "type": "long", "default": 7} for name in names]}
    outer = {"type": "record", "name": "O", "fields": [{"name": "r", "type": ["null", record]}]}
    for schema, row in ((record, value), (outer, {"r": value})):
        with pytest.raises(SerializationError, match="expected"):
            Avro(schema).encode(row)
        with pytest.raises(SerializationError, match="record 0"):
            Avro(schema).encode_batch([row])
    if len(names) > 1:
        with pytest.raises(SerializationError, match="expected"):
            Struct([(name, ">i4") for name in names]).encode(value)


def test_a_record_of_a_masked_array_is_taken_by_name():
    """Its attributes are those of an array, its masked fields are missing."""
    dtype = [("size", "i4"), ("n", [("ndim", "i2"), ("b", "i2")])]
    rows = list(np.ma.array([(1, (2, 3)), (4, (5, 6))], dtype=dtype, mask=[(1, (0, 1)), (0, (0, 0))]))
    want = [{"size": None, "n": {"ndim": 2, "b": None}}, {"size": 4, "n": {"ndim": 5, "b": 6}}]
    assert [json.loads(record) for record in Json().encode_batch(rows)] == want
    assert [json.loads(Json().encode(row)) for row in rows] == want
    maybe = ["null", "long"]
    inner = {"type": "record", "name": "N", "fields": [{"name": "ndim", "type": maybe}, {"name": "b", "type": maybe}]}
    schema = {"type": "record", "name": "R", "fields": [{"name": "size", "type": maybe}, {"name": "n", "type": inner}]}
    written = list(Avro(schema).encode_batch(rows))
    assert [fastavro.schemaless_reader(io.BytesIO(record), schema) for record in written] == want
    assert Struct([("size", ">i4")]).encode(rows[1]) == b"\0\0\0\4"
    with pytest.raises(SerializationError, match="field 'size'"):
        Struct([("size", ">i4")]).encode(rows[0])
