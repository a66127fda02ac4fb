"""Schema ids over real HTTP: what goes to the registry, and what users read when it says no."""

import io
import json
import struct

import fastavro
import pytest

from tests.support.schema_registry import SchemaRegistry
from twolane.errors import SerializationError
from twolane.serializers import Avro
from twolane.serializers.schema_registry import Registry, record_subject, topic_record_subject

pytest.importorskip("certifi", reason="confluent-kafka[schemaregistry] is not installed")
from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

SCHEMA = {"type": "record", "name": "n.Point", "fields": [{"name": "x", "type": "long"}]}
NEWER = {**SCHEMA, "fields": [*SCHEMA["fields"], {"name": "y", "type": "long", "default": 5}]}
ONCE = {"max.retries": 0, "timeout": 5}


@pytest.fixture
def registry():
    with SchemaRegistry() as made:
        yield made


@pytest.fixture
def client(registry):
    with SchemaRegistryClient({"url": registry.url}) as made:
        yield made


def schema_id(record):
    magic, number = struct.unpack(">bI", record[:5])
    assert magic == 0
    return number


def test_what_was_written_is_read_by_confluents_deserializer(client):
    value = Avro(SCHEMA, registry=client).warm_up("clicks")
    key = Avro("string", registry=client).warm_up("clicks", "key")
    deserialize = AvroDeserializer(client)
    context = SerializationContext("clicks", MessageField.VALUE)
    assert [deserialize(record, context) for record in value.encode_batch({"x": [1, -2]})] == [{"x": 1}, {"x": -2}]
    assert deserialize(key.encode("ä"), SerializationContext("clicks", MessageField.KEY)) == "ä"
    assert sorted(client.get_subjects()) == ["clicks-key", "clicks-value"]


def test_asked_once_per_topic_and_never_per_record(registry):
    avro = Avro(SCHEMA, registry={"url": registry.url})
    assert registry.requests() == []
    for _ in range(3):
        list(avro.warm_up("clicks").encode_batch([{"x": i} for i in range(1000)]))
        avro.warm_up("clicks").encode({"x": 1})
    assert registry.requests() == ["POST /subjects/clicks-value/versions?normalize=False"]
    avro.warm_up("views")
    assert registry.requests() == ["POST /subjects/views-value/versions?normalize=False"]


@pytest.mark.parametrize(
    ("options", "request_line"),
    [
        ({"normalize": True}, "POST /subjects/clicks-value/versions?normalize=True"),
        ({"auto_register": False}, "POST /subjects/clicks-value?normalize=False"),
        ({"auto_register": False, "normalize": True}, "POST /subjects/clicks-value?normalize=True"),
        ({"auto_register": False, "use_latest": True}, "GET /subjects/clicks-value/versions/latest"),
        ({"subject_name": record_subject}, "POST /subjects/n.Point/versions?normalize=False"),
        ({"subject_name": topic_record_subject}, "POST /subjects/clicks-n.Point/versions?normalize=False"),
        ({"subject_name": lambda topic, *_: f"{topic}/x y"}, "POST /subjects/clicks%2Fx%20y/versions?normalize=False"),
    ],
)
def test_settings_become_requests(registry, client, options, request_line):
    wanted = client.register_schema("clicks-value", Schema(json.dumps(SCHEMA), "AVRO"))
    registry.requests()
    avro = Avro(SCHEMA, registry=Registry({"url": registry.url}, **options)).warm_up("clicks")
    asked = [line.replace("deleted=False&", "").replace("&deleted=False", "") for line in registry.requests()]
    assert asked == [request_line]
    assert schema_id(avro.encode({"x": 1})) == wanted


def test_the_same_schema_keeps_its_id_and_another_gets_one_of_its_own(registry):
    made = [Avro(schema, registry={"url": registry.url}).warm_up("clicks") for schema in (SCHEMA, SCHEMA, NEWER)]
    ids = [avro.schema_id for avro in made]
    assert ids[0] == ids[1] != ids[2]
    assert [avro.encode({"x": 1})[5:] for avro in made] == [b"\x02", b"\x02", b"\x02\x0a"]


def test_latest_version_is_what_is_written(client):
    client.register_schema("clicks-value", Schema(json.dumps(SCHEMA), "AVRO"))
    newest = client.register_schema("clicks-value", Schema(json.dumps(NEWER), "AVRO"))
    avro = Avro(SCHEMA, registry=Registry(client, auto_register=False, use_latest=True)).warm_up("clicks")
    record = avro.encode({"x": 1, "y": 2})
    assert schema_id(record) == newest
    assert fastavro.schemaless_reader(io.BytesIO(record[5:]), NEWER, None) == {"x": 1, "y": 2}


