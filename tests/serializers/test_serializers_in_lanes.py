"""Serializers as the lanes use them: a registry is asked once per topic, and every format arrives as it was encoded."""

from __future__ import annotations

import io
import json
import struct

import fastavro
import numpy as np
import pytest

from tests.support.readers import read_values
from twolane import Avro, BatchDelivery, Json, SerializationError, Struct
from twolane.serializers.schema_registry import Registry

SCHEMA = {
    "type": "record",
    "name": "Reading",
    "fields": [{"name": "sensor", "type": "string"}, {"name": "level", "type": "double"}],
}
TABLE = {"sensor": np.array(["a", "bc", "d"]), "level": np.array([0.5, -1.0, 2.25])}
ROWS = [{"sensor": "a", "level": 0.5}, {"sensor": "bc", "level": -1.0}, {"sensor": "d", "level": 2.25}]


@pytest.fixture
def send_batch(either_producer):
    """Return a function that sends a batch and waits for it."""

    def send(*arguments, **keywords):
        sent = either_producer.send_batch(*arguments, **keywords)
        return sent.result(20) if isinstance(sent, BatchDelivery) else sent

    return send


@pytest.mark.parametrize("values", [TABLE, ROWS], ids=["columns", "rows"])
def test_avro_with_a_registry_is_framed_with_its_schemas_id(embedded_cluster, topic, send_batch, values):
    name = topic(embedded_cluster)
    registry = Registry({"url": "mock://twolane-lanes"})
    serializer = Avro(SCHEMA, registry=registry)
    for _ in range(2):
        send_batch(name, values, keys="sensor", serializer=serializer)
    log = read_values(embedded_cluster.bootstrap_servers, name)
    schema_id = serializer.warm_up(name).schema_id
    assert all(struct.unpack(">bI", value[:5]) == (0, schema_id) for value in log)
    assert [fastavro.schemaless_reader(io.BytesIO(value[5:]), SCHEMA) for value in log] == ROWS * 2


@pytest.mark.parametrize("values", [TABLE, ROWS], ids=["columns", "rows"])
def test_json_arrives_as_json(embedded_cluster, topic, send_batch, values):
    name = topic(embedded_cluster)
    send_batch(name, values, serializer=Json())
    assert [json.loads(value) for value in read_values(embedded_cluster.bootstrap_servers, name)] == ROWS


def test_struct_arrives_as_packed(embedded_cluster, topic, send_batch):
    name = topic(embedded_cluster)
    table = np.array([(1, 0.5), (-2, 1.5)], dtype=[("id", "<i8"), ("level", "<f8")])
    send_batch(name, table, serializer=Struct("<qd"))
    log = read_values(embedded_cluster.bootstrap_servers, name)
    assert [struct.unpack("<qd", value) for value in log] == [(1, 0.5), (-2, 1.5)]


def test_a_registry_out_of_reach_sends_nothing_and_names_no_secret(embedded_cluster, topic, send_batch):
    name = topic(embedded_cluster)
    registry = Registry({"url": "http://user:s3cret@127.0.0.1:9", "max.retries": 0})
    with pytest.raises(SerializationError) as caught:
        send_batch(name, TABLE, serializer=Avro(SCHEMA, registry=registry))
    assert name in str(caught.value)
    assert "s3cret" not in repr(caught.value) + str(caught.value)
    assert read_values(embedded_cluster.bootstrap_servers, name) == []
