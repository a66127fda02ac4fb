"""Nanoseconds since the epoch, as a header keeps them, and numpy's odd units, against pandas and plain integers."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from twolane import Json, SerializationError
from twolane._units import FINER
from twolane.encoding.time.times import Timestamps
from twolane.encoding.time.timestamps import nanosecond_column, pack_nanoseconds, pack_timestamps
from twolane.errors import TimestampError

LATEST = 2**63 - 1
TEXT = "2026-11-23T12:00:00.123456789"
EXACT = 1_795_435_200_123_456_789


@pytest.mark.parametrize(
    ("values", "lost"),
    [
        (np.array([TEXT], "M8[ns]"), 0),
        (np.array([TEXT], ">M8[ns]"), 0),
        (np.array([TEXT, TEXT], "M8[ns]")[::2], 0),
        (np.array([TEXT], "M8[us]"), 789),
        ([np.datetime64(TEXT)], 0),
        ([pd.Timestamp(TEXT, tz="UTC")], 0),
        (pd.Series(pd.to_datetime([TEXT], utc=True)), 0),
        (pa.array(np.array([TEXT], "M8[ns]"), pa.timestamp("ns", "Europe/Berlin")), 0),
        ([datetime.fromisoformat("2026-11-23T12:00:00.123456+00:00")], 789),
        (np.array([EXACT // 10**6]), 456_789),
        ([EXACT // 10**6], 456_789),
        (np.datetime64(TEXT), 0),
    ],
    ids=lambda value: type(value).__name__ + str(getattr(value, "dtype", "")),
)
def test_what_each_input_keeps(values, lost):
    assert nanosecond_column(values, 1).tolist() == [EXACT - lost]


@given(st.lists(st.integers(10**6, LATEST)))
def test_one_by_one_and_as_an_array(ticks):
    array = np.array(ticks, np.int64).view("M8[ns]")
    assert nanosecond_column(array, len(ticks)).tolist() == ticks
    assert [pack_nanoseconds(value) for value in array] == ticks


@pytest.mark.parametrize(("unit", "lost"), [("ps", 0), ("fs", 0), ("as", 0), ("Y", None), ("M", None)])
def test_units_that_are_not_of_nanoseconds(unit, lost):
    value = np.datetime64("1970-01-01T00:00:01.123456789", "ns").astype(f"M8[{unit}]") + (lost is None)
    want = value.astype("M8[ns]").astype(np.int64).item()
    assert want % 1_000 == 789 or lost is None
    array = np.array([value])
    assert [pack_nanoseconds(value)] == nanosecond_column(array, 1).tolist() == [want]
    assert nanosecond_column([value], 1).tolist() == nanosecond_column(value, 1).tolist() == [want]


def test_ints_with_a_unit():
    assert nanosecond_column(Timestamps([EXACT], unit="ns"), 1).tolist() == [EXACT]
    assert nanosecond_column(Timestamps(np.array([EXACT // 1000]), unit="us"), 1).tolist() == [EXACT - 789]
    assert nanosecond_column(Timestamps(1.5, guard=False), 2).tolist() == [1_500_000_000] * 2
    assert pack_nanoseconds(Timestamps(EXACT, unit="ns")) == EXACT


def test_dates():
    assert pack_nanoseconds(date(2026, 11, 23)) == pd.Timestamp("2026-11-23").value


@pytest.mark.parametrize(
    "values",
    [
        [datetime(2026, 1, 1, tzinfo=UTC), datetime(2262, 4, 12, tzinfo=UTC)],
        np.array(["2026-01-01", "2262-04-12"], "M8[us]"),
        np.array(["2026-01-01", "2263-01-01"], "M8[D]"),
    ],
)
def test_years_beyond_64_bits_are_refused(values):
    with pytest.raises(TimestampError, match="64 bits of nanoseconds") as caught:
        nanosecond_column(values, 2, field="timestamps")
    assert (caught.value.index, caught.value.field) == (1, "timestamps")
    assert pack_timestamps(values)[1] > 9_000_000_000_000


@pytest.mark.parametrize("bad", [0, -1, 5 * 10**14])
def test_the_same_is_refused_as_of_milliseconds(bad):
    for values in (np.array([bad]), [bad]):
        with pytest.raises(TimestampError):
            pack_timestamps(values)
        with pytest.raises(TimestampError):
            nanosecond_column(values, 1)


@pytest.mark.parametrize(
    ("unit", "per_ns"), [("7us", 7_000), ("1500us", 1_500_000), ("333ns", 333), ("25s", 25 * 10**9)]
)
def test_units_of_several_ticks(unit, per_ns):
    ticks = [10**15 // per_ns + i for i in range(50)]
    array = np.array(ticks, np.int64).view(f"M8[{unit}]")
    assert pack_timestamps(array).tolist() == [tick * per_ns // 10**6 for tick in ticks]
    assert pack_timestamps(list(array)).tolist() == [tick * per_ns // 10**6 for tick in ticks]
    assert nanosecond_column(array, 50).tolist() == [tick * per_ns for tick in ticks]


@given(st.lists(st.integers(-(2**62), 2**62), min_size=1), st.sampled_from([None, "s", "ms", "us", "ns", "W", "D"]))
def test_arrays_and_lists_agree_about_the_guard(numbers, unit):
    """The array's loop knows bounds per unit; the list's looks at every result."""

    def outcome(values):
        try:
            return pack_timestamps(values, unit).tolist()
        except TimestampError as error:
            return error.index

    assert outcome(np.array(numbers, np.int64)) == outcome(numbers)


@pytest.mark.parametrize("unit", ["W", "D", "h", "m", "s", "ms", "us", "ns"])
def test_the_guards_first_and_last_tick(unit):
    per_ns = int(np.timedelta64(1, unit) / np.timedelta64(1, "ns"))
    first = -(-pd.Timestamp("1990-01-01").value // per_ns)
    last = (pd.Timestamp("2100-01-01").value - 1) // per_ns
    assert pack_timestamps(np.array([first, last]), unit).tolist() == [first * per_ns // 10**6, last * per_ns // 10**6]
    for outside in (first - 1, last + 1):
        with pytest.raises(TimestampError):
            pack_timestamps(np.array([outside]), unit)


PER_DAY = {"W": (1, 7), "D": (1, 1), "h": (24, 1), "m": (1440, 1), "s": (86400, 1)}
PER_DAY |= {
    unit: (86400 * 10**digits, 1)
    for digits, unit in zip(range(3, 19, 3), ("ms", "us", "ns", "ps", "fs", "as"), strict=True)
}


@given(
    st.sampled_from(sorted(PER_DAY)),
    st.sampled_from([1, 2]),
    st.integers(-(2**63) + 1, 2**63 - 1) | st.integers(-(10**13), 10**13) | st.integers(-(10**6), 10**6),
)
@example("ns", 1, -(2**63) + 1)
@example("D", 2, -(2**63) + 1)
@example("s", 25, 2**62)
@example("as", 2, 2**62)
def test_json_has_the_time_that_64_bits_hold_in_a_row_and_in_a_column(unit, count, ticks):
    array = np.array([ticks], np.int64).view(f"M8[{count}{unit}]")
    per_day, days = PER_DAY[unit]
    nanos = ticks * count * days * 86_400 * 10**9 // per_day
    try:
        moment = datetime(1970, 1, 1) + timedelta(microseconds=nanos // 1000)  # noqa: DTZ001
    except OverflowError:
        for values in ([{"t": array[0]}], {"t": array}):
            with pytest.raises(SerializationError, match="years 1 to 9999"):
                Json().encode_batch(values)
        return
    text = moment.isoformat()
    if unit in "WD":
        text = text[:10]
    elif nanos % 1000:
        text = f"{moment.isoformat(timespec='microseconds')}{nanos % 1000:03}"
    want = [f'{{"t":"{text}"}}'.encode()]
    assert list(Json().encode_batch([{"t": array[0]}])) == want
    assert list(Json().encode_batch({"t": array})) == want


@pytest.mark.parametrize(("unit", "count"), [("ps", 5_000), ("fs", 7_000_000), ("as", 2_000_000_000)])
def test_a_column_of_times_beyond_nanoseconds_of_64_bits_is_refused(unit, count):
    most = (2**63 - 1) // (count // FINER[unit])
    fine, over = (
        np.array([0, ticks], np.int64).view(f"M8[{count}{unit}]") for ticks in (most - 2 * FINER[unit], 2**62)
    )
    rows = [{"t": value} for value in fine]
    assert list(Json().encode_batch({"t": fine})) == list(Json().encode_batch(rows))
    with pytest.raises(SerializationError, match="nanoseconds") as caught:
        Json().encode_batch({"t": over})
    assert caught.value.index == 1
