"""Keys through a serializer, in both lanes: from columns, rows, a table, one value. Read back by other readers."""

from __future__ import annotations

import io
import json
import struct

import fastavro
import numpy as np
import pyarrow as pa
import pytest

from tests.support.readers import read_all
from twolane import Avro, Json, SerializationError, Struct
from twolane.serializers.schema_registry import Registry, topic_record_subject

KEY = {
    "type": "record",
    "name": "Key",
    "fields": [{"name": "id", "type": "long"}, {"name": "region", "type": "string"}],
}
IDS, REGIONS = [1, -2, 300], ["eu", "us", "ä"]
ROWS = [{"id": i, "region": r} for i, r in zip(IDS, REGIONS, strict=True)]
TABLE = {"id": np.array(IDS), "region": np.array(REGIONS)}


@pytest.fixture
def producer(either_producer):
    return either_producer


@pytest.fixture
def name(topic, embedded_cluster):
    return topic(embedded_cluster)


@pytest.fixture
def keys_of(embedded_cluster, producer, name):
    """Give the keys in the log, in order."""

    def read():
        producer.flush(20)
        return [record.key for record in read_all(embedded_cluster.bootstrap_servers, name)]

    return read


def unframed(keys, schema_id, schema):
    assert all(struct.unpack(">bI", key[:5]) == (0, schema_id) for key in keys)
    return [fastavro.schemaless_reader(io.BytesIO(key[5:]), schema) for key in keys]


@pytest.mark.parametrize(
    "keys",
    [ROWS, TABLE, pa.table(TABLE), pa.RecordBatch.from_pylist(ROWS).to_struct_array()],
    ids=lambda k: type(k).__name__,
)
def test_avro_records_have_a_subject_of_their_own(producer, name, keys_of, keys):
    serializer = Avro(KEY, registry=Registry({"url": "mock://twolane-keys"}))
    producer.send_batch(name, [b"v"] * 3, keys=keys, partitions=0, key_serializer=serializer)
    schema_id = serializer.warm_up(name, "key").schema_id
    assert unframed(keys_of(), schema_id, KEY) == ROWS


def test_subjects_of_key_and_value(producer, name):
    asked = []

    def subject(topic, field, record):
        asked.append((field, record))
        return topic_record_subject(topic, field, record) + f"-{field}"

    registry = Registry({"url": "mock://twolane-both"}, subject_name=subject)
    key, value = Avro(KEY, registry=registry), Avro({**KEY, "name": "Value"}, registry=registry)
    producer.send(name, ROWS[0], key=ROWS[0], serializer=value, key_serializer=key)
    producer.send_batch(name, ROWS, keys=ROWS, serializer=value, key_serializer=key)
    assert asked == [("value", "Value"), ("key", "Key")]


@pytest.mark.parametrize(
    "values", [TABLE, ROWS, pa.table({"id": IDS, "region": REGIONS})], ids=["dict", "rows", "arrow"]
)
@pytest.mark.parametrize(
    ("column", "serializer", "decode", "want"),
    [
        ("id", Avro("long"), lambda key: fastavro.schemaless_reader(io.BytesIO(key), "long"), IDS),
        ("region", Avro("string"), lambda key: fastavro.schemaless_reader(io.BytesIO(key), "string"), REGIONS),
        ("id", Struct(">q"), lambda key: struct.unpack(">q", key)[0], IDS),
        ("id", Json(), json.loads, IDS),
        ("region", Json(), json.loads, REGIONS),
    ],
)
def test_a_column_by_name(producer, name, keys_of, values, column, serializer, decode, want):
    producer.send_batch(name, values, keys=column, partitions=0, serializer=Json(), key_serializer=serializer)
    assert [decode(key) for key in keys_of()] == want


@pytest.mark.parametrize("ids", [[1, None, 3], pa.array([1, None, 3])], ids=["list", "arrow"])
def test_a_null_is_no_key(producer, name, keys_of, ids):
    producer.send_batch(name, [b"v"] * 3, keys=ids, partitions=0, key_serializer=Json())
    assert keys_of() == [b"1", None, b"3"]


def test_one_key_for_all(producer, name, keys_of):
    producer.send_batch(name, [b"v"] * 2, keys=-7, partitions=0, key_serializer=Struct(">i"))
    assert keys_of() == [struct.pack(">i", -7)] * 2


def test_single_records(producer, name, embedded_cluster):
    producer.send(name, {"a": 1}, key=-7, partition=0, serializer=Json(), key_serializer=Struct(">q"))
    producer.send(name, None, key=b"k", partition=0, serializer=Json())
    producer.flush(20)
    log = [(record.key, record.value) for record in read_all(embedded_cluster.bootstrap_servers, name)]
    assert log == [(struct.pack(">q", -7), b'{"a":1}'), (b"k", None)]


@pytest.mark.parametrize("keys", [[*ROWS[:2], {"id": "x", "region": "eu"}], {"id": [1, 2, "x"], "region": REGIONS}])
def test_an_error_says_that_it_is_a_keys_field(producer, name, keys_of, keys):
    with pytest.raises(SerializationError) as caught:
        producer.send_batch(name, [b"v"] * 3, keys=keys, key_serializer=Avro(KEY))
    assert (caught.value.topic, caught.value.index, caught.value.field) == (name, 2, "keys.id")
    with pytest.raises(SerializationError) as caught:
        producer.send(name, b"v", key={"id": 2**63, "region": "eu"}, key_serializer=Avro(KEY))
    assert (caught.value.topic, caught.value.index, caught.value.field) == (name, None, "key.id")
    with pytest.raises(SerializationError, match="3 entries"):
        producer.send_batch(name, [b"v"] * 3, keys=ROWS[:2], key_serializer=Avro(KEY))
    assert keys_of() == []
