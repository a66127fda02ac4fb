"""What `Timestamps` says of the times of a call: of which clock, in which unit, and what those are that are missing."""

from __future__ import annotations

import datetime as dt
import time

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tests.encoding.harness import prepared
from twolane import TimestampError, Timestamps, pack_timestamps
from twolane.encoding.time.timestamps import nanosecond_column, pack_nanoseconds, timestamp_column

CLOCK = dt.datetime.fromisoformat("2026-07-01T12:00:00.123456")
UTC_MS = 1_782_907_200_123


def columns(*clocks):
    """A column of times without a zone in every container but numpy's, which knows no zones."""
    plain = [None if clock is None else clock for clock in clocks]
    yield "list", plain
    yield "tuple", tuple(plain)
    yield "objects", np.array(plain, object)
    yield "Timestamps", [None if clock is None else pd.Timestamp(clock) for clock in clocks]
    for unit in ("ms", "us", "ns"):
        yield f"pandas {unit}", pd.Series(plain, dtype=f"M8[{unit}]")
        yield f"index {unit}", pd.DatetimeIndex(plain).as_unit(unit)
        yield f"polars {unit}", pl.Series(plain, dtype=pl.Datetime(unit))
        arrow = pa.array(plain, pa.timestamp("us")).cast(pa.timestamp(unit), safe=False)
        yield f"Arrow {unit}", arrow
        yield f"chunked {unit}", pa.chunked_array([arrow[:1], arrow[1:]])
        yield f"dictionary {unit}", arrow.dictionary_encode()
    yield "pandas Arrow", pd.Series(plain, dtype=pd.ArrowDtype(pa.timestamp("us")))


@pytest.fixture
def new_york(monkeypatch):
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield dt.timedelta(hours=4)
    monkeypatch.undo()
    time.tzset()


def test_times_without_a_zone_are_refused_in_every_container():
    for name, column in columns(None, CLOCK):
        for take in (
            lambda c: timestamp_column(Timestamps(c, missing="now"), 2),
            lambda c: prepared(values=[b"", b""], timestamps=Timestamps(c, missing="now")),
        ):
            with pytest.raises(TimestampError, match=r"time zone.*naive='utc'") as caught:
                take(column)
            assert (name, caught.value.index) == (name, 1)
    for one in (CLOCK, pd.Timestamp(CLOCK)):
        with pytest.raises(TimestampError, match=r"naive='utc'"):
            timestamp_column(one, 2)


