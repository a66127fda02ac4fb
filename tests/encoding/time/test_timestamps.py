"""pack_timestamps against datetime, numpy, pandas, pyarrow and polars."""

from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.encoding.tally import batch, batches_of
from twolane.encoding.time.timestamps import pack_timestamp, pack_timestamps, timestamp_column
from twolane.errors import TimestampError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOON = datetime(2026, 11, 23, 12, 0, 0, 123_999, tzinfo=UTC)
NOON_MS = 1_795_435_200_123


# Hypothesis and the naive tests need wall clocks.
FIRST = datetime.fromisoformat("1970-01-03")
LAST = datetime.fromisoformat("9999-12-29")


def exact_ms(value):
    return (value - EPOCH) // timedelta(milliseconds=1)


zones = st.one_of(
    st.just(UTC),
    st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes))),
    st.sampled_from([ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York"), ZoneInfo("Australia/Lord_Howe")]),
)


@batches_of(40)
@given(batch(st.datetimes(FIRST, LAST, timezones=zones), 100))
def test_aware_datetimes(tally, values):
    assert pack_timestamps(values).tolist() == [exact_ms(value) for value in values]
    assert [pack_timestamp(value) for value in values] == [exact_ms(value) for value in values]
    tally.add(len(values))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns", "m", "h", "D", "W"])
@batches_of(40)
@given(st.data())
def test_datetime64_of_every_unit(tally, unit, data):
    per_ms = np.timedelta64(1, unit) / np.timedelta64(1, "ms")
    low = 1 if per_ms >= 1 else round(1 / per_ms)
    high = int((2**63 - 1) / max(per_ms, 1) * 0.99)
    ticks = data.draw(batch(st.integers(low, high), 100))
    array = np.array(ticks, dtype=np.int64).view(f"M8[{unit}]")
    want = [tick * int(per_ms) if per_ms >= 1 else tick // round(1 / per_ms) for tick in ticks]
    assert pack_timestamps(array).tolist() == want
    assert pack_timestamps(array[::-1]).tolist() == want[::-1]
    assert pack_timestamps(array.astype(array.dtype.newbyteorder())).tolist() == want
    tally.add(len(ticks))


@pytest.mark.parametrize(
    "values",
    [
        [NOON],
        (NOON,),
        iter([NOON]),
        [NOON_MS],
        [np.int64(NOON_MS)],
        [float(NOON_MS) / 1000],
        [np.datetime64("2026-11-23T12:00:00.123999")],
        [pd.Timestamp(NOON)],
        np.array([NOON], dtype=object),
        np.array(["2026-11-23T12:00:00.123999999"], dtype="M8[ns]"),
        np.array([NOON_MS / 1000]),
        pd.Series([NOON]),
        pd.DatetimeIndex([NOON]),
        pd.Series([pd.Timestamp("2026-11-23T12:00:00.123999", tz="UTC")]),
        pa.array([NOON], pa.timestamp("us", "Europe/Berlin")),
        pa.array([NOON], pa.timestamp("ns", "UTC")),
        pa.chunked_array([pa.array([], pa.timestamp("ns", "UTC")), pa.array([NOON], pa.timestamp("ns", "UTC"))]),
        pl.Series([NOON]),
    ],
    ids=lambda values: type(values).__name__ + str(getattr(values, "dtype", "")),
)
def test_inputs(values):
    packed = pack_timestamps(values)
    assert packed.dtype == np.int64
    assert packed.tolist() == [NOON_MS]


@pytest.mark.parametrize("unit", ["Y", "M", "7D", "ps"])
def test_rare_units(unit):
    times = np.array(["1970-03-05T00:00:09.001", "1971-01-01"], "M8[ms]")
    times = times[{"Y": slice(1, None), "ps": slice(0, 1)}.get(unit, slice(None))].astype(f"M8[{unit}]")
    want = times.astype("M8[ms]").astype(np.int64).tolist()
    for values in (times, times.astype(times.dtype.newbyteorder()), list(times)):
        assert pack_timestamps(values).tolist() == want


def test_dates():
    day = exact_ms(datetime(2026, 11, 23, tzinfo=UTC))
    for values in ([date(2026, 11, 23)], pa.array([date(2026, 11, 23)]), pa.array([date(2026, 11, 23)], pa.date64())):
        assert pack_timestamps(values).tolist() == [day]


@pytest.mark.parametrize(
    ("unit", "value"), [("s", NOON_MS // 1000), ("us", NOON_MS * 1000 + 999), ("ns", NOON_MS * 10**6)]
)
def test_numbers_with_a_unit(unit, value):
    want = NOON_MS // 1000 * 1000 if unit == "s" else NOON_MS
    assert pack_timestamps([value], unit).tolist() == [want]
    assert pack_timestamps(np.array([value]), unit).tolist() == [want]
    assert pack_timestamps(pa.array([value]), unit).tolist() == [want]


def test_floats_keep_the_millisecond_that_was_written():
    for ms in range(1_700_000_000_000, 1_700_000_001_000):
        assert pack_timestamp(ms / 1000) == ms
    assert pack_timestamp(1_700_000_000.123999) == 1_700_000_000_123


def test_naive_needs_a_policy():
    naive = datetime.fromisoformat("2026-07-01T12:00")
    with pytest.raises(TimestampError, match="time zone"):
        pack_timestamps([naive])
    assert pack_timestamps([naive], naive="utc").tolist() == [exact_ms(naive.replace(tzinfo=UTC))]
    assert pack_timestamps([naive], naive="local").tolist() == [exact_ms(naive.astimezone(UTC))]
    with pytest.raises(ValueError, match="naive"):
        pack_timestamps([naive], naive="gmt")


@pytest.mark.parametrize(
    ("values", "index"),
    [
        ([NOON, None], 1),
        ([NOON, pd.NaT], 1),
        ([NOON_MS, 0], 1),
        ([NOON_MS, -1], 1),
        ([NOON_MS, 2**64], 1),
        ([NOON_MS, True], 1),
        ([NOON_MS, "2026"], 1),
        ([NOON_MS, float("nan")], 1),
        ([NOON_MS, float("inf")], 1),
        ([NOON_MS, 1e30], 1),
        ([NOON, datetime(1970, 1, 1, tzinfo=UTC)], 1),
        ([NOON, datetime(1, 1, 1, tzinfo=UTC)], 1),
        ([np.datetime64("NaT", "s")], 0),
        (np.array(["2026-01-01", "NaT"], dtype="M8[ns]"), 1),
        (np.array(["2026-01-01", "1969-12-31T23:59:59.999999999"], dtype="M8[ns]"), 1),
        (np.array(["2026-01-01", "1970-01-01"], dtype="M8[us]"), 1),
        (np.array([1, 2**62], dtype="M8[s]"), 1),
        (np.array([1, 2**62], dtype="M8[D]"), 1),
        # Numpy's own conversion of years wraps around, for some of them to times that look like any other.
        (np.array([1, 2**57], dtype="M8[Y]"), 1),
        (np.array([1, -(2**61)], dtype="M8[Y]"), 1),
        (np.array([1, 2**62], dtype="M8[100M]"), 1),
        ([np.datetime64(2**57, "Y")], 0),
        ([np.datetime64(2**62, "M")], 0),
        (np.array([NOON_MS, 2**63], dtype="u8"), 1),
        (np.array([NOON_MS / 1e3, np.nan]), 1),
        (
            pa.chunked_array(
                [pa.array([NOON], pa.timestamp("us", "UTC")), pa.array([None], pa.timestamp("us", "UTC"))]
            ),
            1,
        ),
        (pa.nulls(2), 0),
        (pd.array([NOON_MS, None], dtype="Int64"), 1),
        (pd.Series([NOON, pd.NaT]), 1),
    ],
)
def test_refused_with_index_and_field(values, index):
    with pytest.raises(TimestampError) as caught:
        pack_timestamps(values, field="ts")
    assert caught.value.index == index
    assert caught.value.field == "ts"


@pytest.mark.parametrize(
    "values",
    [
        5,
        object(),
        pa.array(["2026"]),
        np.array(["x"]),
        pa.array([True]),
        np.zeros((2, 2)),
        pa.array(["x"]).dictionary_encode(),
    ],
)
def test_refused_as_a_whole(values):
    with pytest.raises(ValueError, match="expected"):
        pack_timestamps(values)


def test_a_dictionary_of_times_is_its_times():
    times = pa.array([NOON, None, NOON + timedelta(days=1), NOON]).dictionary_encode()
    assert pack_timestamps(times[2:]).tolist() == [NOON_MS + 86_400_000, NOON_MS]
    with pytest.raises(TimestampError) as caught:
        pack_timestamps(times, field="ts")
    assert (caught.value.index, caught.value.field) == (1, "ts")


@pytest.mark.parametrize("ms", [NOON_MS // 1000, NOON_MS * 1000, NOON_MS * 10**6 // 10])
def test_guard_catches_other_units(ms):
    for values in ([ms], np.array([ms]), pa.array([ms])):
        with pytest.raises(TimestampError, match="seconds, microseconds or nanoseconds") as caught:
            pack_timestamps(values)
        assert caught.value.index == 0
        assert pack_timestamps(values, guard=False).tolist() == [ms]
    old = np.array(["1971-01-01"], dtype="M8[D]")
    assert pack_timestamps(old).tolist() == [365 * 86_400_000]


def test_unknown_unit():
    with pytest.raises(ValueError, match="unit"):
        pack_timestamps([1], "fortnight")


def test_column_of_n():
    assert timestamp_column(NOON, 3).tolist() == [NOON_MS] * 3
    assert timestamp_column([NOON_MS] * 3, 3).tolist() == [NOON_MS] * 3
    with pytest.raises(TimestampError, match="3 timestamps"):
        timestamp_column([NOON], 3)
    with pytest.raises(TimestampError) as caught:
        timestamp_column(0, 3, field="ts")
    assert caught.value.field == "ts"
