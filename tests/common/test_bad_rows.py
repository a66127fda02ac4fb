"""``send_batch(on_bad_row="skip")`` on both lanes: the good rows go, the bad ones are named; ``opaque=`` comes back.

The log is read with confluent-kafka's consumer, and values with fastavro.
"""

from __future__ import annotations

import asyncio
import datetime
import io
import itertools
import pickle
from typing import Any

import fastavro
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from confluent_kafka import KafkaError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.readers import ReadRecord, read_all
from twolane import (
    Avro,
    BatchError,
    Bytes,
    ConfigError,
    DeliveryError,
    Json,
    QueueFullError,
    SafeProducer,
    SerializationError,
    ThroughputProducer,
    TimestampError,
    Timestamps,
    Verdict,
)

PRODUCE = 0
NOW = 1_700_000_000_000
MOST = 4_000
SCHEMA = {
    "type": "record",
    "name": "R",
    "fields": [{"name": "id", "type": "int"}, {"name": "text", "type": "string"}],
}
PARSED = fastavro.parse_schema(SCHEMA)
LANES = [SafeProducer, ThroughputProducer]
numbers = itertools.count()


@pytest.fixture(params=LANES, ids=["safe", "throughput"])
def lane(request):
    return request.param


@pytest.fixture
def producer(lane, embedded_cluster):
    with lane(bootstrap_servers=embedded_cluster.bootstrap_servers, message_max_bytes=MOST) as made:
        yield made


def sent(producer: Any, *arguments: Any, **keywords: Any) -> Any:
    """Send a batch and wait for its end."""
    outcome = producer.send_batch(*arguments, **keywords)
    return outcome if isinstance(producer, SafeProducer) else outcome.result(20)


# ---- any mixture, in any container ------------------------------------------------------------------------------

# A call's columns by record: (id, text, key, header, timestamp, partition); what is bad of a bad row, and its error.
GOOD = (1, "é", b"k", b"h", NOW, 0)
BAD: list[tuple[int, Any, type[Exception]]] = [
    (0, 2**40, SerializationError),
    (1, "x" * MOST, DeliveryError),
    (4, 0, TimestampError),
    (5, 3, DeliveryError),
]
# Of Python objects there are more kinds of it than of arrays.
BAD_OBJECTS: list[tuple[int, Any, type[Exception]]] = [
    *BAD,
    (0, None, SerializationError),
    (0, "one", SerializationError),
    (1, "\ud800", SerializationError),
    (2, 7, SerializationError),
    (3, 7, SerializationError),
    (4, None, TimestampError),
    (5, None, SerializationError),
]


def mixtures(bad: Any) -> Any:
    good = st.builds(
        lambda number, text, key, time, place: [(number, text, key, b"h%d" % place, time, place)],
        st.integers(-(2**31), 2**31 - 1),
        st.text(max_size=5).filter(lambda text: text.isprintable()),
        st.binary(min_size=1, max_size=3).filter(lambda key: not key.endswith(b"\0")),
        st.integers(NOW, NOW + 10**9),
        st.integers(0, 2),
    )
    run = st.tuples(good, st.integers(1, 30)).map(lambda pair: pair[0] * pair[1])
    faults = st.lists(st.sampled_from(bad), min_size=1, max_size=2)
    broken = faults.map(lambda chosen: [spoilt(chosen)])
    return st.lists(st.one_of(good, run, broken), max_size=8).map(lambda parts: [one for part in parts for one in part])


def spoilt(faults: Any) -> tuple[Any, ...]:
    row = list(GOOD)
    for place, value, _ in faults:
        row[place] = value
    return tuple(row)


def of_lists(rows: Any) -> dict[str, Any]:
    ids, texts, keys, headers, times, places = ([row[i] for row in rows] for i in range(6))
    return {
        "values": [{"id": one, "text": text} for one, text in zip(ids, texts, strict=True)],
        "keys": keys,
        "headers": [{"h": header} for header in headers],
        "timestamps": times,
        "partitions": places,
    }


def of_named_rows(rows: Any) -> dict[str, Any]:
    names = ("id", "text", "key", "h", "time", "place")
    return {
        "values": (dict(zip(names, row, strict=True)) for row in rows),
        "keys": "key",
        "headers": ["h"],
        "timestamps": "time",
        "partitions": "place",
    }


