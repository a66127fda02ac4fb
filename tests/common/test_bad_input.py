"""What both lanes refuse: with which error, naming what, and with nothing of the call sent."""

from __future__ import annotations

import datetime
import pickle
import socket
import time
from bisect import bisect_left

import numpy as np
import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from tests.support.readers import read_all
from twolane import (
    Bytes,
    ClosedProducerError,
    ConfigError,
    DeliveryError,
    SafeProducer,
    SerializationError,
    ThroughputProducer,
    TimestampError,
    Verdict,
)
from twolane.common import topics

PRODUCE = 0
NOW = 1_700_000_000_000
LANES = [SafeProducer, ThroughputProducer]


@pytest.fixture(params=LANES, ids=["safe", "throughput"])
def lane(request):
    return request.param


@pytest.fixture
def producer(lane, embedded_cluster):
    with lane(bootstrap_servers=embedded_cluster.bootstrap_servers) as made:
        yield made


@pytest.fixture
def name(embedded_cluster, topic):
    return topic(embedded_cluster, 3)


@pytest.fixture
def nothing_sent(embedded_cluster, producer, name):
    """Check at the test's end that no record was handed over, no request left, and the log is empty."""
    yield
    assert producer.stats().accepted == 0
    assert embedded_cluster.requests(PRODUCE) == []
    assert read_all(embedded_cluster.bootstrap_servers, name) == []


# ---- brokers and topics --------------------------------------------------------------------------------------------


