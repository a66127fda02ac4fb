"""Times with a zone, as pandas, polars, Arrow and duckdb bring them, into types that have no zone."""

from __future__ import annotations

import datetime

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tests.field.reading import DATE, MOMENT, WALL, read, record
from twolane import Avro

STORES = {"New York": "America/New_York", "Berlin": "Europe/Berlin", "Kathmandu": "Asia/Kathmandu", "UTC": "UTC"}
# An evening in July, one in December, the hour that comes twice in New York, and one before 1970.
CLOCKS = ["2026-07-01 22:00:00", "2026-12-31 23:30:00.5", "2026-11-01 01:30:00", "1965-01-01 00:00:00"]
SCHEMA = record(day=DATE, moment=MOMENT, wall=WALL, maybe=["null", DATE], either=["null", WALL, "string"])


def sales(zone: str) -> pd.DataFrame:
    times = pd.to_datetime(CLOCKS, format="ISO8601").tz_localize(zone, ambiguous=[True] * len(CLOCKS))
    return pd.DataFrame(dict.fromkeys(("day", "moment", "wall", "maybe", "either"), times.as_unit("us")))


def polars_of(frame: pd.DataFrame) -> pl.DataFrame:
    zone = str(frame["day"].dt.tz)
    return pl.from_pandas(frame.map(lambda time: time.tz_convert("UTC"))).with_columns(
        pl.all().dt.convert_time_zone(zone)
    )


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize(
    "bring",
    [
        lambda frame: frame,
        lambda frame: {name: frame[name] for name in frame},
        polars_of,
        lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
        lambda frame: frame.to_dict("records"),
        lambda frame: list(frame.itertuples(index=False)),
        lambda frame: [
            {name: value.to_pydatetime() for name, value in row.items()} for row in frame.to_dict("records")
        ],
    ],
    ids=["pandas", "series", "polars", "Arrow", "records", "itertuples", "datetimes"],
)
def test_a_day_and_a_wall_clock_are_those_of_the_zone(store, bring):
    frame = sales(STORES[store])
    found = read(SCHEMA, Avro(SCHEMA).encode_batch(bring(frame)))
    for row, text, moment in zip(found, CLOCKS, frame["moment"], strict=True):
        clock = datetime.datetime.fromisoformat(text)
        assert row == {
            "day": clock.date(),
            "moment": moment.tz_convert("UTC"),
            "wall": clock,
            "maybe": clock.date(),
            "either": clock,
        }


def test_duckdb_gives_instants_with_the_zone_of_its_session():
    with duckdb.connect() as connection:
        connection.execute("set timezone='America/New_York'")
        table = connection.sql("select timestamptz '2026-07-02 02:00:00+00' as day").to_arrow_table()
    schema = record(day=DATE)
    assert read(schema, Avro(schema).encode_batch(table)) == [{"day": datetime.date(2026, 7, 1)}]
