"""What the throughput lane sends is what confluent-kafka's consumer reads: bytes, keys, headers, times, partitions."""

from __future__ import annotations

import datetime
import time
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from tests.support.murmur2 import java_partition, murmur2
from tests.support.readers import read_all
from twolane import Bytes, Json, ThroughputProducer, TimestampType

CREATE_TIME = 1
NOW = 1_700_000_000_123


@pytest.fixture
def producer(embedded_cluster):
    with ThroughputProducer(bootstrap_servers=embedded_cluster.bootstrap_servers) as made:
        yield made


@pytest.fixture
def read(embedded_cluster):
    return lambda name, expected=None: read_all(embedded_cluster.bootstrap_servers, name, expected=expected)


def test_one_record_with_everything(producer, embedded_cluster, topic, read):
    name = topic(embedded_cluster, 4)
    producer.send(name, b"value", key=b"key", headers={"a": b"1", "b": None, "c": "text"}, partition=2, timestamp=NOW)
    assert producer.flush(10) == 0
    (record,) = read(name, 1)
    assert record.value == b"value"
    assert record.key == b"key"
    assert record.headers == [("a", b"1"), ("b", None), ("c", b"text")]
    assert record.partition == 2
    assert record.timestamp == (CREATE_TIME, NOW)


VALUES = [b"bytes", "té", bytearray(b"array"), memoryview(b"view"), None, b"", b"\0\xff", b"x" * 70_000]
ENCODED = [b"bytes", "té".encode(), b"array", b"view", None, b"", b"\0\xff", b"x" * 70_000]


def test_values_and_keys_of_every_kind_one_by_one(producer, embedded_cluster, topic, read):
    name = topic(embedded_cluster)
    for value in VALUES:
        producer.send(name, value, key=value)
    producer.flush(10)
    records = read(name, len(VALUES))
    assert [record.value for record in records] == ENCODED
    assert [record.key for record in records] == ENCODED


def test_values_and_keys_of_every_kind_as_a_batch(producer, embedded_cluster, topic, read):
    name = topic(embedded_cluster)
    metadata = producer.send_batch(name, VALUES, keys=VALUES).result(10)
    assert metadata.written == len(VALUES)
    assert metadata.failed == 0
    records = read(name, len(VALUES))
    assert [record.value for record in records] == ENCODED
    assert [record.key for record in records] == ENCODED


def test_what_is_sent_is_copied_before_the_call_returns(producer, embedded_cluster, topic, read):
    name = topic(embedded_cluster)
    data = bytearray(b"before")
    values = [data]
    producer.send(name, data)
    delivery = producer.send_batch(name, values)
    data[:] = b"after!"
    values.append(b"more")
    delivery.result(10)
    producer.flush(10)
    assert [record.value for record in read(name, 2)] == [b"before", b"before"]


TIMES = {
    "int": (NOW, NOW),
    "numpy int": (np.int64(NOW), NOW),
    "float seconds": (NOW / 1000, NOW),
    "datetime": (datetime.datetime(2024, 2, 29, 12, 0, 0, 999_999, datetime.UTC), 1_709_208_000_999),
    "zone": (
        datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.timezone(datetime.timedelta(hours=5, minutes=30))),
        1_709_188_200_000,
    ),
    "datetime64[ns]": (np.datetime64("2024-02-29T12:00:00.999999999"), 1_709_208_000_999),
    "datetime64[D]": (np.datetime64("2024-02-29"), 1_709_164_800_000),
    "earliest": (datetime.datetime(1970, 1, 1, 0, 0, 0, 1_000, datetime.UTC), 1),
}


