"""JSON with a schema: Confluent's wire format and validation, judged by confluent-kafka and jsonschema."""

from __future__ import annotations

import json
import pickle
import struct

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.readers import read_all
from tests.support.schema_registry import SchemaRegistry
from twolane import Avro, Json, SafeProducer, SerializationError
from twolane.serializers.schema_registry import Registry, record_subject
from twolane.testing import FakeProducer

pytest.importorskip("jsonschema", reason="jsonschema is not installed")
pytest.importorskip("certifi", reason="confluent-kafka[schemaregistry] is not installed")
import jsonschema
from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient, dual_schema_id_deserializer
from confluent_kafka.schema_registry.json_schema import JSONDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

POINT = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "title": "Point",
    "type": "object",
    "properties": {"x": {"type": "integer", "maximum": 99}, "s": {"type": "string"}},
    "required": ["x"],
}
LINE = {"type": "object", "properties": {"from": {"$ref": "point.json"}, "to": {"$ref": "point.json"}}}
ROWS = [{"x": 1, "s": "ä"}, None, {"x": -2}]
TABLE = {"x": np.array([1, 2]), "s": ["a", "b"]}


@pytest.fixture
def client():
    with SchemaRegistryClient.new_client({"url": "mock://json-schemas"}) as made:
        yield made


def read(client, records, schema=None, topic="t", headers=None):
    conf = {"validate": True, "schema.id.deserializer": dual_schema_id_deserializer}
    deserialize = JSONDeserializer(schema, schema_registry_client=client, conf=conf)
    return [deserialize(one, SerializationContext(topic, MessageField.VALUE, headers)) for one in records]


def test_over_http_confluents_deserializer_reads_it():
    with SchemaRegistry() as registry, SchemaRegistryClient({"url": registry.url}) as client:
        made = Json(POINT, registry=client, validate=True).warm_up("t")
        assert registry.requests() == ["POST /subjects/t-value/versions?normalize=False"]
        assert read(client, made.encode_batch(ROWS)) == ROWS
        assert read(client, [made.encode(row) for row in ROWS]) == ROWS
        assert read(client, made.encode_batch(TABLE)) == [{"x": 1, "s": "a"}, {"x": 2, "s": "b"}]
        assert client.get_latest_version("t-value").schema.schema_type == "JSON"


def test_in_a_header(client, embedded_cluster, topic):
    name = topic(embedded_cluster)
    with SafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers) as producer:
        serializer = Json(POINT, registry=Registry(client, schema_id_in="header"))
        producer.send_batch(name, [{"x": 1, "s": "a"}], serializer=serializer)
    (record,) = read_all(embedded_cluster.bootstrap_servers, name)
    assert record.value == b'{"x":1,"s":"a"}'
    assert read(client, [record.value], topic=name, headers=record.headers) == [{"x": 1, "s": "a"}]


def test_by_latest_by_id_and_by_title(client):
    number = client.register_schema("t-value", Schema(json.dumps(POINT), "JSON"))
    for made in (
        Json(registry=client, validate=True),
        Json(registry=client, schema_id=number, validate=True),
        Json(POINT, registry=Registry(client, auto_register=False)),
    ):
        warm = made.warm_up("t")
        assert struct.unpack(">bI", warm.encode({"x": 1})[:5]) == (0, number)
        assert read(client, warm.encode_batch(ROWS)) == ROWS
    with pytest.raises(SerializationError, match="maximum"):
        Json(registry=client, validate=True).warm_up("t").encode({"x": 100})
    Json(POINT, registry=Registry(client, subject_name=record_subject)).warm_up("t")
    assert "Point" in client.get_subjects()
    with pytest.raises(SerializationError, match="expected a schema of type AVRO"):
        Avro(registry=client).warm_up("t")


def test_references_are_followed(client):
    client.register_schema("points", Schema(json.dumps(POINT), "JSON"))
    schema = Schema(json.dumps(LINE), "JSON", [SchemaReference("point.json", "points", 1)])
    made = Json(schema, registry=client, validate=True).warm_up("t")
    assert read(client, made.encode_batch([{"from": {"x": 1}}])) == [{"from": {"x": 1}}]
    with pytest.raises(SerializationError, match=r"record 1, field 'to\.x'.*maximum.*got 100"):
        made.encode_batch([{"from": {"x": 1}}, {"to": {"x": 100}}])
    again = pickle.loads(pickle.dumps(made))
    with pytest.raises(SerializationError, match="maximum"):
        again.encode({"to": {"x": 100}})


