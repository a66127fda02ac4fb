"""`Protobuf` in Confluent's wire format, judged by confluent-kafka's own serializer and deserializer."""

from __future__ import annotations

import base64
import pickle

import pytest

pytest.importorskip("google.rpc", reason="googleapis-common-protos is not installed")
pytest.importorskip("certifi", reason="confluent-kafka[schemaregistry] is not installed")
from confluent_kafka.schema_registry import (
    Schema,
    SchemaReference,
    SchemaRegistryClient,
    dual_schema_id_deserializer,
    header_schema_id_serializer,
    prefix_schema_id_serializer,
)
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.schema_registry.serde import SchemaId
from confluent_kafka.serialization import SerializationContext
from google.api import http_pb2, metric_pb2, quota_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.rpc import error_details_pb2, status_pb2
from google.rpc.context import attribute_context_pb2
from google.type import date_pb2

from tests.support.proto_files import proto_class, proto_file
from tests.support.schema_registry import SchemaRegistry
from twolane import Avro, Protobuf, SerializationError
from twolane.encoding.protobuf.descriptors import index_bytes, message_indexes, messages_of
from twolane.serializers.schema_registry import Registry, record_subject, topic_record_subject

Context = attribute_context_pb2.AttributeContext
# The first message, nested ones, the last; with imports that are registered, and with those that are not.
CASES = [
    (http_pb2.Http, {"rules": [{"get": "/v1"}, {"put": "/v2", "body": "*"}]}),
    (http_pb2.CustomHttpPattern, {"kind": "a", "path": "b"}),
    (Context, {"source": {"ip": "1.2.3.4", "labels": {"a": "b"}}}),
    (Context.Request, {"id": "x", "headers": {"a": "b"}, "auth": {"claims": {"a": [1, None]}}}),
    (error_details_pb2.QuotaFailure.Violation, {"subject": "s", "quota_dimensions": {"a": "b"}}),
    (metric_pb2.MetricDescriptor, {"labels": [{"key": "k", "value_type": "INT64"}], "launch_stage": "BETA"}),
    (metric_pb2.MetricDescriptor.MetricDescriptorMetadata, {"sample_period": {"seconds": 5}}),
    (quota_pb2.QuotaLimit, {"name": "n", "values": {"STANDARD": 7}}),
    (status_pb2.Status, {"code": 3, "details": [{"type_url": "t", "value": b"v"}]}),
]


@pytest.fixture
def client():
    with SchemaRegistryClient.new_client({"url": "mock://protobufs"}) as made:
        yield made


def confluents(client, kind, message, context, **conf):
    conf = {"subject.name.strategy.type": "TOPIC", **{key.replace("_", "."): value for key, value in conf.items()}}
    return ProtobufSerializer(kind, client, conf)(message, context)


def read(client, kind, record, context):
    conf = {"schema.id.deserializer": dual_schema_id_deserializer, "subject.name.strategy.type": "TOPIC"}
    return ProtobufDeserializer(kind, conf, client)(record, context)


def registered(client):
    """All that a registry holds."""
    found = {}
    for subject in client.get_subjects():
        for version in client.get_versions(subject):
            schema = client.get_version(subject, version).schema
            references = [(one.name, one.subject, one.version) for one in schema.references or ()]
            found[subject, version] = (schema.schema_type, schema.schema_str, references)
    return found


@pytest.mark.parametrize("field", ["value", "key"])
@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize(("kind", "row"), CASES)
def test_registered_and_written_as_confluents_serializer_does(kind, row, skip, field, client):
    message = kind(**row)
    made = Protobuf(kind, registry=client, skip_known_types=skip).warm_up("t", field)
    with SchemaRegistryClient.new_client({"url": "mock://theirs"}) as theirs:
        expected = confluents(theirs, kind, message, SerializationContext("t", field), skip_known_types=skip)
        assert registered(client) == registered(theirs)
    assert made.encode(message) == expected
    assert list(made.encode_batch([message, None, row])) == [expected, None, made.encode(row)]
    for one in (expected, made.encode(row)):
        assert read(client, kind, one, SerializationContext("t", field)) == message


@pytest.mark.parametrize(("kind", "row"), CASES)
def test_in_a_header(kind, row, client):
    message = kind(**row)
    made = Protobuf(kind, registry=Registry(client, schema_id_in="header")).warm_up("t")
    theirs = SerializationContext("t", "value", [])
    assert confluents(client, kind, message, theirs, schema_id_serializer=header_schema_id_serializer) == made.encode(
        message
    )
    assert list(made.schema_headers) == theirs.headers
    assert (
        read(client, kind, made.encode(row), SerializationContext("t", "value", list(made.schema_headers))) == message
    )
    assert pickle.loads(pickle.dumps(made)).schema_headers == made.schema_headers