@pytest.mark.parametrize(("given", "expected"), TIMES.values(), ids=TIMES)
def test_times(producer, embedded_cluster, topic, read, given, expected):
    name = topic(embedded_cluster)
    producer.send(name, b"one", timestamp=given)
    producer.send_batch(name, [b"scalar"], timestamps=given)
    producer.send_batch(name, [b"list", b"list"], timestamps=[given, given])
    producer.flush(10)
    assert {record.timestamp for record in read(name, 4)} == {(CREATE_TIME, expected)}


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns", "m", "h", "D"])
def test_a_column_of_datetime64(producer, embedded_cluster, topic, read, unit):
    name = topic(embedded_cluster)
    times = np.datetime64("2024-02-29T00:00", unit) + np.arange(500)
    producer.send_batch(name, [b"v"] * 500, timestamps=times).result(10)
    expected = times.astype("datetime64[ms]").astype(np.int64).tolist()
    assert [record.timestamp[1] for record in read(name, 500)] == expected


def test_a_column_of_ints(producer, embedded_cluster, topic, read):
    name = topic(embedded_cluster)
    times = NOW + np.arange(20_000) * 7
    producer.send_batch(name, [b"v"] * 20_000, timestamps=times).result(10)
    assert [record.timestamp[1] for record in read(name, 20_000)] == times.tolist()


def test_without_a_time_it_is_now(producer, embedded_cluster, topic, read):
    name = topic(embedded_cluster)
    before = int(datetime.datetime.now(datetime.UTC).timestamp() * 1000)
    producer.send(name, b"one")
    producer.send_batch(name, [b"batch"])
    producer.flush(10)
    after = int(datetime.datetime.now(datetime.UTC).timestamp() * 1000)
    for record in read(name, 2):
        assert before <= record.timestamp[1] <= after


# ---- headers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shared", [{"a": b"1", "b": None}, [("a", b"1"), ("b", None)]])
def test_shared_headers(producer, embedded_cluster, topic, read, shared):
    name = topic(embedded_cluster)
    producer.send_batch(name, [b"v"] * 100, headers=shared).result(10)
    assert all(record.headers == [("a", b"1"), ("b", None)] for record in read(name, 100))


def test_headers_by_record_across_slices(producer, embedded_cluster, topic, read):
    name = topic(embedded_cluster)
    n = 20_000
    headers = [None if i % 3 == 0 else {"i": b"%d" % i} if i % 3 == 1 else [("x", "é"), ("x", None)] for i in range(n)]
    producer.send_batch(name, [b"%d" % i for i in range(n)], headers=headers).result(20)
    for i, record in enumerate(read(name, n)):
        assert record.value == b"%d" % i
        expected = [] if i % 3 == 0 else [("i", b"%d" % i)] if i % 3 == 1 else [("x", "é".encode()), ("x", None)]
        assert record.headers == expected


@pytest.mark.parametrize("count", [24, 25, 26, 100])
def test_many_headers(producer, embedded_cluster, topic, read, count):
    name = topic(embedded_cluster)
    headers = [(f"h{i}", b"%d" % i) for i in range(count)]
    producer.send_batch(name, [b"v", b"w"], headers=headers, keys=b"k").result(10)
    producer.send(name, b"x", headers=headers, key=b"k")
    assert producer.flush(10) == 0
    records = read(name, 3)
    assert [record.value for record in records] == [b"v", b"w", b"x"]
    assert all(record.headers == headers and record.key == b"k" for record in records)


def columns_of_headers(n):
    """The same n headers as columns of every kind, and what a consumer should read."""
    texts = [f"é{i}" for i in range(n)]
    return texts, {
        "list": [text.encode() for text in texts],
        "text": texts,
        "numpy": np.array([text.encode() for text in texts]),
        "arrow": pa.array([None if i % 5 == 0 else text for i, text in enumerate(texts)]),
    }


def test_headers_from_columns(producer, embedded_cluster, topic, read):
    name = topic(embedded_cluster)
    n = 20_000
    texts, columns = columns_of_headers(n)
    headers = {"first": b"all", **columns, "none": None}
    producer.send_batch(name, [b"%d" % i for i in range(n)], headers=headers, keys=b"k").result(20)
    for i, record in enumerate(read(name, n)):
        value = texts[i].encode()
        assert record.value == b"%d" % i
        # Those of all records come first.
        assert record.headers == [
            ("first", b"all"),
            ("none", None),
            ("list", value),
            ("text", value),
            ("numpy", value),
            ("arrow", None if i % 5 == 0 else value),
        ]