def test_without_a_registry_nothing_is_fetched():
    made = Json(LINE, validate=True)
    assert made.encode({}) == b"{}"
    with pytest.raises(SerializationError, match=r"refers to what is not known"):
        made.encode({"from": {}})


VALUES = st.one_of(
    st.integers(0, 200), st.none(), st.text(max_size=3), st.floats(allow_nan=False, allow_infinity=False, width=16)
)


@settings(max_examples=50, deadline=None)
@given(rows=st.lists(st.dictionaries(st.sampled_from(["x", "s", "z"]), VALUES), max_size=12))
def test_exactly_what_jsonschema_refuses_is_refused(rows):
    good = [row for row in rows if jsonschema.Draft7Validator(POINT).is_valid(row)]
    made = Json(POINT, validate=True).encode_batch(rows, on_bad_row="skip")
    assert [json.loads(one) for one in made] == good
    assert len(made.refused) == len(rows) - len(good)


@pytest.mark.parametrize("columns", [dict, pa.table, lambda table: pa.table(table).to_pandas()])
def test_columns_are_validated_and_skipped(columns):
    table = columns({"x": [1, 100, 3], "s": ["a", "b", "c"]})
    made = Json(POINT, schema_id=7, validate=True)
    with pytest.raises(SerializationError) as caught:
        made.bind(table)
    assert (caught.value.index, caught.value.field) == (1, "x")
    kept = made.encode_batch(table, on_bad_row="skip")
    assert list(kept) == [b"\0\0\0\0\7" + text for text in (b'{"x":1,"s":"a"}', b'{"x":3,"s":"c"}')]


def test_a_call_is_refused_before_it_sends():
    made = Json(POINT, validate=True)
    with FakeProducer() as producer:
        for values in ([{"x": 1}, {"x": 100}], pa.table({"x": [1, 100]})):
            with pytest.raises(SerializationError, match=r"topic 't', record 1, field 'x'.*maximum.*got 100"):
                producer.send_batch("t", values, serializer=made)
        with pytest.raises(SerializationError, match=r"topic 't', field 'key\.x'.*maximum"):
            producer.send("t", b"", key={"x": 100}, key_serializer=made)
        with pytest.raises(SerializationError, match=r"record 1, field 'keys\.s'.*'type'"):
            producer.send_batch("t", [b"", b""], keys=[{"x": 1}, {"x": 1, "s": 2}], key_serializer=made)
        assert producer.records == []


def test_one_column_is_validated_item_by_item():
    made = Json({"type": "array", "items": {"type": "integer"}}, validate=True)
    lists = pa.array([[1], None, [2, None]])
    with pytest.raises(SerializationError, match=r"record 2, field '\[1\]'.*integer.*got None"):
        made.bind(lists)
    assert list(made.encode_batch(lists[:2])) == [b"[1]", None]


@pytest.mark.parametrize("n", [0, 1, 30_000])
def test_framed_records_are_the_bare_ones_behind_their_id(n):
    made, bare = Json(schema_id=258), Json()
    table = pa.table({"a": pa.array(range(n)), "s": pa.array(["x" * (i % 9) for i in range(n)])})
    rows = [{"a": i} if i % 7 else None for i in range(n)]
    single = pa.chunked_array([[None if i % 5 == 0 else i for i in range(n)]], pa.int64())
    for values in (table, rows, single):
        expected = [one if one is None else b"\0\0\0\1\2" + one for one in bare.encode_batch(values)]
        assert list(made.encode_batch(values)) == expected
        source = made.bind(values)
        assert list(source.slice(n // 3, n)) == expected[n // 3 :]
        over = [(i, len(one)) for i, one in enumerate(expected) if one is not None and len(one) > 16]
        assert source.first_over(16) == (over[0] if over else None)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"schema": "{"}, "expected a JSON schema"),
        ({"schema": "[]"}, "an object or a boolean"),
        ({"schema": {"type": "whole"}, "validate": True}, "valid JSON schema"),
        ({"schema": {"$schema": "http://json-schema.org/draft-99/schema#"}, "validate": True}, "draft.*draft-99"),
        ({"schema": Schema('"long"', "AVRO")}, "expected a schema of JSON, got one of AVRO"),
        ({"validate": True}, "a registry that has it"),
        ({"schema_id": -1}, "schema_id: expected"),
    ],
)
def test_what_cannot_be_is_refused(arguments, said):
    with pytest.raises((SerializationError, ValueError), match=said):
        Json(**arguments)
