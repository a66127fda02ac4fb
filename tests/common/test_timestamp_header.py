"""`timestamp_header=`: nanoseconds that milliseconds cannot hold, read back with confluent-kafka's consumer."""

from __future__ import annotations

import struct
import time
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tests.support.readers import read_all
from twolane import Json, SerializationError, TimestampError, Timestamps

TEXTS = ["2026-11-23T12:00:00.123456789", "1970-01-01T00:00:00.001000001", "2262-04-11T23:47:16.854775807"]
TIMES = np.array(TEXTS, "M8[ns]")
ZONED = pa.timestamp("ns", "UTC")
EXACT = [pd.Timestamp(text).value for text in TEXTS]


@pytest.fixture
def producer(either_producer):
    return either_producer


@pytest.fixture
def name(topic, embedded_cluster):
    return topic(embedded_cluster)


@pytest.fixture
def log_of(embedded_cluster, producer, name):
    """Give (CreateTime, headers) of each record in the log, in order."""

    def read():
        producer.flush(20)
        return [(record.timestamp[1], record.headers) for record in read_all(embedded_cluster.bootstrap_servers, name)]

    return read


def nanoseconds(headers):
    return [struct.unpack(">q", value)[0] for header, value in headers if header == "at-ns"]


@pytest.mark.parametrize(
    "times",
    [
        TIMES,
        pa.chunked_array([pa.array(TIMES[:1], ZONED), pa.array(TIMES[1:], ZONED)]),
        Timestamps(pd.Series(TIMES), naive="utc"),
        [pd.Timestamp(text, tz="UTC") for text in TEXTS],
    ],
    ids=lambda times: type(times).__name__,
)
def test_batches(producer, name, log_of, times):
    producer.send_batch(name, [b"v"] * 3, timestamps=times, timestamp_header="at-ns", partitions=0)
    log = log_of()
    assert [nanoseconds(headers) for _, headers in log] == [[exact] for exact in EXACT]
    assert [created for created, _ in log] == [exact // 10**6 for exact in EXACT]


@pytest.mark.parametrize(
    "values",
    [{"at": TIMES, "x": [1, 2, 3]}, pa.table({"at": pa.array(TIMES, ZONED), "x": [1, 2, 3]})],
    ids=["dict", "arrow"],
)
def test_a_column_of_the_batch(producer, name, log_of, values):
    producer.send_batch(
        name, values, timestamps="at", timestamp_header="at-ns", partitions=0, serializer=Json(), headers={"h": "1"}
    )
    assert [headers for _, headers in log_of()] == [
        [("h", b"1"), ("at-ns", struct.pack(">q", exact))] for exact in EXACT
    ]


def test_beside_headers_of_each_record(producer, name, log_of):
    each = [{"i": b"0"}, None, [("i", b"2"), ("j", None)]]
    producer.send_batch(name, [b"v"] * 3, headers=each, timestamps=TIMES, timestamp_header="at-ns", partitions=0)
    producer.send_batch(name, [b"v"] * 3, headers=each, timestamp_header="at-ns", partitions=0)
    log = log_of()
    stamps = [("at-ns", struct.pack(">q", exact)) for exact in EXACT]
    want = [[("i", b"0"), stamps[0]], [stamps[1]], [("i", b"2"), ("j", None), stamps[2]]]
    assert [headers for _, headers in log[:3]] == want
    assert [headers[:-1] for _, headers in log[3:]] == [headers[:-1] for headers in want]
    assert len({headers[-1] for _, headers in log[3:]}) == 1


def test_many_slices(producer, name, log_of):
    """More records than a lane encodes at a time: each keeps its own."""
    n = 70_000
    times = (1_700_000_000_000_000_001 + np.arange(n) * 1_000_003).astype("M8[ns]")
    producer.send_batch(
        name, {"i": np.arange(n)}, timestamps=times, timestamp_header="at-ns", partitions=0, serializer=Json()
    )
    log = log_of()
    assert [nanoseconds(headers)[0] for _, headers in log] == times.astype(np.int64).tolist()
    assert [created for created, _ in log] == (times.astype(np.int64) // 10**6).tolist()


def test_now_and_one_for_all(producer, name, log_of):
    before = time.time_ns()
    producer.send_batch(name, [b"v"] * 2, timestamp_header="at-ns", partitions=0)
    producer.send(name, b"v", timestamp_header="at-ns", partition=0)
    after = time.time_ns()
    producer.send_batch(name, [b"v"] * 2, timestamps=TIMES[0], timestamp_header="at-ns", partitions=0)
    log = log_of()
    for created, headers in log[:3]:
        (stamp,) = nanoseconds(headers)
        assert before <= stamp <= after
        assert created == stamp // 10**6
    assert [(created, nanoseconds(headers)) for created, headers in log[3:]] == [(EXACT[0] // 10**6, [EXACT[0]])] * 2


@pytest.mark.parametrize(
    ("value", "exact"),
    [
        (TIMES[0], EXACT[0]),
        (pd.Timestamp(TEXTS[0], tz="Europe/Berlin"), EXACT[0] - 3_600 * 10**9),
        (datetime(2026, 11, 23, 12, 0, 0, 123_456, tzinfo=UTC), EXACT[0] - 789),
        (EXACT[0] // 10**6, EXACT[0] // 10**6 * 10**6),
    ],
    ids=lambda value: type(value).__name__,
)
def test_single_records(producer, name, log_of, value, exact):
    producer.send(name, b"v", headers={"h": b"1"}, timestamp=value, timestamp_header="at-ns")
    assert log_of() == [(exact // 10**6, [("h", b"1"), ("at-ns", struct.pack(">q", exact))])]


def test_refused_before_anything_is_sent(producer, name, log_of):
    late = np.array([TEXTS[0], "2262-04-12"], "M8[us]")
    with pytest.raises(TimestampError, match="64 bits of nanoseconds") as caught:
        producer.send_batch(name, [b"v"] * 2, timestamps=late, timestamp_header="at-ns")
    assert (caught.value.topic, caught.value.index, caught.value.field) == (name, 1, "timestamps")
    with pytest.raises(TimestampError, match="64 bits of nanoseconds"):
        producer.send(name, b"v", timestamp=late[1], timestamp_header="at-ns")
    for bad in ("", "a\0b", b"at"):
        with pytest.raises(SerializationError, match="header name"):
            producer.send_batch(name, [b"v"], timestamp_header=bad)
        with pytest.raises(SerializationError, match="header name"):
            producer.send(name, b"v", timestamp_header=bad)
    assert log_of() == []


def test_what_is_said_of_a_time_at_the_call_holds_in_both_lanes(producer, name, log_of):
    naive = datetime.fromisoformat("2026-11-23T12:00:00")
    want = int(naive.replace(tzinfo=UTC).timestamp() * 1000)
    with pytest.raises(TimestampError, match="naive='utc'"):
        producer.send(name, b"v", timestamp=naive, partition=0)
    producer.send(name, b"v", timestamp=Timestamps(naive, naive="utc"), partition=0)
    producer.send(name, b"v", timestamp=Timestamps(want // 1000, unit="s"), partition=0)
    producer.send(name, b"v", timestamp=Timestamps(5, guard=False), partition=0, timestamp_header="at-ns")
    before = time.time_ns() // 1_000_000
    producer.send(name, b"v", timestamp=Timestamps(None, missing="now"), partition=0)
    table = {"i": [1, 2], "at": pd.Series([naive, None])}
    producer.send_batch(
        name, table, timestamps=Timestamps("at", naive="utc", missing="now"), partitions=0, serializer=Json()
    )
    times = [stamp for stamp, _ in log_of()]
    after = time.time_ns() // 1_000_000
    assert (times[:3], times[4]) == ([want, want, 5], want)
    assert before <= times[3] <= times[5] <= after
