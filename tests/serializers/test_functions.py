"""Functions and confluent-kafka's serializers as `serializer=`: each record's bytes are theirs."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from confluent_kafka.serialization import IntegerSerializer, MessageField, SerializationContext, StringSerializer

from tests.support.readers import read_all
from twolane import Json, SafeProducer, SerializationError, ThroughputProducer

ROWS = [{"id": i} for i in range(5)]


def as_json(row):
    return json.dumps(row).encode()


@pytest.fixture(params=[SafeProducer, ThroughputProducer])
def producer(request, embedded_cluster):
    embedded_cluster.create_topic("t")
    with request.param(bootstrap_servers=embedded_cluster.bootstrap_servers) as made:
        yield made


@pytest.mark.parametrize(
    ("serializer", "rows"),
    [
        (as_json, ROWS),
        (lambda row: json.dumps(row), ROWS),
        (StringSerializer("utf_16"), ["a", "é", "b"]),
        (IntegerSerializer(), [1, 2, 2**31 - 1]),
    ],
)
def test_a_call_writes_what_the_function_returns(producer, embedded_cluster, serializer, rows):
    context = SerializationContext("t", MessageField.VALUE)
    is_theirs = isinstance(serializer, (StringSerializer, IntegerSerializer))
    expected = [serializer(row, context) if is_theirs else serializer(row) for row in rows]
    expected = [value.encode() if isinstance(value, str) else value for value in expected]
    producer.send("t", rows[0], serializer=serializer, key=rows[0], key_serializer=serializer)
    producer.send("t", None, serializer=serializer)
    producer.send_batch("t", rows, serializer=serializer)
    producer.flush()
    written = list(read_all(embedded_cluster.bootstrap_servers, "t"))
    assert [record.value for record in written] == [expected[0], None, *expected]
    assert written[0].key == expected[0]


def test_a_confluent_serializer_is_told_topic_and_field(producer):
    seen = []

    class Told(StringSerializer):
        def __call__(self, obj, ctx=None):
            seen.append((ctx.topic, ctx.field))
            return super().__call__(obj, ctx)

    producer.send("t", "v", key="k", serializer=Told(), key_serializer=Told())
    assert seen == [("t", MessageField.VALUE), ("t", MessageField.KEY)]


def broken(row):
    if row == {"id": 3}:
        raise LookupError("no such thing")
    return as_json(row)


def test_what_it_raises_names_the_row(producer):
    with pytest.raises(SerializationError, match=r"broken raised LookupError: no such thing") as raised:
        producer.send_batch("t", ROWS, serializer=broken)
    assert raised.value.index == 3
    assert isinstance(raised.value.__cause__, LookupError)


def test_what_is_no_bytes_is_refused(producer):
    with pytest.raises(SerializationError) as raised:
        producer.send_batch("t", ROWS, serializer=lambda row: row["id"] if row["id"] == 2 else b"x")
    assert raised.value.index == 2


def test_bad_rows_are_left_out(producer, embedded_cluster):
    told = producer.send_batch("t", ROWS, serializer=broken, on_bad_row="skip")
    metadata = told if hasattr(told, "written") else told.result()
    assert metadata.written == 4
    assert list(metadata.refused.indices) == [3]


def test_columns_are_refused(producer):
    with pytest.raises(SerializationError, match="as_json takes rows, not columns"):
        producer.send_batch("t", pd.DataFrame(ROWS), serializer=as_json)


def test_a_serializer_is_no_function(producer, embedded_cluster):
    producer.send("t", ROWS[0], serializer=Json())
    producer.flush()
    assert [record.value for record in read_all(embedded_cluster.bootstrap_servers, "t")] == [b'{"id":0}']