def test_headers_named_as_columns_of_the_values(producer, embedded_cluster, topic, read):
    table = {"trace": np.array([b"a", b"b"]), "origin": ["x", "y"], "n": np.arange(2)}
    rows = [{"trace": "a", "origin": "x", "n": 0}, {"trace": "b", "origin": "y", "n": 1}]
    for values in (table, rows):
        name = topic(embedded_cluster)
        producer.send_batch(name, values, headers=["trace", "origin"], serializer=Json()).result(10)
        assert [record.headers for record in read(name, 2)] == [
            [("trace", b"a"), ("origin", b"x")],
            [("trace", b"b"), ("origin", b"y")],
        ]


def test_headers_of_each_row_in_a_column(producer, embedded_cluster, topic, read):
    entries = [{"a": b"1"}, None, [("b", None), ("b", b"2")]]
    rows = [{"v": i, "meta": entry} for i, entry in enumerate(entries)]
    table = {"v": np.arange(3), "meta": np.array([*entries, None], dtype=object)[:3]}
    for values in (rows, table):
        name = topic(embedded_cluster)
        producer.send_batch(name, values, headers="meta", serializer=RowNumber()).result(10)
        assert [record.headers for record in read(name, 3)] == [[("a", b"1")], [], [("b", None), ("b", b"2")]]


# ---- partitions ----------------------------------------------------------------------------------------------------


def test_the_murmur2_of_these_tests_is_javas():
    # From Apache Kafka's own UtilsTest.testMurmur2.
    vectors = {
        b"21": -973932308,
        b"foobar": -790332482,
        b"a-little-bit-long-string": -985981536,
        b"a-little-bit-longer-string": -1486304829,
        b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
        b"abc": 479470107,
    }
    for data, expected in vectors.items():
        assert murmur2(data) == expected & 0xFFFFFFFF


KEYS = [b"%d" % i * (i % 5 + 1) for i in range(1_000)] + [b"", b"\0", "schlüssel".encode()]


@pytest.mark.parametrize("partitions", [2, 3, 7])
def test_keys_go_where_java_sends_them(producer, embedded_cluster, topic, read, partitions):
    name = topic(embedded_cluster, partitions)
    for key in KEYS:
        producer.send(name, b"one", key=key)
    producer.send_batch(name, [b"batch"] * len(KEYS), keys=KEYS).result(10)
    producer.flush(10)
    records = read(name, 2 * len(KEYS))
    assert len(records) == 2 * len(KEYS)
    for record in records:
        assert record.partition == java_partition(record.key, partitions)


def test_explicit_partitions(producer, embedded_cluster, topic, read):
    name = topic(embedded_cluster, 5)
    column = (np.arange(10_000) * 7 % 5).astype(np.int64)
    metadata = producer.send_batch(name, [b"%d" % i for i in range(10_000)], partitions=column, keys=b"k").result(10)
    assert metadata.partitions.dtype == np.int32
    assert metadata.partitions.tolist() == column.tolist()
    by_place = {(record.partition, record.offset): record.value for record in read(name, 10_000)}
    for i, (partition, offset) in enumerate(zip(metadata.partitions.tolist(), metadata.offsets.tolist(), strict=True)):
        assert by_place[partition, offset] == b"%d" % i


def test_records_without_a_key_stick_and_then_spread(producer, embedded_cluster, topic, read):
    name = topic(embedded_cluster, 4)
    metadata = producer.send_batch(name, [b"x" * 100] * 20_000).result(10)
    counts = Counter(metadata.partitions.tolist())
    assert set(counts) == {0, 1, 2, 3}
    changes = int((np.diff(metadata.partitions) != 0).sum())
    assert 20_000 * 101 / 16_384 / 2 < changes < 20_000 * 101 / 16_384 + 2
    for _ in range(2_000):
        producer.send(name, b"x" * 100)
    producer.flush(10)
    assert len(read(name, 22_000)) == 22_000