def of_dict(rows: Any) -> dict[str, Any]:
    lists = of_lists(rows)
    values = {"id": [row[0] for row in rows], "text": [row[1] for row in rows]}
    return {**lists, "values": values, "headers": {"h": [row[3] for row in rows]}}


def of_arrow(rows: Any) -> dict[str, Any]:
    types = [("id", pa.int64()), ("text", pa.string()), ("key", pa.binary()), ("h", pa.binary()), ("time", pa.int64())]
    types.append(("place", pa.int32()))
    columns = [pa.array([row[i] for row in rows], kind) for i, (_, kind) in enumerate(types)]
    table = pa.table(dict(zip([name for name, _ in types], columns, strict=True)))
    half = len(rows) // 2
    return {
        "values": pa.concat_tables([table.slice(0, half), table.slice(half)]),
        "keys": "key",
        "headers": ["h"],
        "timestamps": "time",
        "partitions": "place",
    }


def of_numpy(rows: Any) -> dict[str, Any]:
    dtype = [("id", "i8"), ("text", f"U{MOST}"), ("key", "S3"), ("h", "S3"), ("time", "M8[ms]"), ("place", "i8")]
    made = np.array([(*row[:4], np.datetime64(row[4], "ms"), row[5]) for row in rows], dtype=dtype)
    return {"values": made, "keys": "key", "headers": ["h"], "timestamps": "time", "partitions": made["place"]}


CONTAINERS = {
    "lists": (of_lists, BAD_OBJECTS),
    "rows by name": (of_named_rows, BAD_OBJECTS),
    "dict": (of_dict, BAD_OBJECTS),
    "arrow": (
        of_arrow,
        [*BAD, (0, None, SerializationError), (4, None, TimestampError), (5, None, SerializationError)],
    ),
    "numpy": (of_numpy, BAD),
}


def refusal_alone(producer: Any, topic: str, call: dict[str, Any]) -> Exception | None:
    """Return what the row raises alone. A good one is not sent for that."""
    try:
        producer.send_batch(topic, **call, serializer=Avro(SCHEMA))
    except (SerializationError, DeliveryError) as error:
        return error
    return None


@pytest.mark.parametrize("container", CONTAINERS)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_exactly_the_good_rows_go_in_order_and_each_bad_one_has_its_error(producer, embedded_cluster, container, data):
    make, bad = CONTAINERS[container]
    rows = data.draw(mixtures(bad))
    topic = f"mixture-{next(numbers)}"
    embedded_cluster.create_topic(topic, 3)
    before = producer.stats()
    metadata = sent(producer, topic, **make(rows), serializer=Avro(SCHEMA), on_bad_row="skip", opaque=topic)
    spoiled = [
        index
        for index, row in enumerate(rows)
        if any(row[place] is value or row[place] == value for place, value, _ in bad)
    ]
    good = [index for index in range(len(rows)) if index not in set(spoiled)]
    assert metadata.refused.indices.tolist() == spoiled
    assert len(metadata) == len(rows)
    assert (metadata.written, metadata.failed, len(metadata.refused)) == (len(good), 0, len(spoiled))
    after = producer.stats()
    assert (after.accepted - before.accepted, after.refused - before.refused) == (len(good), len(spoiled))

    def wanted(index: int, partition: int, offset: int) -> ReadRecord:
        row = rows[index]
        out = io.BytesIO()
        fastavro.schemaless_writer(out, PARSED, {"id": row[0], "text": row[1]})
        return ReadRecord(partition, offset, row[2], out.getvalue(), [("h", row[3])], (1, row[4]))

    log = read_all(embedded_cluster.bootstrap_servers, topic, expected=len(good))
    in_order = [wanted(i, int(metadata.partitions[i]), int(metadata.offsets[i])) for i in good]
    assert log == sorted(in_order, key=lambda record: record.partition)  # stable: the order of the call
    assert [rows[i][5] for i in good] == metadata.partitions[good].tolist()
    assert metadata.offsets[spoiled].tolist() == [-1] * len(spoiled)
    assert metadata.partitions[spoiled].tolist() == [-1] * len(spoiled)
    for index, error in zip(spoiled, metadata.refused, strict=True):
        alone: Any = refusal_alone(producer, topic, make([rows[index]]))
        alone.index = index
        assert (type(error), str(error)) == (type(alone), str(alone))
        assert error.opaque == topic  # type: ignore[attr-defined]
    assert producer.stats().accepted == after.accepted


