"""Durations and UUIDs, from rows and from columns of every kind; and which row of a column is refused."""

import ctypes
import struct
import uuid
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.encoding.avro.test_columns import FIELDS
from tests.encoding.tally import batch, batches_of
from twolane.errors import SerializationError
from twolane.serializers import Avro

LOGICAL = "logicalType"
DURATION = {"type": "fixed", "name": "D", "size": 12, LOGICAL: "duration"}
UUIDS = [{"type": "string", LOGICAL: "uuid"}, {"type": "fixed", "name": "U", "size": 16, LOGICAL: "uuid"}]


def field(type_):
    return Avro({"type": "record", "name": "R", "fields": [{"name": "f", "type": type_}]})


def encoded(type_, column):
    return list(field(type_).encode_batch({"f": column}))


def parts(months, days, millis):
    return struct.pack("<3I", months, days, millis)


spans = st.integers(0, 2**60).map(lambda us: timedelta(microseconds=us))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@batches_of(20)
@given(data=st.data())
def test_durations(tally, unit, data):
    per_second = {"s": 1, "ms": 1000, "us": 10**6, "ns": 10**9}[unit]
    ticks = data.draw(batch(st.integers(0, min(2**63 - 1, 2**32 * 86_400 * per_second - 1)), 60))
    want = []
    for tick in ticks:
        days, rest = divmod(tick, 86_400 * per_second)
        want.append(parts(0, days, rest * 1000 // per_second))
    array = np.array(ticks, dtype=f"m8[{unit}]")
    arrow = pa.array(ticks, pa.duration(unit))
    for column in (arrow, arrow.dictionary_encode(), array, array.astype(array.dtype.newbyteorder()), list(array)):
        assert encoded(DURATION, column) == want
    tally.add(len(ticks))


class Relabelled:
    """Lends an Arrow array under another format: pyarrow has no type for the older intervals."""

    def __init__(self, array, form):
        self.array, self.form = array, form

    def __arrow_c_array__(self, requested_schema=None):
        schema, array = self.array.__arrow_c_array__()
        address = ctypes.pythonapi.PyCapsule_GetPointer
        address.restype, address.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
        ctypes.c_char_p.from_address(address(schema, b"arrow_schema")).value = self.form  # the struct's first member
        return schema, array


def test_every_form_of_a_duration():
    assert encoded(DURATION, [(1, 2, 3), [1, 2, 3], parts(1, 2, 3)]) == [parts(1, 2, 3)] * 3
    intervals = pa.array([(1, 2, 3_999_999), None, (2**31 - 1, 0, 2**62)], pa.month_day_nano_interval())
    assert encoded(DURATION, intervals[:1]) == [parts(1, 2, 3)]
    assert encoded(["null", DURATION], intervals[:2]) == [b"\2" + parts(1, 2, 3), b"\0"]
    assert encoded(DURATION, intervals[:1].to_pylist()) == [parts(1, 2, 3)]  # nanoseconds in the third place
    assert encoded(DURATION, np.array([3, 14], "m8[M]")) == [parts(3, 0, 0), parts(14, 0, 0)]
    assert encoded(["null", DURATION], np.array([3, "NaT"], "m8[Y]")) == [b"\2" + parts(36, 0, 0), b"\0"]
    assert encoded(DURATION, np.array([2], "m8[W]")) == [parts(0, 14, 0)]
    assert encoded(DURATION, np.array([1], "m8[7us]")) == [parts(0, 0, 0)]
    assert encoded(DURATION, np.array([1999], "m8[us]")) == encoded(DURATION, [timedelta(microseconds=1999)])
    assert encoded(DURATION, pd.Series([timedelta(days=1, milliseconds=5)])) == [parts(0, 1, 5)]
    assert (
        encoded(DURATION, [pd.Timedelta(days=1, milliseconds=5), np.timedelta64(86_400_005, "ms")])
        == [parts(0, 1, 5)] * 2
    )


def test_the_older_intervals_of_arrow():
    days = pa.array([7 | 8 << 32, 1, -1 << 32, 9])
    assert encoded(DURATION, Relabelled(days[:2], b"tiD")) == [parts(0, 7, 8), parts(0, 1, 0)]
    months = pa.array([0, 5, -1], pa.int32())
    assert encoded(DURATION, Relabelled(months[1:2], b"tiM")) == [parts(5, 0, 0)]
    for column in (Relabelled(days, b"tiD"), Relabelled(months, b"tiM")):
        with pytest.raises(SerializationError, match="months, days and milliseconds from 0") as caught:
            encoded(DURATION, column)
        assert caught.value.index == 2


@pytest.mark.parametrize(
    "column",
    [
        [timedelta(1), timedelta(-1)],
        [(0, 0, 0), (0, 0, 2**32)],
        [(0, 0, 0), (0, 0)],
        [(0, 0, 0), (0, 0, True)],
        [np.timedelta64(1, "D"), np.timedelta64("NaT", "D")],
        [np.timedelta64(1, "D"), np.int64(5).view("m8")],
        np.array([0, -1], "m8[s]"),
        np.array([0, "NaT"], "m8[s]"),
        np.array([0, 2**62], "m8[W]"),
        np.array([0, 2**40], "m8[Y]"),
        pa.array([0, -1], pa.duration("ns")),
        pa.array([0, 2**62], pa.duration("s")),
        pa.array([(0, 0, 0), (0, -1, 0)], pa.month_day_nano_interval()),
        pa.array([(0, 0, 0), (0, 0, 2**63 - 1)], pa.month_day_nano_interval()),
        pa.array([0, None], pa.duration("ns")),
    ],
)
def test_refused_durations(column):
    with pytest.raises(SerializationError, match=r"timedelta|months, days") as caught:
        encoded(DURATION, column)
    assert (caught.value.index, caught.value.field) == (1, "f")
    assert len(caught.value.value_text) <= 40


@pytest.mark.parametrize("type_", UUIDS, ids=["text", "bytes"])
def test_uuids_of_every_column(type_):
    values = [uuid.uuid4() for _ in range(20)]
    want = encoded(type_, values)
    assert want == [b"\x48" + str(v).encode() if type_["type"] == "string" else v.bytes for v in values]
    texts = [str(value) for value in values]
    plain = [value.bytes for value in values]
    for column in (
        pa.array(texts), pa.array(texts, pa.large_string()), pa.array(texts, pa.string_view()),
        pa.array(texts).dictionary_encode(), np.array(texts), np.array(texts, "S"), texts,
        [text.upper() for text in texts], pa.array([f"{{{text}}}" for text in texts]),
        pa.array(plain, pa.binary(16)), pa.array(plain), pa.array(plain, pa.uuid()), np.array(plain, "V16"), plain,
    ):  # fmt: skip
        assert encoded(type_, column) == want
        assert encoded(["null", type_], column) == [b"\2" + one for one in want]
    for column in (
        pa.array([*texts, "0" * 36]),
        np.array([*texts, "x"], "S36"),
        pa.array([*plain, None], pa.binary(16)),
    ):
        with pytest.raises(SerializationError, match="expected UUID") as caught:
            encoded(type_, column)
        assert caught.value.index == len(values)


@given(st.data())
def test_the_row_that_is_refused_is_the_one_that_is_wrong(data):
    """A column that C code could write but for one null is read again by Python, which must take all its other rows."""
    avro, types, values = data.draw(st.sampled_from([*FIELDS, *MORE]))
    type_ = data.draw(st.sampled_from(types))
    good = data.draw(st.lists(values, max_size=5))
    nested = data.draw(st.booleans())
    column = pa.array([*good, None, *good], type_)
    if nested:
        avro = {"type": "record", "name": "Out", "fields": [{"name": "in", "type": avro}]}
        column = pa.StructArray.from_arrays([column], ["in"])
    with pytest.raises(SerializationError) as caught:
        encoded(avro, column)
    assert (caught.value.index, caught.value.field) == (len(good), "f.in" if nested else "f")
    assert caught.value.value_text == "None"


MORE = [
    ({"type": "long", LOGICAL: "timestamp-millis"}, [pa.date32(), pa.date64()], st.dates()),
    (
        {"type": "long", LOGICAL: "local-timestamp-nanos"},
        [pa.timestamp("s")],
        st.just(datetime.fromisoformat("2026-01-01")),
    ),
    ({"type": "long", LOGICAL: "timestamp-nanos"}, [pa.date32()], st.dates(date(1700, 1, 1), date(2200, 1, 1))),
    ({"type": "int", LOGICAL: "date"}, [pa.timestamp("s")], st.just(datetime.fromisoformat("1900-01-01"))),
    ({"type": "int", LOGICAL: "time-millis"}, [pa.time32("s"), pa.time32("ms")], st.just(time(1, 2, 3))),
    (
        {"type": "bytes", LOGICAL: "decimal", "precision": 10, "scale": 2},
        [pa.decimal128(9, 2)],
        st.just(Decimal("1.25")),
    ),
    (DURATION, [pa.duration("us")], spans),
    (DURATION, [pa.month_day_nano_interval()], st.just((1, 2, 3))),
    (UUIDS[0], [pa.string(), pa.large_string()], st.uuids().map(str)),
    (UUIDS[0], [pa.binary(16), pa.binary()], st.uuids().map(lambda value: value.bytes)),
    ("string", [pa.binary(), pa.large_binary(), pa.binary_view()], st.just(b"abc")),
    ({"type": "enum", "name": "Y", "symbols": ["A"]}, [pa.binary()], st.just(b"A")),
    ({"type": "map", "values": "long"}, [pa.map_(pa.binary(), pa.int64())], st.just([(b"a", 1)])),
    ("double", [pa.int64(), pa.uint64()], st.integers(0, 9)),
]


@pytest.mark.parametrize("unit", ["Y", "M", "W", "3D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as"])
@pytest.mark.parametrize("logical", ["date", "timestamp-millis", "timestamp-micros", "timestamp-nanos"])
def test_datetime64_of_every_unit_alike_as_column_and_as_rows(unit, logical):
    ticks = [0, 1, -1, 7, -1001, 10**6, 2**31, -(2**40), 2**55, 2**57, -(2**61), 2**62, -(2**63) + 1]
    type_ = {"type": "int" if logical == "date" else "long", LOGICAL: logical}
    for tick in ticks:
        outcomes = []
        column = np.array([tick], f"M8[{unit}]")
        for values in (
            column,
            column.astype(column.dtype.newbyteorder()),
            list(column),
            np.concatenate([column, column]),
        ):
            try:
                outcomes.append(encoded(type_, values)[0])
            except SerializationError as error:
                outcomes.append(error.index)
        assert outcomes == outcomes[:1] * 4
        scale = SECONDS.get(unit)
        if scale is not None:
            want = tick * scale // {"date": 86_400, "millis": Fraction(1, 1000), "micros": Fraction(1, 10**6),
                                    "nanos": Fraction(1, 10**9)}[logical.rpartition("-")[2]]  # fmt: skip
            good = -(2**31) <= want < 2**31 if logical == "date" else -(2**63) <= want < 2**63
            assert outcomes[0] == (Avro(type_["type"]).encode(want) if good else 0)


SECONDS = {"W": 604_800, "3D": 259_200, "h": 3600, "m": 60, "s": 1} | {
    unit: Fraction(1, 1000**i) for i, unit in enumerate(["ms", "us", "ns", "ps", "fs", "as"], 1)
}
