"""Durations and UUIDs, from rows and from columns of every kind that holds them; and which row of a column is refused."""

import struct
import uuid
from datetime import date, time, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.encoding.tally import batch, batches_of
from tests.encoding.test_avro_columns import FIELDS
from twolane.errors import SerializationError
from twolane.serializers import Avro

LOGICAL = "logicalType"
DURATION = {"type": "fixed", "name": "D", "size": 12, LOGICAL: "duration"}
UUIDS = [{"type": "string", LOGICAL: "uuid"}, {"type": "fixed", "name": "U", "size": 16, LOGICAL: "uuid"}]
MS = timedelta(milliseconds=1)


def field(type_):
    return Avro({"type": "record", "name": "R", "fields": [{"name": "f", "type": type_}]})


def encoded(type_, column):
    return list(field(type_).encode_batch({"f": column}))


def parts(months, days, millis):
    return struct.pack("<3I", months, days, millis)


spans = st.integers(0, 2**62).map(lambda us: timedelta(microseconds=us))


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
    for column in (pa.array(ticks, pa.duration(unit)), array, array.astype(array.dtype.newbyteorder()), list(array)):
        assert encoded(DURATION, column) == want
    tally.add(len(ticks))


def test_every_form_of_a_duration():
    assert encoded(DURATION, [(1, 2, 3), [1, 2, 3], parts(1, 2, 3)]) == [parts(1, 2, 3)] * 3
    intervals = pa.array([(1, 2, 3_999_999), None, (2**31 - 1, 0, 2**62)], pa.month_day_nano_interval())
    assert encoded(DURATION, intervals[:1]) == [parts(1, 2, 3)]
    assert encoded(["null", DURATION], intervals[:2]) == [b"\2" + parts(1, 2, 3), b"\0"]
    assert encoded(DURATION, intervals[:1].to_pylist()) == [parts(1, 2, 3)]     # nanoseconds in the third place
    assert encoded(DURATION, np.array([3, 14], "m8[M]")) == [parts(3, 0, 0), parts(14, 0, 0)]
    assert encoded(["null", DURATION], np.array([3, "NaT"], "m8[Y]")) == [b"\2" + parts(36, 0, 0), b"\0"]
    assert encoded(DURATION, np.array([2], "m8[W]")) == [parts(0, 14, 0)]
    assert encoded(DURATION, np.array([1], "m8[7us]")) == [parts(0, 0, 0)]
    assert encoded(DURATION, np.array([1999], "m8[us]")) == encoded(DURATION, [timedelta(microseconds=1999)])
    assert encoded(DURATION, pd.Series([timedelta(days=1, milliseconds=5)])) == [parts(0, 1, 5)]
    assert encoded(DURATION, [pd.Timedelta(days=1, milliseconds=5), np.timedelta64(86_400_005, "ms")]) == [parts(0, 1, 5)] * 2
    days = pa.Array.from_buffers(pa.int64(), 2, [None, pa.array([7, 8, -1, 9], pa.int32()).buffers()[1]])
    assert field(DURATION).encode_batch({"f": Interval(days, "tiD")})[0] == parts(0, 7, 8)
    with pytest.raises(SerializationError) as caught:
        encoded(DURATION, Interval(days, "tiD"))
    assert caught.value.index == 1
    months = pa.array([5, -1], pa.int32())
    assert encoded(DURATION, Interval(months[:1], "tiM")) == [parts(5, 0, 0)]


class Interval:
    """Lends an Arrow array under another format: pyarrow has no type for the older intervals."""