def test_message_indexes_are_as_confluents_reader_reads_them():
    checked = 0
    for module in (attribute_context_pb2, error_details_pb2, metric_pb2, http_pb2, quota_pb2):
        for descriptor in messages_of(module.DESCRIPTOR):
            indexes = message_indexes(descriptor)
            found = SchemaId("PROTOBUF", 7, None, indexes)
            assert found.id_to_bytes() == b"\0\0\0\0\7" + index_bytes(indexes)
            holder = module.DESCRIPTOR.message_types_by_name.values()
            for number in indexes:
                one = list(holder)[number]
                holder = one.nested_types
            assert one.full_name == descriptor.full_name
            checked += 1
    assert checked >= 30
    for indexes in ([0], [1], [0, 0], [63], [64], [8191, 8192], [2**31 - 1, 0, 5]):
        assert SchemaId("PROTOBUF", 7, None, indexes).id_to_bytes() == b"\0\0\0\0\7" + index_bytes(indexes)


OTHER_ORDER = FileDescriptorProto.FromString(http_pb2.DESCRIPTOR.serialized_pb)
OTHER_ORDER.name = "default"
OTHER_ORDER.message_type.reverse()


def text_of(file):
    return base64.b64encode(file.SerializeToString()).decode()


def test_by_latest_and_by_id_the_message_is_looked_up_in_the_registered_schema(client):
    number = client.register_schema("t-value", Schema(text_of(OTHER_ORDER), "PROTOBUF"))
    row = {"get": "/v1", "additional_bindings": [{"put": "/x"}]}
    message = http_pb2.HttpRule(**row)
    latest = Registry(client, auto_register=False, use_latest=True)
    for made in (
        Protobuf(http_pb2.HttpRule, registry=latest),
        Protobuf(http_pb2.HttpRule, registry=client, schema_id=number),
        Protobuf(registry=client, message="google.api.HttpRule"),
        Protobuf(registry=client, message="HttpRule", schema_id=number),
        Protobuf(http_pb2.HttpRule, schema_id=number, message_indexes=[1]),
    ):
        warm = pickle.loads(pickle.dumps(made.warm_up("t")))
        expected = b"\0\0\0\0" + bytes([number]) + b"\2\2" + message.SerializeToString()
        assert [warm.encode(row), warm.encode(message)] == [expected, expected]
        assert read(client, http_pb2.HttpRule, warm.encode(row), SerializationContext("t", "value")) == message
    with pytest.raises(SerializationError, match=r"message: expected one of google\.api\.CustomHttpPattern, "):
        Protobuf(registry=client).warm_up("t")
    with pytest.raises(SerializationError, match=r"message: .*got 'google\.api\.Metric'"):
        Protobuf(metric_pb2.Metric, registry=latest).warm_up("t")


def test_a_message_that_the_registered_schema_would_read_otherwise_is_refused(client):
    def point(x, y):
        return proto_file("p.proto", {"Line": {"from": ".n.Point"}, "Point": {"x": x, "y": y}})

    client.register_schema("t-value", Schema(text_of(point("int64", "string")), "PROTOBUF"))
    latest = Registry(client, auto_register=False, use_latest=True)
    fits = proto_class("n.Line", point("int32", "bytes"))
    assert Protobuf(fits, registry=latest).warm_up("t").encode({"from": {"x": 1}})[5:] == b"\0\n\2\x08\1"
    wrong = proto_class("n.Line", point("int64", "double"))
    with pytest.raises(SerializationError, match=r"field 'from\.y'.*another type at number 2"):
        Protobuf(wrong, registry=latest).warm_up("t")


