"""Avro, JSON and Protobuf by every way to a schema's id, in a prefix or a header: confluent-kafka's readers judge."""

from __future__ import annotations

import base64
import json

import numpy as np
import pyarrow as pa
import pytest

from tests.support.proto_files import proto_class, proto_file
from tests.support.readers import read_all
from twolane import Avro, Json, Protobuf, SafeProducer, ThroughputProducer
from twolane.serializers.schema_registry import Registry

pytest.importorskip("jsonschema", reason="jsonschema is not installed")
pytest.importorskip("google.type", reason="googleapis-common-protos is not installed")
pytest.importorskip("certifi", reason="confluent-kafka[schemaregistry] is not installed")
from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient, dual_schema_id_deserializer
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.schema_registry.json_schema import JSONDeserializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf.json_format import MessageToDict

FORMATS = ("AVRO", "JSON", "PROTOBUF")
POINTS = {
    "AVRO": json.dumps(
        {
            "type": "record",
            "name": "n.Point",
            "fields": [{"name": "x", "type": "int"}, {"name": "text", "type": "string"}],
        }
    ),
    "JSON": json.dumps({"type": "object", "properties": {"x": {"type": "integer"}, "text": {"type": "string"}}}),
}
LINES = {
    "AVRO": json.dumps({"type": "record", "name": "n.Line", "fields": [{"name": "from", "type": "n.Point"}]}),
    "JSON": json.dumps({"type": "object", "properties": {"from": {"$ref": "point.json"}}}),
}
# Not the first messages of their files.
POINT_FILE = proto_file("point.proto", {"Other": {}, "Point": {"x": "int32", "text": "string"}})
LINE_FILE = proto_file("line.proto", {"Outer": {"Line": {"from": ".n.Point"}}}, imports=["point.proto"])
CLASSES = {
    False: proto_class("n.Point", POINT_FILE),
    True: proto_class("n.Outer.Line", POINT_FILE, LINE_FILE),
}
for number, file in enumerate((POINT_FILE, LINE_FILE)):
    (POINTS, LINES)[number]["PROTOBUF"] = base64.b64encode(file.SerializeToString()).decode()
REFERENCES = {"AVRO": "n.Point", "JSON": "point.json", "PROTOBUF": "point.proto"}
ROWS = [{"x": 1, "text": "six bytes"}, {"x": -2, "text": "ä, and more"}]


@pytest.fixture
def client():
    with SchemaRegistryClient.new_client({"url": "mock://ids"}) as made:
        yield made


def serializer(client, kind, way, where, subject):
    """Return the serializer for one subject, and the id that it has to find, where that is known before."""
    make = {"AVRO": Avro, "JSON": Json, "PROTOBUF": Protobuf}[kind]
    named = {"message": "Point"} if kind == "PROTOBUF" else {}
    if way == "register":
        given = CLASSES[False] if kind == "PROTOBUF" else json.loads(POINTS[kind])
        return make(given, Registry(client, schema_id_in=where)), None
    if way == "references":
        place = [SchemaReference(REFERENCES[kind], "points", 1)]
        client.register_schema("points", Schema(POINTS[kind], kind))
        named = {"message": "Line"} if kind == "PROTOBUF" else {}
        given = Schema(LINES[kind], kind, place)
        return make(given, Registry(client, schema_id_in=where), **named), None
    number = client.register_schema(subject, Schema(POINTS[kind], kind))
    if way == "id":
        return make(None, Registry(client, schema_id_in=where), number, **named), number
    registry = Registry(client, schema_id_in=where, auto_register=False, use_latest=True)
    given = {"AVRO": POINTS["AVRO"], "JSON": POINTS["JSON"], "PROTOBUF": CLASSES[False]}[kind]
    return make(given, registry), number


def reader(client, kind, is_line):
    conf = {"schema.id.deserializer": dual_schema_id_deserializer, "subject.name.strategy.type": "TOPIC"}
    if kind == "AVRO":
        return AvroDeserializer(client, conf=conf)
    if kind == "JSON":
        return JSONDeserializer(None, schema_registry_client=client, conf=conf)
    deserialize = ProtobufDeserializer(CLASSES[is_line], conf, client)
    return lambda record, context: MessageToDict(deserialize(record, context))


@pytest.mark.parametrize("where", ["prefix", "header"])
@pytest.mark.parametrize("way", ["register", "id", "latest", "references"])
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("lane", [SafeProducer, ThroughputProducer])
def test_confluents_deserializer_reads_it(lane, kind, way, where, client, embedded_cluster, topic):
    name = topic(embedded_cluster)
    made, number = serializer(client, kind, way, where, f"{name}-value")
    made_of_keys, _ = serializer(client, kind, way, where, f"{name}-key")
    is_line = way == "references"
    rows = [{"from": row} for row in ROWS] if is_line else ROWS
    table = pa.Table.from_pylist(rows)
    if way == "register":
        table = {"x": np.array([row["x"] for row in ROWS]), "text": [row["text"] for row in ROWS]}
    options = {"serializer": made, "key_serializer": made_of_keys}
    stale = [("__value_schema_id", b"of another"), ("a", b"b")] if where == "header" else {"a": b"b"}
    with lane(bootstrap_servers=embedded_cluster.bootstrap_servers) as producer:
        producer.send(name, rows[0], key=rows[1], partition=0, headers=stale, **options)
        producer.send_batch(name, rows, keys=rows[::-1], partitions=0, headers=stale, **options)
        producer.send_batch(name, table, keys=rows[::-1], partitions=0, **options)
        producer.flush(20)
    read = reader(client, kind, is_line)
    records = sorted(read_all(embedded_cluster.bootstrap_servers, name), key=lambda record: record.offset)
    found = []
    for record in records:
        headers = list(record.headers)
        value = read(record.value, SerializationContext(name, MessageField.VALUE, headers))
        found.append((read(record.key, SerializationContext(name, MessageField.KEY, headers)), value))
        names = [own for own, _ in headers if own.startswith("__")]
        assert names == ([] if where == "prefix" else ["__value_schema_id", "__key_schema_id"])
    assert found == [(rows[1], rows[0]), *[(rows[1], rows[0]), (rows[0], rows[1])] * 2]
    assert [("a", b"b") in record.headers for record in records] == [True] * 3 + [False] * 2
    if number is not None:
        assert made.warm_up(name).schema_id == number


@pytest.mark.parametrize("kind", FORMATS)
def test_an_id_of_another_subject_is_told_as_that(kind, client):
    client.register_schema("other-value", Schema(POINTS[kind], kind))
    number = client.register_schema("other-value", Schema(LINES[kind], kind))
    make = {"AVRO": Avro, "JSON": Json, "PROTOBUF": Protobuf}[kind]
    named = {"message": "Line"} if kind == "PROTOBUF" else {}
    wrong = make(None, Registry(client, schema_id_in="header"), number, **named)
    with pytest.raises(ValueError, match=r"subject 't-value': look-up of the id failed: .*Schema Not Found"):
        wrong.warm_up("t")