# ---- beside failures --------------------------------------------------------------------------------------------


def test_of_each_row_one_thing_is_said_by_the_callers_number(producer, embedded_cluster, topic):
    name = topic(embedded_cluster, 1)
    embedded_cluster.push_errors(PRODUCE, [KafkaError.INVALID_RECORD])
    values = ["a", 1, "b", "c", 2]
    with pytest.raises(BatchError) as caught:
        sent(producer, name, values, on_bad_row="skip", opaque=values)
    metadata = caught.value.metadata
    assert [error.index for error in metadata.failures] == [0, 2, 3]
    assert [error.verdict for error in metadata.failures] == [Verdict.NOT_WRITTEN] * 3
    assert [error.index for error in metadata.refused] == [1, 4]
    assert (metadata.written, metadata.failed) == (0, 3)
    # Enough for a dead letter, with nothing kept on the side.
    assert [error.opaque[error.index] for error in metadata.failures] == ["a", "b", "c"]
    assert caught.value.opaque is values
    for copied in (pickle.loads(pickle.dumps(metadata)), pickle.loads(pickle.dumps(caught.value)).metadata):
        assert [str(error) for error in copied.refused] == [str(error) for error in metadata.refused]
        assert [error.index for error in copied.failures] == [0, 2, 3]
        assert copied.failures[0].opaque == values


def test_what_stopped_in_the_middle_is_told_by_the_callers_numbers(embedded_cluster, topic):
    name = topic(embedded_cluster, 1)
    settings = {"bootstrap.servers": embedded_cluster.bootstrap_servers, "linger.ms": 200}
    with ThroughputProducer(settings, on_full="raise", queue_buffering_max_messages=4) as producer:
        values = [1, *"ab", 2, *"cdef", 3]
        with pytest.raises(QueueFullError) as caught:
            producer.send_batch(name, values, on_bad_row="skip")
        delivery = caught.value.delivery
        assert delivery.accepted == 4
        assert values[caught.value.index] == "e"
        producer.flush(20)
        metadata = delivery.result(20)
        assert len(metadata) == caught.value.index
        assert metadata.offsets.tolist() == [-1, 0, 1, -1, 2, 3]
        assert metadata.refused.indices.tolist() == [0, 3]
        assert delivery.refused.indices.tolist() == [0, 3, 8]
        assert len(delivery) == 9


def test_a_call_of_bad_rows_sends_nothing_and_ends(producer, embedded_cluster, topic):
    name = topic(embedded_cluster, 2)
    metadata = sent(producer, name, [1, 2], on_bad_row="skip")
    assert (len(metadata), metadata.written, metadata.failed) == (2, 0, 0)
    assert metadata.refused.indices.tolist() == [0, 1]
    assert embedded_cluster.requests(PRODUCE) == []
    assert sent(producer, name, [], on_bad_row="skip").refused.indices.tolist() == []


def test_what_concerns_the_whole_call_is_raised(producer, embedded_cluster, topic):
    name = topic(embedded_cluster, 2)

    def refused(match: str, *values: Any, **arguments: Any) -> None:
        with pytest.raises((SerializationError, DeliveryError, ConfigError), match=match):
            producer.send_batch(*values, on_bad_row=arguments.pop("on_bad_row", "skip"), **arguments)

    embedded_cluster.set_topic_error("no-such-topic", KafkaError.TOPIC_AUTHORIZATION_FAILED)
    refused("TOPIC_AUTHORIZATION_FAILED", "no-such-topic", ["a", 1], timeout=5)
    refused("expected 2 entries", name, ["a", 1], keys=["k"])
    refused("expected 2 entries", name, ["a", 1], headers={"h": [b"1"]})
    refused("expected 2 entries", name, ["a", 1], timestamps=[NOW])
    refused("expected 2 entries", name, ["a", 1], partitions=[0])
    refused("partition 2 does not exist", name, ["a", 1], partitions=2)
    refused("no usable timestamp", name, ["a", 1], timestamps=0)
    refused("expected a sequence of rows", name, 7)
    refused("names no column", name, [{"a": 1}], keys="b")
    refused("expected 'raise' or 'skip'", name, ["a"], on_bad_row="drop")
    assert producer.stats().accepted == 0