def test_the_caller_says_what_times_without_a_zone_mean(new_york):
    for (name, column), (_, pair) in zip(columns(CLOCK), columns(CLOCK, CLOCK), strict=True):
        utc = timestamp_column(Timestamps(column, naive="utc"), 1).tolist()
        local = timestamp_column(Timestamps(column, naive="local"), 1).tolist()
        assert (name, utc, local) == (name, [UTC_MS], [UTC_MS + new_york // dt.timedelta(milliseconds=1)])
        assert pack_timestamps(column, naive="utc").tolist() == utc
        assert prepared(values=[b"", b""], timestamps=Timestamps(pair, naive="local")).timestamps.tolist() == local * 2
        nanos = nanosecond_column(Timestamps(column, naive="local"), 1).tolist()
        assert nanos[0] // 10**6 == local[0]
    winter = dt.datetime.fromisoformat("2026-01-01T12:00:00.000000")
    for _, column in columns(winter, CLOCK):
        first, second = pack_timestamps(column, naive="local").tolist()
        assert (second - first) - (UTC_MS - 1_767_268_800_000) == -3_600_000  # five hours in winter


def test_numpy_counts_as_utc_unless_the_caller_says_local(new_york):
    offset = new_york // dt.timedelta(milliseconds=1)
    for unit in ("ms", "us", "ns", "ps"):
        array = np.array([CLOCK], f"M8[{unit}]") if unit != "ps" else np.array([CLOCK], "M8[us]")
        for times in (array, list(array), array[0], array.astype(array.dtype.newbyteorder())):
            assert timestamp_column(times, 1).tolist() == [UTC_MS]
            assert timestamp_column(Timestamps(times, naive="utc"), 1).tolist() == [UTC_MS]
            assert timestamp_column(Timestamps(times, naive="local"), 1).tolist() == [UTC_MS + offset]
    table = {"at": np.array([CLOCK] * 2, "M8[us]"), "v": [b"", b""]}
    record = np.array([(CLOCK, 1)] * 2, [("at", "M8[us]"), ("n", "i4")])
    for values in (table, record):
        source = prepared(values=values, timestamps="at", serializer=twolane_json())
        assert source.timestamps.tolist() == [UTC_MS] * 2


def twolane_json():
    from twolane import Json

    return Json(binary="base64")


def test_times_with_a_zone_and_days_need_no_word(new_york):
    day = UTC_MS // 86_400_000 * 86_400_000
    zoned = CLOCK.replace(tzinfo=dt.UTC)
    for naive in (None, "utc", "local"):
        for times in (
            [zoned],
            pd.Series([zoned]),
            pa.array([zoned], pa.timestamp("us", "Asia/Tokyo")),
            pl.Series([zoned]),
        ):
            assert pack_timestamps(times, naive=naive).tolist() == [UTC_MS]
        for days in ([CLOCK.date()], pa.array([CLOCK.date()]), pl.Series([CLOCK.date()]), np.array([CLOCK], "M8[D]")):
            assert pack_timestamps(days, naive=naive).tolist() == [day]


MISSING = {
    "list": lambda at: [at, None, pd.NaT, pd.NA, np.datetime64("NaT"), float("nan"), -1, np.ma.masked],
    "pandas": lambda at: pd.Series([at, None]),
    "polars": lambda at: pl.Series([at, None]),
    "Arrow": lambda at: pa.array([at, None], pa.timestamp("us", "UTC")),
    "dictionary": lambda at: pa.array([at, None], pa.timestamp("us", "UTC")).dictionary_encode(),
    "datetime64": lambda at: np.array([at.replace(tzinfo=None), "NaT"], "M8[us]"),
    "masked": lambda at: np.ma.masked_array(np.array([at.replace(tzinfo=None)] * 2, "M8[us]"), [False, True]),
    "ints": lambda at: np.array([UTC_MS, -1]),
    "nullable ints": lambda at: pd.array([UTC_MS, None], dtype="Int64"),
    "seconds": lambda at: np.array([UTC_MS / 1000, np.nan]),
    "nulls": lambda at: pa.nulls(2),
}


@pytest.mark.parametrize("make", MISSING.values(), ids=MISSING)
def test_what_is_missing_is_refused_or_the_time_of_the_call(make):
    times = make(CLOCK.replace(tzinfo=dt.UTC))
    with pytest.raises(TimestampError) as caught:
        timestamp_column(times, len(times))
    assert caught.value.index == (0 if isinstance(times, pa.NullArray) else 1)
    for take, unit in ((timestamp_column, 10**6), (nanosecond_column, 1)):
        before = time.time_ns() // unit
        packed = take(Timestamps(times, missing="now"), len(times)).tolist()
        after = time.time_ns() // unit
        gaps = packed[0 if isinstance(times, pa.NullArray) else 1 :]
        assert before <= gaps[0] <= after
        assert set(gaps) == {gaps[0]}  # one time for one call
        assert isinstance(times, pa.NullArray) or packed[0] * unit // 10**6 == UTC_MS


def test_one_missing_time_for_all():
    for value in (None, pd.NaT, pd.NA, np.datetime64("NaT"), float("nan"), -1):
        for call in (lambda v: timestamp_column(v, 2), pack_nanoseconds):
            with pytest.raises(TimestampError):
                call(Timestamps(value))
        first, second = timestamp_column(Timestamps(value, missing="now"), 2).tolist()
        assert first == second
        assert abs(first - time.time_ns() // 10**6) < 60_000
        assert abs(pack_nanoseconds(Timestamps(value, missing="now")) - time.time_ns()) < 60 * 10**9


def test_units_and_the_guard_are_said_at_the_call():
    table = {"v": [b"x", b"y"], "at": np.array([UTC_MS * 1000, 86_400_000_000])}
    call = prepared(values=table, timestamps=Timestamps("at", unit="us", guard=False), serializer=twolane_json())
    assert call.timestamps.tolist() == [UTC_MS, 86_400_000]
    with pytest.raises(TimestampError, match="1990") as caught:
        prepared(values=table, timestamps=Timestamps("at", unit="us"), serializer=twolane_json())
    assert (caught.value.index, caught.value.field) == (1, "timestamps")
    rows = [{"at": UTC_MS // 1000}] * 2
    call = prepared(values=rows, timestamps=Timestamps("at", unit="s"), serializer=twolane_json())
    assert call.timestamps.tolist() == [UTC_MS // 1000 * 1000] * 2


@pytest.mark.parametrize("bad", [0, -2, -86_400_000])
def test_what_no_record_can_carry_is_refused_whatever_is_said(bad):
    for times in ([bad, bad], np.array([bad, bad]), pa.array([bad, bad])):
        with pytest.raises(TimestampError, match="after 1970") as caught:
            timestamp_column(Timestamps(times, missing="now", guard=False), 2)
        assert caught.value.index == 0


@pytest.mark.parametrize("wrong", [{"unit": "fortnight"}, {"naive": "gmt"}, {"missing": "never"}])
def test_an_unknown_word_is_an_error(wrong):
    (name,) = wrong
    for call in (
        lambda: pack_timestamps([UTC_MS], **wrong),
        lambda: timestamp_column(Timestamps([UTC_MS], **wrong), 1),
        lambda: pack_nanoseconds(Timestamps(UTC_MS, **wrong)),
        lambda: prepared(values=[b"", b""], timestamps=Timestamps(UTC_MS, **wrong)),
    ):
        with pytest.raises(ValueError, match=f"{name}: expected"):
            call()
