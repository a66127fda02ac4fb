"""Calls that go wrong in everyday ways: what is refused, is refused by name, before anything is sent."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tests.support.readers import read_all
from twolane import Avro, Json, SafeProducer, SerializationError, Struct, TimestampError, Timestamps

TABLES = {
    "dict": {"id": [1, 2]},
    "frame": pd.DataFrame({"id": [1, 2]}),
    "Arrow": pa.table({"id": [1, 2]}),
    "structured": np.array([(1,), (2,)], [("id", "i8")]),
    "rows": [{"id": 1}, {"id": 2}],
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_without_a_serializer_is_refused(name, embedded_cluster):
    with (
        SafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers, check_topics=False) as producer,
        pytest.raises(SerializationError) as caught,
    ):
        producer.send_batch("orders", TABLES[name])
    assert caught.value.topic == "orders"


@pytest.mark.parametrize("serializer", [Json(), Avro.from_dtype([("n", "i8")]), Struct([("n", "i8")])], ids=repr)
@pytest.mark.parametrize(
    "column",
    [
        np.array([1, 2j]),
        pd.Series([1, 2j]),
        pd.Series(pd.interval_range(0, 2)),
        pd.Series([1, object()]),
        pa.array([(1, 2, 3)] * 2, pa.month_day_nano_interval()),
    ],
    ids=["complex", "complex series", "intervals", "objects", "months"],
)
@pytest.mark.parametrize("bring", ["dict", "frame"])
def test_a_column_that_has_no_form_is_refused_by_name(serializer, column, bring):
    table = {"n": column} if bring == "dict" else pd.DataFrame({"n": column})
    with pytest.raises(SerializationError) as caught:
        serializer.encode_batch(table)
    assert (caught.value.field or "").startswith("n")


def test_an_int_beyond_64_bits_is_its_digits_in_json_and_refused_where_there_are_64_bits():
    frame = pd.DataFrame({"n": [1, 2**64]})
    assert list(Json().encode_batch(frame)) == [b'{"n":1}', b'{"n":18446744073709551616}']
    for serializer in (Avro.from_dtype([("n", "i8")]), Struct([("n", "u8")])):
        with pytest.raises(SerializationError) as caught:
            serializer.encode_batch(frame)
        assert (caught.value.index, caught.value.field) == (1, "n")


def test_a_duration_of_pandas_is_refused_in_json_and_taken_by_a_duration():
    frame = pd.DataFrame({"took": pd.to_timedelta(["1 days 00:00:01", "0s"])})
    for values in (frame, {"took": frame["took"]}, frame.to_dict("records")):
        with pytest.raises(SerializationError) as caught:
            Json().encode_batch(values)
        assert caught.value.field == "took"
    span = {"type": "fixed", "name": "Span", "size": 12, "logicalType": "duration"}
    avro = Avro({"type": "record", "name": "R", "fields": [{"name": "took", "type": span}]})
    want = [bytes(4) + (1).to_bytes(4, "little") + (1000).to_bytes(4, "little"), bytes(12)]
    for values in (frame, {"took": frame["took"]}, frame.to_dict("records")):
        assert list(avro.encode_batch(values)) == want


@pytest.mark.parametrize(
    "rows",
    [
        [{"a": 1}, {"a": "x"}],
        [{"a": datetime.date(2026, 1, 1)}, {"a": 1}],
        [{"a": [1, "x"]}],
        [{"a": 1.5}, {"a": None}, {"a": True}],
    ],
    ids=["long and string", "date and long", "in an array", "double and boolean"],
)
def test_from_example_takes_what_it_was_made_from_or_refuses_it_by_name(rows):
    try:
        avro = Avro.from_example(rows)
    except SerializationError as error:
        assert "a" in str(error)
        return
    assert len(list(avro.encode_batch(rows))) == len(rows)


def test_a_frame_whose_times_have_no_zone_says_what_they_mean(embedded_cluster, topic):
    name = topic(embedded_cluster)
    clock = pd.Timestamp("2026-07-01 12:00")
    frame = pd.DataFrame({"id": [1, 2], "at": [clock, clock + pd.Timedelta(hours=1)]})
    with SafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers, check_topics=False) as producer:
        for times in ("at", frame["at"], frame["at"].tolist()):
            with pytest.raises(TimestampError) as caught:
                producer.send_batch(name, frame, serializer=Json(), timestamps=times)
            assert caught.value.field in ("at", "timestamps")
        for times in ("at", frame["at"], frame["at"].tolist()):
            producer.send_batch(name, frame[["id", "at"]], serializer=Json(), timestamps=Timestamps(times, naive="utc"))
    want = [int(time.tz_localize("UTC").timestamp() * 1000) for time in frame["at"]]
    assert [record.timestamp[1] for record in read_all(embedded_cluster.bootstrap_servers, name)] == want * 3