def test_a_row_that_c_code_overlooks_is_found_all_the_same(producer, embedded_cluster, topic, monkeypatch):
    monkeypatch.setattr(
        Avro, "suspects", lambda _, table: (np.full(len(table), -1, np.int32), np.zeros(len(table), "u1"))
    )
    name = topic(embedded_cluster, 1)
    table = pa.table({"id": [1, 2**40, 3], "text": ["a", "b", None]})
    assert sent(producer, name, table, serializer=Avro(SCHEMA), on_bad_row="skip").refused.indices.tolist() == [1, 2]
    assert Avro(SCHEMA).encode_batch(table, on_bad_row="skip").refused.indices.tolist() == [1, 2]


def test_rows_without_the_key_that_is_named_are_bad_rows(producer, embedded_cluster, topic):
    name = topic(embedded_cluster, 1)
    rows = [{"id": 1, "text": "a", "k": b"x"}, {"id": 2, "text": "b"}, {"id": 3, "text": "c", "k": b"z"}]
    metadata = sent(producer, name, rows, keys="k", serializer=Avro(SCHEMA), on_bad_row="skip")
    assert str(metadata.refused[0]) == (
        f"cannot serialize (topic {name!r}, record 1, field 'k'): keys='k' names no column of these values"
    )
    assert [record.key for record in read_all(embedded_cluster.bootstrap_servers, name)] == [b"x", b"z"]


def test_key_serializers_and_headers_of_times_skip_too(producer, embedded_cluster, topic):
    name = topic(embedded_cluster, 1)
    keys = Avro({"type": "record", "name": "K", "fields": [{"name": "n", "type": "int"}]})
    metadata = sent(
        producer,
        name,
        ["a", "b", "c", "d"],
        keys={"n": np.array([1, 2**40, 3, 4])},
        key_serializer=keys,
        timestamps=[NOW, NOW, None, NOW],
        timestamp_header="ns",
        on_bad_row="skip",
    )
    assert [error.field for error in metadata.refused] == ["keys.n", "timestamps"]
    log = read_all(embedded_cluster.bootstrap_servers, name)
    assert [record.value for record in log] == [b"a", b"d"]
    assert [record.key for record in log] == [b"\x02", b"\x08"]
    assert log[0].headers == [("ns", (NOW * 1_000_000).to_bytes(8, "big"))]


def test_what_times_mean_counts_when_they_are_looked_at(producer, embedded_cluster, topic):
    name = topic(embedded_cluster, 1)
    when, before = (datetime.datetime.fromisoformat(text) for text in ("2023-11-14T22:13:20", "1960-01-01"))
    naive = [when, None, "never", before]
    rows = [{"v": number, "at": time} for number, time in enumerate(naive)]

    def refused(times: Any) -> list[int]:
        metadata = sent(producer, name, rows, timestamps=times, serializer=Json(), on_bad_row="skip")
        return metadata.refused.indices.tolist()

    for times in ("at", naive, iter(naive)):
        assert refused(Timestamps(times, naive="utc", missing="now")) == [2, 3]
    assert refused("at") == refused(naive) == [0, 1, 2, 3]
    log = read_all(embedded_cluster.bootstrap_servers, name)
    assert [record.value[:6] for record in log] == [b'{"v":0', b'{"v":1'] * 3
    assert log[0].timestamp == (1, NOW)


# ---- opaque -----------------------------------------------------------------------------------------------------