@pytest.fixture
def nobody():
    """Give an address without a listener."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


@pytest.mark.timing
@pytest.mark.parametrize("call", ["send", "send_batch", "partitions_for"])
def test_an_unreachable_broker_is_an_error_within_the_timeout_that_names_it(lane, nobody, call):
    with lane(bootstrap_servers=nobody) as producer:
        started = time.monotonic()
        with pytest.raises(DeliveryError) as caught:
            if call == "send":
                producer.send("t", b"v", timeout=0.7)
            elif call == "send_batch":
                producer.send_batch("t", [b"v"], timeout=0.7)
            else:
                producer.partitions_for("t", timeout=0.7)
        assert time.monotonic() - started < 0.7 + 1.5
        assert nobody in str(caught.value)
        assert caught.value.verdict is Verdict.NOT_WRITTEN
        assert isinstance(caught.value, KafkaException)
        assert producer.stats().accepted == 0


@pytest.mark.timing
def test_an_unreachable_broker_is_an_error_within_message_timeout_ms(lane, nobody):
    with lane(bootstrap_servers=nobody, message_timeout_ms=600) as producer:
        started = time.monotonic()
        with pytest.raises(DeliveryError, match=nobody):
            producer.send("t", b"v")
        assert time.monotonic() - started < 0.6 + 1.5


@pytest.mark.timing
def test_an_unknown_topic_is_named(embedded_cluster, producer, nothing_sent, monkeypatch):
    monkeypatch.setattr(topics, "PROPAGATION", 0.3)
    embedded_cluster.create_topic("absent", 1)
    embedded_cluster.set_topic_error("absent", "UNKNOWN_TOPIC_OR_PART")
    for call in (lambda: producer.send("absent", b"v"), lambda: producer.send_batch("absent", [b"v"])):
        started = time.monotonic()
        with pytest.raises(DeliveryError, match="absent") as caught:
            call()
        assert time.monotonic() - started < 5
        assert caught.value.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART
        assert caught.value.verdict is Verdict.NOT_WRITTEN


@pytest.mark.timing
def test_a_topic_that_is_not_ours_is_an_error_at_once(embedded_cluster, producer, nothing_sent):
    embedded_cluster.create_topic("secret", 1)
    embedded_cluster.set_topic_error("secret", "TOPIC_AUTHORIZATION_FAILED")
    started = time.monotonic()
    with pytest.raises(DeliveryError) as caught:
        producer.send("secret", b"v")
    assert time.monotonic() - started < 2
    assert caught.value.error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED


@pytest.mark.parametrize("bad", [None, 7, b"bytes"])
def test_a_topic_is_named_by_a_string(producer, nothing_sent, bad):
    with pytest.raises(SerializationError, match="topic"):
        producer.send(bad, b"v")
    with pytest.raises(SerializationError, match="topic"):
        producer.send_batch(bad, [b"v"])


@pytest.mark.parametrize("bad", ["", "x" * 250, "nul\0"])
def test_names_that_cannot_be_topics_are_refused(producer, nothing_sent, bad):
    with pytest.raises(ConfigError, match="topic name"):
        producer.send(bad, b"v")


# ---- partitions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("partition", [3, -1, 2**31 - 1, 2**40])
def test_a_partition_out_of_range_is_refused(producer, name, nothing_sent, partition):
    with pytest.raises(DeliveryError, match="the topic has 3") as caught:
        producer.send(name, b"v", partition=partition)
    assert caught.value.error.code() == KafkaError._UNKNOWN_PARTITION
    assert caught.value.partition == partition
    assert caught.value.verdict is Verdict.NOT_WRITTEN
    with pytest.raises(DeliveryError, match="the topic has 3"):
        producer.send_batch(name, [b"v", b"w"], partitions=partition)


def test_a_partition_out_of_range_in_a_column_is_named_by_its_record(producer, name, nothing_sent):
    for column in (
        [0, 1, 2, 3],
        np.array([0, 1, 2, -1]),
        np.array([0, 1, 2, 2**31 - 1], dtype=np.int64),
        np.array([0, 1, 2, 7], dtype=np.uint8),
    ):
        with pytest.raises(DeliveryError) as caught:
            producer.send_batch(name, [b"v"] * 4, partitions=column)
        assert caught.value.index == 3
        assert caught.value.error.code() == KafkaError._UNKNOWN_PARTITION


@pytest.mark.parametrize("bad", [True, "0", 1.0, b"0"])
def test_a_partition_of_a_wrong_type_is_refused(producer, name, nothing_sent, bad):
    with pytest.raises(SerializationError, match="partition"):
        producer.send(name, b"v", partition=bad)


@pytest.mark.parametrize("bad", [[0, 1.5], [0, "1"], [0, None], np.array([0.0, 1.0]), [0, 2**40]])
def test_a_column_of_partitions_of_a_wrong_type_is_refused(producer, name, nothing_sent, bad):
    with pytest.raises(SerializationError, match="partition"):
        producer.send_batch(name, [b"v"] * 2, partitions=bad)


# ---- values, keys, columns -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [7, 1.5, {"a": 1}, ["x"], object()], ids=lambda bad: type(bad).__name__)
def test_a_value_or_key_of_a_wrong_type_is_refused(producer, name, nothing_sent, bad):
    with pytest.raises(SerializationError, match=name):
        producer.send(name, bad)
    with pytest.raises(SerializationError, match=name):
        producer.send(name, b"v", key=bad)


@pytest.mark.parametrize("where", [0, 3, 9_999])
def test_a_value_of_a_wrong_type_in_a_batch_is_named_by_its_record(producer, name, nothing_sent, where):
    values = [b"v"] * 10_000
    values[where] = 7
    with pytest.raises(SerializationError) as caught:
        producer.send_batch(name, values)
    assert caught.value.index == where
    assert caught.value.topic == name
    with pytest.raises(SerializationError) as caught:
        producer.send_batch(name, [b"v"] * 10_000, keys=values)
    assert caught.value.index == where


def test_the_value_in_an_error_is_cut_short(producer, name, nothing_sent):
    with pytest.raises(SerializationError) as caught:
        producer.send_batch(name, [b"v", {"secret": "x" * 10_000}])
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("bad", [7, None, "text", b"bytes", object()], ids=lambda bad: type(bad).__name__)
def test_values_that_are_no_sequence_are_refused(producer, name, nothing_sent, bad):
    with pytest.raises(SerializationError):
        producer.send_batch(name, bad)


@pytest.mark.parametrize(
    "columns",
    [
        {"keys": [b"k"] * 3},
        {"keys": [b"k"] * 5},
        {"keys": []},
        {"timestamps": [NOW] * 3},
        {"timestamps": np.full(5, NOW)},
        {"partitions": [0] * 3},
        {"partitions": np.zeros(5, dtype=np.int32)},
        {"headers": [{"a": b"1"}] * 3},
    ],
    ids=lambda columns: "-".join(f"{key}-{len(value)}" for key, value in columns.items()),
)
def test_columns_of_unequal_length_are_refused(producer, name, nothing_sent, columns):
    with pytest.raises(SerializationError) as caught:
        producer.send_batch(name, [b"v"] * 4, **columns)
    assert next(iter(columns)) in str(caught.value)


class OneByte:
    """Columns of any kind to records of one byte."""

    def bind(self, values):
        return Bytes().bind([b"1"] * len(values))


@pytest.mark.parametrize("what", ["keys", "timestamps", "partitions"])
def test_the_name_of_a_column_that_is_not_there_is_refused(producer, name, nothing_sent, what):
    with pytest.raises(SerializationError, match="nowhere"):
        producer.send_batch(name, {"a": np.arange(2)}, serializer=OneByte(), **{what: "nowhere"})


# ---- times ---------------------------------------------------------------------------------------------------------


BAD_TIMES = {
    "zero": 0,
    "negative": -1,
    "NaT": np.datetime64("NaT", "s"),
    "naive": datetime.datetime(2024, 1, 1),  # noqa: DTZ001 - that is the point
    "before 1970": datetime.datetime(1969, 1, 1, tzinfo=datetime.UTC),
    "text": "2024-01-01",
    "bool": True,
    "overflow": 2**70,
    "seconds as milliseconds": 1_700_000_000,
}


@pytest.mark.parametrize("bad", BAD_TIMES.values(), ids=BAD_TIMES)
def test_a_time_that_cannot_be_is_refused(producer, name, nothing_sent, bad):
    with pytest.raises(TimestampError, match=name):
        producer.send(name, b"v", timestamp=bad)
    with pytest.raises(TimestampError) as caught:
        producer.send_batch(name, [b"v"] * 3, timestamps=[NOW, NOW, bad])
    assert caught.value.index == 2
    assert caught.value.topic == name


@pytest.mark.parametrize(
    "column",
    [
        np.array([NOW, NOW, 0]),
        np.array([NOW, NOW, -5]),
        np.array(["2024-01-01", "2024-01-02", "NaT"], dtype="datetime64[us]"),
        np.array(["2024-01-01", "2024-01-02", "1969-12-31"], dtype="datetime64[ns]"),
        [NOW, NOW, None],
    ],
)
def test_a_time_in_a_column_that_cannot_be_is_named_by_its_record(producer, name, nothing_sent, column):
    with pytest.raises(TimestampError) as caught:
        producer.send_batch(name, [b"v"] * 3, timestamps=column)
    assert caught.value.index == 2


# ---- sizes ---------------------------------------------------------------------------------------------------------


def test_a_record_over_the_limit_is_refused_before_anything_of_the_call(producer, name, nothing_sent):
    big = b"x" * 1_000_001
    with pytest.raises(DeliveryError, match=r"message\.max\.bytes") as caught:
        producer.send(name, big)
    assert caught.value.error.code() == KafkaError.MSG_SIZE_TOO_LARGE
    for where in (0, 2_500, 4_999):
        values = [b"v"] * 5_000
        values[where] = big
        with pytest.raises(DeliveryError) as caught:
            producer.send_batch(name, values)
        assert caught.value.index == where
        assert caught.value.error.code() == KafkaError.MSG_SIZE_TOO_LARGE
        assert caught.value.verdict is Verdict.NOT_WRITTEN


@pytest.mark.parametrize("part", ["key", "headers"])
def test_keys_and_headers_count_towards_the_limit(producer, name, nothing_sent, part):
    half = b"x" * 600_000
    one = {"key": half} if part == "key" else {"headers": {"h": half}}
    many = {"keys": [b"k", half]} if part == "key" else {"headers": [None, {"h": half}]}
    with pytest.raises(DeliveryError, match=r"message\.max\.bytes"):
        producer.send(name, half, **one)
    with pytest.raises(DeliveryError) as caught:
        producer.send_batch(name, [half, half], **many)
    assert caught.value.index == 1


def test_the_limit_is_the_users(lane, embedded_cluster, topic):
    name = topic(embedded_cluster)
    with lane(bootstrap_servers=embedded_cluster.bootstrap_servers, message_max_bytes=2_000) as producer:
        with pytest.raises(DeliveryError):
            producer.send(name, b"x" * 2_000)
        producer.send(name, b"x" * 1_900)
    assert [len(record.value) for record in read_all(embedded_cluster.bootstrap_servers, name)] == [1_900]


@pytest.mark.parametrize(
    ("key", "headers"),
    [(None, None), (b"k" * 30, None), (None, {"n": b"v" * 20, "null": None}), (b"k", {"é": b"", "name": b"value"})],
)
def test_a_record_is_too_large_where_it_is_for_librdkafka(lane, embedded_cluster, topic, key, headers):
    librdkafka = Producer({"bootstrap.servers": "localhost:1", "message.max.bytes": 2_000, "log_level": 0})

    def is_refused(size):
        try:
            librdkafka.produce("t", b"x" * size, key, headers=headers)
        except KafkaException as error:
            return error.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE
        return False

    largest = bisect_left(range(3_000), True, key=is_refused) - 1
    assert 1_500 < largest < 2_000
    librdkafka.purge()
    librdkafka.flush(10)
    name, given = topic(embedded_cluster), {"key": key, "headers": headers}
    columns = {name: [value, value] for name, value in (headers or {}).items()}
    with lane(bootstrap_servers=embedded_cluster.bootstrap_servers, message_max_bytes=2_000) as producer:
        producer.send(name, b"x" * largest, **given)
        for each in (headers, [headers, headers], columns):
            producer.send_batch(name, [b"", b"x" * largest], keys=[key, key], headers=each)
            with pytest.raises(DeliveryError, match=r"record 1: .*2001 bytes .*message\.max\.bytes is 2000") as caught:
                producer.send_batch(name, [b"", b"x" * (largest + 1)], keys=[key, key], headers=each)
            assert caught.value.verdict is Verdict.NOT_WRITTEN
        with pytest.raises(DeliveryError, match=r"2001 bytes .*message\.max\.bytes is 2000"):
            producer.send(name, b"x" * (largest + 1), **given)


# ---- headers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad",
    [
        {1: b"v"},
        {b"n": b"v"},
        {"": b"v"},
        {"a\0b": b"v"},
        {"n": 7},
        "text",
        b"bytes",
        7,
        [("n",)],
        [("n", b"v", 1)],
        [7],
    ],
    ids=repr,
)
def test_bad_headers_are_refused(producer, name, nothing_sent, bad):
    with pytest.raises(SerializationError, match="header"):
        producer.send(name, b"v", headers=bad)
    with pytest.raises(SerializationError, match="header"):
        producer.send_batch(name, [b"v", b"w"], headers=bad)


def test_bad_headers_of_one_record_are_named_by_it(producer, name, nothing_sent):
    with pytest.raises(SerializationError) as caught:
        producer.send_batch(name, [b"v"] * 3, headers=[{"a": b"1"}, None, {"a": 7}])
    assert caught.value.index == 2


@pytest.mark.parametrize(
    ("headers", "field", "index"),
    [
        ({"a": [b"1", 7, b"3"]}, "headers['a']", 1),
        ({"a": [b"1", b"2"]}, "headers['a']", None),
        ({"a": np.arange(3)}, "headers['a']", None),
        ({"": [b"1", b"2", b"3"]}, "headers", None),
        ({"a": {1, 2, 3}}, "headers['a']", None),
        ({"a": {b"1": 1, b"2": 2, b"3": 3}}, "headers['a']", None),
        ([("a", ["\ud800", "", ""])], "headers['a']", 0),
        (["missing"], "missing", None),
        ("missing", "missing", None),
    ],
    ids=repr,
)
def test_bad_columns_of_headers_are_named(producer, name, nothing_sent, headers, field, index):
    with pytest.raises(SerializationError) as caught:
        producer.send_batch(name, [b"v"] * 3, headers=headers)
    assert caught.value.field == field
    assert caught.value.index == index
    assert caught.value.topic == name


def test_a_column_of_headers_counts_towards_the_limit(producer, name, nothing_sent):
    with pytest.raises(DeliveryError) as caught:
        producer.send_batch(name, [b"v"] * 3, headers={"a": [b"", b"x" * 1_000_000, b""]})
    assert caught.value.index == 1
    assert caught.value.error.code() == KafkaError.MSG_SIZE_TOO_LARGE


# ---- the end -------------------------------------------------------------------------------------------------------


def test_after_close_everything_is_refused(lane, embedded_cluster, topic):
    name = topic(embedded_cluster)
    producer = lane(bootstrap_servers=embedded_cluster.bootstrap_servers)
    producer.send(name, b"before")
    producer.close()
    producer.close()
    for call in (
        lambda: producer.send(name, b"after"),
        lambda: producer.send("another", b"after"),
        lambda: producer.send_batch(name, [b"after"]),
        lambda: producer.partitions_for(name),
    ):
        with pytest.raises(ClosedProducerError):
            call()
    assert [record.value for record in read_all(embedded_cluster.bootstrap_servers, name)] == [b"before"]
    assert producer.stats().written == 1
    assert "closed" in repr(producer)


def test_it_cannot_be_pickled(producer):
    with pytest.raises(TypeError, match="make one in each process"):
        pickle.dumps(producer)
