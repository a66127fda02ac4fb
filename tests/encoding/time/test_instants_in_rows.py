"""A datetime with a zone in a row: its instant where the type has one, what its own clock shows where it has none."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

import fastavro
import numpy as np
import pandas as pd
import pytest

from twolane import Avro, SerializationError

LOGICAL = "logicalType"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZONES = [UTC, timezone(timedelta(hours=-11)), ZoneInfo("America/New_York"), ZoneInfo("Asia/Kathmandu")]
CLOCKS = [
    datetime.fromisoformat(text)
    for text in ("2026-07-01T22:00:00", "2026-07-02T01:02:03.456789", "1969-12-31T23:59:59.000001")
]
MOMENTS = [clock.replace(tzinfo=zone) for clock in CLOCKS for zone in ZONES]
MOMENTS += [pd.Timestamp(moment) for moment in MOMENTS]
UNITS = {"millis": 1000, "micros": 1, "nanos": None}


def type_of(name):
    return {"type": "int" if name == "date" else "long", LOGICAL: name}


def ticks(span, unit):
    micros = span // timedelta(microseconds=1)
    return micros * 1000 if unit == "nanos" else micros // UNITS[unit]


def number(schema, value):
    plain = "int" if schema[LOGICAL] == "date" else "long"
    return fastavro.schemaless_reader(io.BytesIO(Avro(schema).encode(value)), fastavro.parse_schema(plain))


@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_an_instant_becomes_itself_its_day_or_its_wall_clock(moment):
    wall = moment.replace(tzinfo=None)
    assert number(type_of("date"), moment) == (wall.date() - date(1970, 1, 1)).days
    for unit in UNITS:
        instant = moment - EPOCH
        assert number(type_of(f"timestamp-{unit}"), moment) == ticks(instant, unit)
        assert number(type_of(f"local-timestamp-{unit}"), moment) == ticks(wall - EPOCH.replace(tzinfo=None), unit)
    if type(moment) is datetime:
        for unit in ("millis", "micros"):  # fastavro knows no nanoseconds
            schema = type_of(f"local-timestamp-{unit}")
            out = io.BytesIO()
            fastavro.schemaless_writer(out, fastavro.parse_schema(schema), moment)
            assert Avro(schema).encode(moment) == out.getvalue()
    for unit in ("millis", "micros"):
        schema = {"type": "int" if unit == "millis" else "long", LOGICAL: f"time-{unit}"}
        with pytest.raises(SerializationError, match="time without a zone"):
            Avro(schema).encode(moment)


@pytest.mark.parametrize("clock", [*CLOCKS, *map(pd.Timestamp, CLOCKS)], ids=str)
def test_a_wall_clock_is_no_instant(clock):
    for unit in UNITS:
        with pytest.raises(SerializationError, match="datetime with a time zone"):
            Avro(type_of(f"timestamp-{unit}")).encode(clock)
        assert number(type_of(f"local-timestamp-{unit}"), clock) == ticks(clock - EPOCH.replace(tzinfo=None), unit)


def test_a_union_gives_an_instant_to_the_timestamp_and_a_wall_clock_to_the_local_one():
    stamp, local, day = type_of("timestamp-micros"), type_of("local-timestamp-micros"), type_of("date")
    fixed = {"type": "fixed", "name": "D", "size": 12, LOGICAL: "duration"}
    others = ["null", "string", day, fixed]
    for moment in MOMENTS[:4]:
        for position in range(len(others) + 1):
            union = [*others[:position], stamp, *others[position:]]
            assert Avro(union).encode(moment) == bytes([2 * position]) + Avro(stamp).encode(moment)
            # Without an instant the time on the wall loses less than its day.
            union = [*others[:position], local, *others[position:]]
            assert Avro(union).encode(moment) == bytes([2 * position]) + Avro(local).encode(moment)
            clock = moment.replace(tzinfo=None)
            assert Avro(union).encode(clock) == bytes([2 * position]) + Avro(local).encode(clock)
    days = [date(2026, 7, 1), np.datetime64("2026-07-01")]
    for value in days:
        for union in ([local, "null", day], [day, local]):
            assert Avro(union).encode(value) == bytes([2 * union.index(day)]) + Avro(day).encode(value)


def test_a_time_with_a_zone_is_refused():
    for name in ("time-millis", "time-micros"):
        with pytest.raises(SerializationError, match="time without a zone"):
            Avro({"type": "int" if name == "time-millis" else "long", LOGICAL: name}).encode(time(1, tzinfo=ZONES[1]))