def test_the_callers_object_comes_back_with_a_record(producer, embedded_cluster, topic):
    name = topic(embedded_cluster, 1)
    told: list[Any] = []

    def send(value: str, opaque: Any) -> None:
        if isinstance(producer, ThroughputProducer):
            producer.send(name, value, opaque=opaque, on_delivery=lambda *both: told.append(both), key=b"k")
            producer.flush(20)
            return
        try:
            told.append((None, producer.send(name, value, opaque=opaque)))
        except DeliveryError as error:
            told.append((error, None))

    mine = object()
    send("a", mine)
    send("b", None)
    embedded_cluster.push_errors(PRODUCE, [KafkaError.INVALID_RECORD])
    send("c", mine)
    embedded_cluster.push_errors(PRODUCE, [KafkaError.INVALID_RECORD])
    send("d", None)
    (_, first), (_, second), (third, _), (fourth, _) = told
    assert [first.opaque, second.opaque, third.opaque, fourth.opaque] == [mine, None, mine, None]
    assert [*first] == [name, 0, 0, first.timestamp, first.timestamp_type]
    assert first == first._replace(offset=0)
    assert repr(first) == repr(second).replace("offset=1", "offset=0").replace(
        str(second.timestamp), str(first.timestamp)
    )
    assert third.verdict is Verdict.NOT_WRITTEN


def test_the_callers_objects_come_back_in_a_fast_loop_and_are_let_go(embedded_cluster, topic):
    name = topic(embedded_cluster, 3)

    class Mine(int):
        alive = 0

        def __new__(cls, number: int) -> Mine:
            cls.alive += 1
            return super().__new__(cls, number)

        def __del__(self) -> None:
            Mine.alive -= 1

    got: list[tuple[int, int]] = []
    with ThroughputProducer(bootstrap_servers=embedded_cluster.bootstrap_servers) as producer:
        for i in range(5_000):
            producer.send(
                name,
                b"%d" % i,
                key=b"%d" % i,
                opaque=Mine(i),
                on_delivery=lambda error, metadata, i=i: got.append((i, int(metadata.opaque))),
            )
        producer.flush(20)
        assert sorted(got) == [(i, i) for i in range(5_000)]
        assert Mine.alive == 0
        with pytest.raises(TypeError, match="opaque is for on_delivery"):
            producer.send(name, b"x", opaque=1)


def test_the_callers_object_comes_back_with_a_batch(producer, embedded_cluster, topic):
    name = topic(embedded_cluster, 1)
    mine = object()
    outcome = producer.send_batch(name, ["a"], opaque=mine)
    if isinstance(producer, ThroughputProducer):
        assert outcome.opaque is mine
        assert asyncio.run(awaited(outcome)).opaque is mine
        outcome = outcome.result(20)
    assert outcome.opaque is mine
    assert sent(producer, name, ["a"]).opaque is None


async def awaited(delivery: Any) -> Any:
    return await delivery


# ---- what others bring ------------------------------------------------------------------------------------------


class ReadOnce:
    """An Arrow stream that can be taken once, and tells no length."""

    def __init__(self, values: list[Any]) -> None:
        self._stream = pa.chunked_array([values])

    def __arrow_c_stream__(self, schema: Any = None) -> Any:
        stream, self._stream = self._stream, None
        return stream.__arrow_c_stream__(schema)


class Unfit(SerializationError):
    """An error whose constructor asks for something else."""

    def __init__(self, code: int, index: int) -> None:
        super().__init__("unfit", index=index)
        self.codes = [code]


class OwnSerializer:
    """It reads what it is given by iteration, and may count rows from another number than 0."""

    def __init__(self, first: int = 0) -> None:
        self._first = first
        self.kinds: set[type] = set()
        self.calls = 0

    def bind(self, values: Any) -> Any:
        self.kinds.add(type(values))
        self.calls += 1
        assert self.calls < 1_000
        for index, value in enumerate(values):
            if value == "bad":
                raise Unfit(7, index + self._first)
        return Bytes().bind([str(value) for value in values])


@pytest.mark.parametrize("partition", [1, np.int32(1)])
def test_a_row_too_large_is_left_out_where_one_partition_is_given_for_all(producer, embedded_cluster, topic, partition):
    name = topic(embedded_cluster, 2)
    metadata = sent(producer, name, ["a", "x" * MOST, "b"], partitions=partition, on_bad_row="skip")
    assert metadata.refused.indices.tolist() == [1]
    assert metadata.partitions.tolist() == [1, -1, 1]


