"""A schema's id in a record header, as confluent-kafka's deserializers read it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.support.readers import read_all
from twolane import Avro, SafeProducer, SerializationError, ThroughputProducer
from twolane.errors import ConfigError
from twolane.serializers.schema_registry import Registry, record_subject
from twolane.testing import FakeProducer, FakeThroughputProducer

pytest.importorskip("certifi", reason="confluent-kafka[schemaregistry] is not installed")
from confluent_kafka.schema_registry import SchemaRegistryClient, dual_schema_id_deserializer
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

# confluent-kafka refuses records of less than six bytes, whatever they are.
POINT = {
    "type": "record",
    "name": "n.Point",
    "fields": [{"name": "x", "type": "long"}, {"name": "text", "type": "string", "default": "six bytes"}],
}
KEYS = [f"{letter} and more" for letter in "käl"]
HEADERS = [None, {"a": b"1"}, [{"a": b"1"}, None, [("b", b"2")]]]


@pytest.fixture
def client():
    with SchemaRegistryClient.new_client({"url": "mock://ids-in-headers"}) as made:
        yield made


@pytest.mark.parametrize("lane", [SafeProducer, ThroughputProducer])
@pytest.mark.parametrize(
    "headers", [None, {"a": b"1"}, [{"a": b"1"}, None, [("b", b"2")]]], ids=["none", "all", "each"]
)
@pytest.mark.parametrize("on_bad_row", ["raise", "skip"])
def test_confluents_deserializer_finds_it(lane, headers, on_bad_row, client, embedded_cluster, topic):
    name = topic(embedded_cluster)
    registry = Registry(client, schema_id_in="header")
    rows = [{"x": 1}, {"x": -2}, {"x": 3}]
    with lane(bootstrap_servers=embedded_cluster.bootstrap_servers) as producer:
        call = producer.send_batch(
            name,
            rows,
            keys=KEYS,
            headers=headers,
            on_bad_row=on_bad_row,
            serializer=Avro(POINT, registry=registry),
            key_serializer=Avro("string", registry=registry),
        )
        producer.flush(20)
        if lane is ThroughputProducer:
            call.result(20)
    deserialize = AvroDeserializer(client, conf={"schema.id.deserializer": dual_schema_id_deserializer})
    records = sorted(read_all(embedded_cluster.bootstrap_servers, name), key=lambda record: record.offset)
    read = {}
    for record in records:
        key = deserialize(record.key, SerializationContext(name, MessageField.KEY, list(record.headers)))
        read[key] = deserialize(record.value, SerializationContext(name, MessageField.VALUE, list(record.headers)))
        own = [pair for pair in record.headers if not pair[0].startswith("__")]
        expected = {"none": [], "all": [("a", b"1")]}.get("none" if headers is None else "all")
        if isinstance(headers, list):
            expected = dict(zip(KEYS, ([("a", b"1")], [], [("b", b"2")]), strict=True))[key]
        assert own == expected
    assert read == dict(zip(KEYS, [{**row, "text": "six bytes"} for row in rows], strict=True))


def test_a_table_with_a_bad_row_has_it_too(client, embedded_cluster, topic):
    name = topic(embedded_cluster)
    avro = Avro(
        {"type": "record", "name": "P", "fields": [{"name": "x", "type": "int"}]},
        Registry(client, schema_id_in="header"),
    )
    with SafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers) as producer:
        producer.send_batch(name, {"x": [1, 2**40, 3]}, serializer=avro, on_bad_row="skip")
    records = read_all(embedded_cluster.bootstrap_servers, name)
    assert len(records) == 2
    assert all([pair[0] for pair in record.headers] == ["__value_schema_id"] for record in records)


@pytest.mark.parametrize("lane", [FakeProducer, FakeThroughputProducer])
def test_a_fake_keeps_the_headers_of_one_record_too(lane, client):
    with lane() as producer:
        serializer = Avro(POINT, Registry(client, schema_id_in="header"))
        producer.send("t", {"x": 1}, headers={"a": b"1"}, serializer=serializer)
        producer.send("t", None, headers={"a": b"1"}, serializer=serializer)
        producer.flush(5)
        first, tombstone = producer.records
    assert [name for name, _ in first.headers] == ["a", "__value_schema_id"]
    assert [name for name, _ in tombstone.headers] == ["a"]


def test_a_registry_without_guids_is_said(client, monkeypatch):
    avro = Avro(POINT, Registry(client, schema_id_in="header"))
    given = SimpleNamespace(subject="t-value", schema=None, schema_id=7, guid=None)
    monkeypatch.setattr(client, "register_schema_full_response", lambda *_: given)
    with pytest.raises(SerializationError, match="no GUIDs"):
        avro.warm_up("t")


def test_what_cannot_be_is_refused(client):
    with pytest.raises(ConfigError, match="schema_id_in"):
        Registry(client, schema_id_in="headers")
    by_record = Registry(client, schema_id_in="header", subject_name=record_subject)
    with pytest.raises(SerializationError, match="several subjects"):
        Avro([POINT, {**POINT, "name": "n.Other"}], by_record).warm_up("t")
