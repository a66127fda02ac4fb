"""Every kind of value in every place: it is encoded or refused by name, never answered by another error or a crash."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import datetime
import decimal
import enum
import fractions
import uuid
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from twolane.encoding.time.timestamps import pack_timestamps
from twolane.errors import SerializationError, TimestampError
from twolane.serializers import Avro, Bytes, Json, Struct


class Unprintable:
    def __repr__(self):
        raise RuntimeError("no repr")


class Word(str):
    pass


class Number(int):
    pass


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Point:
    x: object


def released():
    view = memoryview(bytearray(b"abc"))
    view.release()
    return view


def endless():
    rows = []
    rows.append(rows)
    table = {"a": rows}
    table["b"] = table
    return [rows, table]


EAST, WEST = (datetime.timezone(datetime.timedelta(hours=hours)) for hours in (23, -23))
BC = datetime.datetime.fromisoformat("0001-01-01")
HOSTILE = [
    None, True, 0, -1, 2**31, 2**63, 2**64, -(2**64), 10**5000, Number(5), 0.0, float("nan"), float("inf"), 1e300, 1j,
    "", "a", "\ud800", "a\ud800" * 30, "\0", "x" * 100_000, Word("a"), b"", b"a", b"x" * 100_000, bytearray(b"ab"),
    memoryview(b"abcd")[::2], memoryview(b"abcdefgh").cast("i"), np.arange(6).data, released(),
    [], [1], ["a"], (), (1,), ("a", 1), ("int", 5), ("R", {"f": 1}), {}, {"a": 1}, {1: 1}, {"f": 1},
    {"-type": "R", "f": 1}, {"\ud800": 1}, {"k" * 1000: object()}, {Unprintable(): 1}, {(1, 2): 3}, {10**5000: 1},
    set(), {1}, frozenset("ab"),
    range(3), iter([1]), object(), Unprintable(), [Unprintable()], Point(1), Point, Point(Unprintable()),
    SimpleNamespace(f=1), int, len, Colour.RED, Colour, collections.UserDict(f=1), collections.OrderedDict(f=1),
    collections.deque([1]), fractions.Fraction(1, 3), Ellipsis,
    decimal.Decimal(1), decimal.Decimal("1" * 5000), decimal.Decimal("NaN"), decimal.Decimal("sNaN"),
    decimal.Decimal("-0"), decimal.Decimal("Infinity"), decimal.Decimal("1e99999"), decimal.Decimal("1e-99999"),
    decimal.Decimal("1e-5000"),
    BC, BC.replace(tzinfo=datetime.UTC), BC.replace(tzinfo=EAST), datetime.datetime(9999, 12, 31, 23, tzinfo=WEST),
    datetime.date.min, datetime.date.max, datetime.time.max, datetime.time(1, tzinfo=datetime.UTC),
    datetime.timedelta.min, datetime.timedelta.max, datetime.timedelta(-1), uuid.UUID(int=0),
    pd.NaT, pd.NA, pd.Timestamp.max, pd.Timedelta(1), np.datetime64("NaT", "s"), np.datetime64("2026"),
    np.datetime64(2**62, "D"), np.datetime64(-(2**62), "Y"), np.datetime64(2**62, "as"), np.timedelta64("NaT", "s"),
    np.timedelta64(2**62, "W"), np.int64(-1), np.uint64(2**64 - 1), np.float16(1), np.longdouble(1), np.bool_(True),
    np.str_("\ud800"), np.bytes_(b"a"), np.void(b"abc"), np.zeros(()), np.zeros((2, 2)),
    np.zeros(3, dtype=[("a", "i4")]), np.zeros(0), np.array([object()]), *endless(),
]  # fmt: skip

LOGICAL = "logicalType"
TYPES = [
    "null", "boolean", "int", "long", "float", "double", "bytes", "string",
    {"type": "fixed", "name": "F", "size": 2}, {"type": "enum", "name": "E", "symbols": ["a", "RED"]},
    {"type": "array", "items": "int"}, {"type": "array", "items": {"type": "array", "items": "string"}},
    {"type": "map", "values": "int"}, {"type": "record", "name": "In", "fields": [{"name": "f", "type": "int"}]},
    {"type": "record", "name": "In", "fields": [{"name": "a", "type": ["null", "R"], "default": None}]},
    ["null", "int"], ["int", "string", "bytes", {"type": "map", "values": "double"}], ["string", "R"],
    [{"type": "int", LOGICAL: "date"}, {"type": "long", LOGICAL: "timestamp-micros"},
     {"type": "string", LOGICAL: "uuid"}],
    {"type": "bytes", LOGICAL: "decimal", "precision": 40, "scale": 6},
    {"type": "fixed", "name": "D", "size": 3, LOGICAL: "decimal", "precision": 6, "scale": 0},
    {"type": "string", LOGICAL: "uuid"}, {"type": "fixed", "name": "U", "size": 16, LOGICAL: "uuid"},
    {"type": "int", LOGICAL: "date"}, {"type": "int", LOGICAL: "time-millis"}, {"type": "long", LOGICAL: "time-micros"},
    *({"type": "long", LOGICAL: f"{local}timestamp-{unit}"}
      for local in ("", "local-") for unit in ("millis", "micros", "nanos")),
    {"type": "fixed", "name": "T", "size": 12, LOGICAL: "duration"},
]  # fmt: skip


def outcome(call, *arguments):
    """Give None for what was encoded, the error for what was refused; whatever else is raised goes on."""
    try:
        call(*arguments)
    except (SerializationError, TimestampError) as error:
        return error
    return None


def assert_says_where(error, index, field):
    assert error.index == index
    assert error.field.startswith(field)
    assert len(error.field) < 200
    assert error.value_text is None or len(error.value_text) <= 40
    assert "expected" in str(error)


@pytest.mark.parametrize("type_", TYPES, ids=str)
def test_avro(type_):
    avro = Avro({"type": "record", "name": "R", "fields": [{"name": "f", "type": type_}]})
    for value in HOSTILE:
        alone = outcome(avro.encode, {"f": value})
        rows = outcome(avro.encode_batch, [{"f": value}])
        column = outcome(avro.encode_batch, {"f": [value]})
        assert (alone is None) == (rows is None) == (column is None)
        if alone is not None:
            assert_says_where(alone, None, "f")
            assert_says_where(rows, 0, "f")
            assert_says_where(column, 0, "f")
        outcome(avro.encode, value)
        outcome(avro.encode_batch, [value])


@pytest.mark.parametrize("options", [{}, {"binary": "base64"}, {"nan": "error"}], ids=str)
def test_json(options):
    for value in HOSTILE:
        rows = outcome(Json(**options).encode_batch, [{}, {"f": [0, value]}])
        column = outcome(Json(**options).encode_batch, {"f": [0, value]})
        assert (rows is None) == (column is None)
        if rows is not None:
            assert_says_where(rows, 1, "f[1]")
            assert_says_where(column, 1, "f")


LAYOUTS = [
    "b", "Q", "f", "d", "?", "e", "3s", *map(np.dtype, ["U2", "V2", "M8[ns]", "m8[s]"]),
    np.dtype([("f0", "i4", (2,))]), np.dtype([("f0", "i1", (2, 2))]), np.dtype([("f0", [("a", "i4"), ("b", "S2")])]),
]  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_struct(layout):
    serializer = Struct(layout)
    for value in HOSTILE:
        rows = outcome(serializer.encode_batch, [{"f0": value}])
        column = outcome(serializer.encode_batch, {"f0": [value]})
        assert (rows is None) == (column is None)
        if rows is not None:
            assert_says_where(rows, 0, "f0")
            assert_says_where(column, 0, "f0")
        outcome(serializer.encode, value)


def test_bytes():
    for value in HOSTILE:
        refused = outcome(Bytes().encode_batch, [b"", value])
        assert refused is None or refused.index == 1
        outcome(Bytes().encode, value)


def test_timestamps():
    for value in HOSTILE:
        for options in ({}, {"unit": "ns"}, {"naive": "utc"}, {"guard": False}):
            refused = outcome(lambda value, options: pack_timestamps([0.5e9, value], **options), value, options)
            assert refused is None or refused.index is not None


def test_whole_inputs():
    serializers = [Bytes(), Json(), Struct("q"), Avro("long"), Avro({"type": "record", "name": "R", "fields": []})]
    for value in HOSTILE:
        for serializer in serializers:
            outcome(serializer.encode_batch, value)
        with contextlib.suppress(ValueError):
            pack_timestamps(value)