@pytest.mark.parametrize(
    "partitioner",
    ["murmur2_random", "murmur2", "consistent_random", "consistent", "fnv1a_random", "fnv1a", "random"],
)
def test_every_partitioner_delivers_and_agrees_with_itself(embedded_cluster, topic, partitioner):
    name = topic(embedded_cluster, 3)
    settings = {"bootstrap.servers": embedded_cluster.bootstrap_servers, "partitioner": partitioner}
    with ThroughputProducer(settings) as producer:
        places = {}
        for i, key in enumerate(KEYS[:200]):
            producer.send(name, b"one", key=key, on_delivery=lambda _, meta, i=i: places.update({i: meta.partition}))
        metadata = producer.send_batch(name, [b"b"] * 200, keys=KEYS[:200]).result(10)
        producer.send(name, b"no key")
        producer.flush(10)
    if partitioner != "random":
        assert [places[i] for i in range(200)] == metadata.partitions.tolist()
        assert set(metadata.partitions.tolist()) == {0, 1, 2}


# ---- columns and other inputs --------------------------------------------------------------------------------------


def test_an_iterator_of_values(producer, embedded_cluster, topic, read):
    name = topic(embedded_cluster)
    producer.send_batch(name, (b"%d" % i for i in range(100))).result(10)
    assert [record.value for record in read(name, 100)] == [b"%d" % i for i in range(100)]


def test_numpy_byte_strings_and_text(producer, embedded_cluster, topic, read):
    name = topic(embedded_cluster)
    producer.send_batch(name, np.array([b"a", b"bcd", b""])).result(10)
    producer.send_batch(name, np.array(["ä", "bcd"])).result(10)
    assert [record.value for record in read(name, 5)] == [b"a", b"bcd", b"", "ä".encode(), b"bcd"]


@pytest.mark.parametrize("chunks", [1, 3])
def test_arrow_byte_strings_with_nulls(producer, embedded_cluster, topic, read, chunks):
    pa = pytest.importorskip("pyarrow")
    name = topic(embedded_cluster)
    values = [b"a", None, b"", b"long" * 100] * 100
    column = pa.chunked_array([pa.array(values, pa.binary())] * chunks)
    producer.send_batch(name, column, keys=column).result(10)
    records = read(name, len(values) * chunks)
    assert [record.value for record in records] == values * chunks
    assert [record.key for record in records] == values * chunks


class RowNumber:
    """A serializer of the user's own: columns of any kind to the number of their row."""

    def bind(self, table):
        return Bytes().bind([b"%d" % i for i in range(len(table))])