def test_what_can_be_read_once_is_read_once(producer, embedded_cluster, topic):
    name = topic(embedded_cluster, 1)
    times = [NOW, NOW + 1, NOW + 2, NOW + 3]
    # What is looked at first is bad, or last.
    for values, places in ((["a", "b", "c", "d"], [0, 3, 0, 0]), (["a", 1, "c", "d"], [0, 0, 0, 0])):
        for stream in (ReadOnce(times), Timestamps(ReadOnce(times))):
            columns: dict[str, Any] = {"keys": ReadOnce([b"p", b"q", b"r", b"s"]), "partitions": ReadOnce(places)}
            metadata = sent(producer, name, values, timestamps=stream, **columns, on_bad_row="skip")
            assert metadata.refused.indices.tolist() == [1]
    log = read_all(embedded_cluster.bootstrap_servers, name, expected=12)
    wanted = [(b"p", (1, NOW)), (b"r", (1, NOW + 2)), (b"s", (1, NOW + 3))] * 4
    assert [(record.key, record.timestamp) for record in log] == wanted


def test_a_users_error_stays_what_it_is(producer, embedded_cluster, topic):
    name = topic(embedded_cluster, 1)
    refused = sent(producer, name, ["a", "bad", "b"], serializer=OwnSerializer(), on_bad_row="skip").refused
    for error in (*refused, *pickle.loads(pickle.dumps(refused))):
        assert (type(error), error.index, error.topic, error.codes) == (Unfit, 1, name, [7])


@pytest.mark.parametrize("first", [-1, 1, 1000])
def test_a_serializer_that_counts_rows_from_another_number_still_ends(producer, embedded_cluster, topic, first):
    name = topic(embedded_cluster, 1)
    values = ["a", "bad", "b", "c", "bad", "bad", "d"]
    metadata = sent(producer, name, values, serializer=OwnSerializer(first), on_bad_row="skip")
    assert metadata.refused.indices.tolist() == [1, 4, 5]
    assert metadata.written == 4


@pytest.mark.parametrize(
    "make",
    [np.array, list, pd.Series, lambda rows: pd.Series(rows, index=np.linspace(2, 1, len(rows))), pl.Series],
    ids=["numpy", "list", "pandas", "pandas with labels", "polars"],
)
def test_serializers_of_the_users_own_get_the_kind_of_column_that_was_given(producer, embedded_cluster, topic, make):
    name = topic(embedded_cluster, 1)
    values, keys = make(["a", "bad", "b", "c"]), make(["k", "l", "bad", "m"])
    of_values, of_keys = OwnSerializer(), OwnSerializer()
    metadata = sent(producer, name, values, keys=keys, serializer=of_values, key_serializer=of_keys, on_bad_row="skip")
    assert metadata.refused.indices.tolist() == [1, 2]
    assert of_values.kinds == of_keys.kinds == {type(values)}
    log = read_all(embedded_cluster.bootstrap_servers, name, expected=2)
    assert [(record.key, record.value) for record in log] == [(b"k", b"a"), (b"m", b"c")]


@pytest.mark.parametrize("values", [["a", "b"], ["a", 1]])
@pytest.mark.parametrize(
    ("argument", "given"),
    [
        *(("headers", given) for given in (5, object(), b"ab", {"a", "b"}, iter([]), ReadOnce([b"1", b"2"]))),
        ("headers", {"h": ReadOnce([b"1", b"2"])}),
        *(("partitions", given) for given in ({0: 0, 1: 0}, object(), {0, 1}, np.array(0.5))),
        *(("timestamps", given) for given in (object(), {1, 2}, pa.table({"a": [NOW, NOW]}), np.array([[NOW], [NOW]]))),
        *(("keys", given) for given in (object(), {"a": 1}, np.array(5), pa.table({"a": [1, 2]}))),
    ],
)
def test_an_argument_that_is_no_column_is_refused_as_ours(producer, embedded_cluster, topic, values, argument, given):
    with pytest.raises(SerializationError) as caught:
        producer.send_batch(topic(embedded_cluster, 1), values, **{argument: given}, on_bad_row="skip")
    assert caught.value.index is None
    assert caught.value.field
    assert producer.stats().accepted == 0