def test_references_of_a_registered_schema_are_followed(client):
    name = "t-value"
    ours = Protobuf(metric_pb2.MetricDescriptor, registry=client)
    ours.warm_up("t")
    references = client.get_latest_version(name).schema.references
    assert [(one.name, one.subject) for one in references] == [
        ("google/api/label.proto", "google/api/label.proto"),
        ("google/api/launch_stage.proto", "google/api/launch_stage.proto"),
    ]
    made = Protobuf(registry=client, message="MetricDescriptor").warm_up("t")
    row = {"labels": [{"key": "a"}], "launch_stage": "BETA"}
    assert made.encode(row) == ours.warm_up("t").encode(metric_pb2.MetricDescriptor(**row))
    given = Schema(client.get_latest_version(name).schema.schema_str, "PROTOBUF", references)
    for again in (
        Protobuf(given, registry=client, message="MetricDescriptor"),
        Protobuf(metric_pb2.MetricDescriptor, registry=client, references=references),
    ):
        assert again.warm_up("t").encode(row) == made.encode(row)
    assert len(client.get_versions(name)) == 1
    lacking = Schema(given.schema_str, "PROTOBUF", references[:1])
    with pytest.raises(SerializationError, match=r"imports google/api/launch_stage\.proto|failed"):
        Protobuf(lacking, registry=client, message="MetricDescriptor").warm_up("u").encode(row)


def test_subjects_of_records_and_of_imports(client):
    registry = Registry(
        client, subject_name=record_subject, reference_subject=lambda topic, field, file: f"{topic}/{field}/{file}"
    )
    Protobuf(metric_pb2.Metric, registry=registry).warm_up("t", "key")
    assert set(client.get_subjects()) == {
        "google.api.Metric",
        "t/key/google/api/label.proto",
        "t/key/google/api/launch_stage.proto",
    }
    Protobuf(date_pb2.Date, registry=Registry(client, subject_name=topic_record_subject)).warm_up("t")
    assert "t-google.type.Date" in client.get_subjects()
    assert pickle.loads(pickle.dumps(Registry({"url": "mock://a"}, reference_subject=record_subject)))


def test_a_schema_is_looked_up_and_not_registered(client):
    only = Registry(client, auto_register=False)
    with pytest.raises(SerializationError, match="lookup failed"):
        Protobuf(metric_pb2.Metric, registry=only).warm_up("t")
    assert client.get_subjects() == []
    expected = Protobuf(metric_pb2.Metric, registry=client).warm_up("t").schema_id
    assert Protobuf(metric_pb2.Metric, registry=only).warm_up("t").schema_id == expected


def test_other_schemas_are_refused(client):
    client.register_schema("t-value", Schema('"long"', "AVRO"))
    client.register_schema("text-value", Schema('syntax = "proto3";', "PROTOBUF"))
    with pytest.raises(SerializationError, match="expected a schema of type PROTOBUF, got AVRO"):
        Protobuf(registry=client).warm_up("t")
    with pytest.raises(SerializationError, match=r"base64 of its FileDescriptorProto.*got 'syntax"):
        Protobuf(registry=client).warm_up("text")
    with pytest.raises(SerializationError, match="expected a schema of PROTOBUF, got one of AVRO"):
        Protobuf(Schema('"long"', "AVRO"), registry=client)
    with pytest.raises(SerializationError, match="expected a schema of type AVRO"):
        Avro(registry=client).warm_up("text")
    with pytest.raises(SerializationError, match="asked of the registry by topic"):
        Protobuf(date_pb2.Date, registry=client).encode({})
    with pytest.raises(ValueError, match="only a registry tells"):
        Protobuf(date_pb2.Date, references=[SchemaReference("a", "b", 1)])


def test_over_http_confluents_deserializer_reads_it():
    row = {"labels": [{"key": "a"}], "launch_stage": "BETA"}
    message = metric_pb2.MetricDescriptor(**row)
    with SchemaRegistry() as registry, SchemaRegistryClient({"url": registry.url}) as client:
        made = Protobuf(metric_pb2.MetricDescriptor, registry=client).warm_up("t")
        assert [one.partition("?")[0] for one in registry.requests()] == [
            "POST /subjects/google%2Fapi%2Flabel.proto/versions",
            "POST /subjects/google%2Fapi%2Flabel.proto",
            "POST /subjects/google%2Fapi%2Flaunch_stage.proto/versions",
            "POST /subjects/google%2Fapi%2Flaunch_stage.proto",
            "POST /subjects/t-value/versions",
        ]
        record = made.encode(message)
        assert read(client, metric_pb2.MetricDescriptor, record, SerializationContext("t", "value")) == message
        assert confluents(
            client, metric_pb2.MetricDescriptor, message, SerializationContext("t", "value"),
            schema_id_serializer=prefix_schema_id_serializer,
        ) == record  # fmt: skip
        latest = Protobuf(registry={"url": registry.url}, message="MetricDescriptor").warm_up("t")
        assert latest.encode(row) == record