def test_columns_by_name(producer, embedded_cluster, topic, read):
    name = topic(embedded_cluster, 3)
    n = 10_000
    columns = {
        "carrier": np.array([b"AA", b"UA", b"DL"] * (n // 3 + 1))[:n],
        "time": np.datetime64("2024-01-01", "ms") + np.arange(n),
        "place": (np.arange(n) % 3).astype(np.int16),
    }
    producer.send_batch(
        name, columns, keys="carrier", timestamps="time", partitions="place", serializer=RowNumber()
    ).result(10)
    records = sorted(read(name, n), key=lambda record: int(record.value))
    assert [record.key for record in records] == columns["carrier"].tolist()
    assert [record.timestamp[1] for record in records] == columns["time"].astype(np.int64).tolist()
    assert [record.partition for record in records] == columns["place"].tolist()


def test_rows_by_name(producer, embedded_cluster, topic, read):
    name = topic(embedded_cluster)

    class Values:
        def bind(self, rows):
            return Bytes().bind([row["v"] for row in rows])

    rows = [{"v": b"%d" % i, "k": f"key{i}", "t": NOW + i} for i in range(100)]
    producer.send_batch(name, rows, keys="k", timestamps="t", serializer=Values()).result(10)
    for i, record in enumerate(read(name, 100)):
        assert (record.value, record.key, record.timestamp[1]) == (b"%d" % i, b"key%d" % i, NOW + i)


@pytest.mark.parametrize("n", [0, 1, 2, 1_023, 1_024, 1_025, 8_191, 8_192, 8_193, 30_000])
def test_every_length_of_a_batch(producer, embedded_cluster, topic, read, n):
    name = topic(embedded_cluster)
    metadata = producer.send_batch(name, [b"%d" % i for i in range(n)]).result(20)
    assert len(metadata) == metadata.written == n
    assert metadata.offsets.tolist() == list(range(n))
    assert [record.value for record in read(name, n)] == [b"%d" % i for i in range(n)]


def test_topics_take_turns(producer, embedded_cluster, topic, read):
    one, two = topic(embedded_cluster), topic(embedded_cluster, 2)
    for i in range(100):
        producer.send(one if i % 2 else two, b"%d" % i, partition=0)
    producer.flush(10)
    assert [int(record.value) for record in read(one, 50)] == list(range(1, 100, 2))
    assert [int(record.value) for record in read(two, 50)] == list(range(0, 100, 2))


def test_metadata_of_a_batch(producer, embedded_cluster, topic):
    name = topic(embedded_cluster)
    delivery = producer.send_batch(name, [b"v"] * 10)
    metadata = delivery.result(10)
    assert metadata.topic == name
    assert metadata.failures == ()
    assert 0 < metadata.latency < 10
    # The mock says so of every record; real brokers are asked in test_cluster.py.
    assert metadata.timestamp_type is TimestampType.LOG_APPEND_TIME
    assert metadata.log_append_times.tolist() == [1234] * 10
    assert repr(name) in repr(metadata)
    assert repr(name) in repr(delivery)


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_compression(embedded_cluster, topic, read, codec):
    name = topic(embedded_cluster)
    values = [b"%d" % i * 20 for i in range(5_000)]
    with ThroughputProducer(
        bootstrap_servers=embedded_cluster.bootstrap_servers, compression_type=codec, statistics_interval_ms=100
    ) as producer:
        producer.send_batch(name, values, keys=b"key", headers={"h": b"v"}, timestamps=NOW).result(10)
        deadline = time.monotonic() + 60
        while True:
            client = producer.stats().client
            sent = sum(broker.bytes for broker in client.brokers) if client else 0
            if sent > 5_000 or time.monotonic() > deadline:
                break
            time.sleep(0.05)
    # Compressed if a codec is set, and only then.
    assert (sent > sum(map(len, values))) is (codec == "none")
    records = read(name, 5_000)
    assert [record.value for record in records] == values
    assert all((r.key, r.headers, r.timestamp) == (b"key", [("h", b"v")], (CREATE_TIME, NOW)) for r in records)


@pytest.mark.parametrize(
    ("settings", "requests"), [({}, 4), ({"message.max.bytes": 4_500_000, "batch.size": 4_500_000}, 1)]
)
def test_big_batches(embedded_cluster, topic, read, settings, requests):
    """``batch.size`` and ``message.max.bytes`` together say how much goes in one request."""
    name = topic(embedded_cluster)
    settings = {"linger.ms": 1_000, "bootstrap.servers": embedded_cluster.bootstrap_servers, **settings}
    with ThroughputProducer(settings) as producer:
        producer.partitions_for(name)
        assert producer.send_batch(name, [b"%04d" % i * 250 for i in range(4_000)]).result(20).written == 4_000
        assert producer.stats().delivery_events - requests in (0, 1)
    assert [record.value for record in read(name, 4_000)] == [b"%04d" % i * 250 for i in range(4_000)]


def test_big_batches_with_small_records_are_bounded_by_their_number(embedded_cluster, topic, read):
    name = topic(embedded_cluster)
    settings = {"linger.ms": 1_000, "batch.num.messages": 100_000}
    with ThroughputProducer(settings, bootstrap_servers=embedded_cluster.bootstrap_servers) as producer:
        producer.partitions_for(name)
        assert producer.send_batch(name, [b"%06d" % i for i in range(20_000)]).result(20).written == 20_000
        assert producer.stats().delivery_events <= 2
    assert [record.value for record in read(name, 20_000)] == [b"%06d" % i for i in range(20_000)]