@pytest.mark.parametrize(
    ("options", "doing", "said"),
    [
        ({}, "registration", "registration"),
        ({"auto_register": False}, "lookup", "not found"),
        ({"auto_register": False, "use_latest": True}, "latest version", "not found"),
    ],
)
def test_a_refusal_names_subject_and_url_but_no_credentials(options, doing, said):
    with SchemaRegistry(user="hunter:2two") as registry:
        url = registry.url.replace("//", "//hunter:2two@")
        if not options:
            options = {"subject_name": lambda *_: ""}  # nothing else that registers is refused by the fake one
            said = "subject"
        made = Registry({"url": url, **ONCE}, **options)
        with pytest.raises(SerializationError, match=doing) as caught:
            Avro(SCHEMA, registry=made).warm_up("clicks")
    text = str(caught.value)
    assert said in text.lower()
    assert registry.url in text
    assert ("subject ''" if "subject_name" in options else "subject 'clicks-value'") in text
    assert "hunter" not in text + repr(made) + repr(caught.value)
    assert "2two" not in text + repr(made) + repr(caught.value)


def test_basic_auth():
    with SchemaRegistry(user="hunter:2two") as registry:
        conf = {"url": registry.url, **ONCE}
        right = Avro(SCHEMA, registry={**conf, "basic.auth.user.info": "hunter:2two"}).warm_up("clicks")
        assert schema_id(right.encode({"x": 1})) == right.schema_id
        for wrong, status in (({}, "401"), ({"basic.auth.user.info": "hunter:3three"}, "403")):
            with pytest.raises(SerializationError, match=status) as caught:
                Avro(SCHEMA, registry={**conf, **wrong}).warm_up("clicks")
            assert "hunter" not in str(caught.value)
            assert "3three" not in str(caught.value)


def test_tls(tmp_path):
    certificate = tmp_path / "certificate.pem"
    with SchemaRegistry(certificate=certificate, user="hunter:2two") as registry:
        conf = {"url": registry.url, "basic.auth.user.info": "hunter:2two", **ONCE}
        trusting = Avro(SCHEMA, registry={**conf, "ssl.ca.location": str(certificate)}).warm_up("clicks")
        assert schema_id(trusting.encode({"x": 1})) == trusting.schema_id
        with pytest.raises(SerializationError, match="CERTIFICATE_VERIFY_FAILED") as caught:
            Avro(SCHEMA, registry=conf).warm_up("clicks")
        assert registry.url in str(caught.value)
        assert "subject 'clicks-value'" in str(caught.value)
        assert "2two" not in str(caught.value)


def test_a_registry_that_is_away():
    with SchemaRegistry() as registry:
        made = Avro(SCHEMA, registry={"url": registry.url, **ONCE})
    with pytest.raises(SerializationError, match=rf"schema registry at {registry.url}, subject 'clicks-value'"):
        made.warm_up("clicks")


# A name without a namespace, named from inside one, is what Java takes and fastavro does not.
@pytest.mark.parametrize("name", ["c.Colour", "Colour"])
def test_references_of_the_latest_version(client, name):
    """A line of points, which have colours: each is defined in a subject of its own."""
    colour = {"type": "enum", "name": name, "symbols": ["RED", "GREEN"]}
    point = {
        "type": "record",
        "name": "n.Point",
        "fields": [{"name": "x", "type": "long"}, {"name": "colour", "type": ["null", name]}],
    }
    ends = {"type": "array", "items": "Point"}
    line = {
        "type": "record",
        "name": "Line",
        "namespace": "n",
        "fields": [{"name": "ends", "type": ends}, {"name": "colour", "type": name}],
    }
    client.register_schema("colours", Schema(json.dumps(colour), "AVRO"))
    to_colour = SchemaReference(name, "colours", 1)
    client.register_schema("points", Schema(json.dumps(point), "AVRO", [to_colour]))
    to_point = SchemaReference("n.Point", "points", 1)
    wanted = client.register_schema("lines-value", Schema(json.dumps(line), "AVRO", [to_point, to_colour]))
    avro = Avro(SCHEMA, registry=Registry(client, auto_register=False, use_latest=True)).warm_up("lines")
    row = {"ends": [{"x": 1, "colour": "GREEN"}, {"x": -1, "colour": None}], "colour": "RED"}
    record = avro.encode(row)
    assert schema_id(record) == wanted
    assert record[5:].hex() == "0402020201000000"
    if name == "c.Colour":
        named = {}
        for schema in (colour, point):
            fastavro.parse_schema(schema, named)
        assert fastavro.schemaless_reader(io.BytesIO(record[5:]), fastavro.parse_schema(line, named), None) == row
