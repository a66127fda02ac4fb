"""Schema ids through confluent_kafka's own mock registry."""

import json
import uuid

import pytest

from twolane.config.masking import without_credentials, without_urls
from twolane.errors import ConfigError, SerializationError
from twolane.serializers import Avro
from twolane.serializers.schema_registry import Registry, record_subject, topic_record_subject

pytest.importorskip("certifi", reason="confluent-kafka[schemaregistry] is not installed")
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

SCHEMA = {"type": "record", "name": "n.Point", "fields": [{"name": "x", "type": "long"}]}
NEWER = {**SCHEMA, "fields": [*SCHEMA["fields"], {"name": "y", "type": "long", "default": 5}]}


@pytest.fixture
def conf():
    return {"url": f"mock://{uuid.uuid4()}"}


@pytest.fixture
def client(conf):
    return SchemaRegistryClient.new_client(conf)


def framed(schema_id, record):
    return b"\0" + schema_id.to_bytes(4, "big") + record


def test_registers_once_per_topic(conf, client, monkeypatch):
    calls = []
    register = client.register_schema_full_response
    monkeypatch.setattr(client, "register_schema_full_response", lambda *args: calls.append(args) or register(*args))
    avro = Avro(SCHEMA, registry=client)
    with pytest.raises(SerializationError, match="warm_up"):
        avro.encode({"x": 1})
    with pytest.raises(SerializationError, match="warm_up"):
        avro.bind([{"x": 1}])
    warm = avro.warm_up("clicks")
    assert avro.warm_up("clicks") is warm
    assert warm.warm_up("clicks") is warm
    avro.warm_up("clicks", "key")
    assert [call[0] for call in calls] == ["clicks-value", "clicks-key"]
    latest = client.get_latest_version("clicks-value")
    assert json.loads(latest.schema.schema_str) == SCHEMA
    assert warm.encode({"x": 1}) == framed(latest.schema_id, b"\x02")
    assert list(warm.encode_batch({"x": [1]})) == [warm.encode({"x": 1})]


def test_lookup_only(client):
    avro = Avro(SCHEMA, registry=Registry(client, auto_register=False))
    with pytest.raises(SerializationError, match=r"subject 'clicks-value'.*lookup failed"):
        avro.warm_up("clicks")
    schema_id = client.register_schema("clicks-value", Schema(json.dumps(SCHEMA), "AVRO"))
    assert avro.warm_up("clicks").schema_id == schema_id


def test_latest_version_writes_the_registrys_schema(client):
    schema_id = client.register_schema("clicks-value", Schema(json.dumps(NEWER), "AVRO"))
    avro = Avro(SCHEMA, registry=Registry(client, auto_register=False, use_latest=True))
    assert avro.warm_up("clicks").encode({"x": 1}) == framed(schema_id, b"\x02\x0a")
    with pytest.raises(SerializationError, match="latest version failed"):
        avro.warm_up("nothing")


@pytest.mark.parametrize(
    ("strategy", "subject"),
    [(record_subject, "n.Point"), (topic_record_subject, "clicks-n.Point"), (lambda *_: "s", "s")],
)
def test_subject_names(client, strategy, subject):
    Avro(SCHEMA, registry=Registry(client, subject_name=strategy)).warm_up("clicks")
    assert client.get_subjects() == [subject]
    if strategy is record_subject:
        with pytest.raises(SerializationError, match="name"):
            Avro("string", registry=Registry(client, subject_name=strategy)).warm_up("clicks")


def test_configuration():
    assert Avro(SCHEMA, registry={"url": "mock://a"}).warm_up("t").schema_id is not None
    with pytest.raises(ConfigError, match="auto_register"):
        Registry({"url": "mock://a"}, use_latest=True)
    with pytest.raises(ConfigError, match="registry"):
        Registry({"url": "mock://a", "nonsense": 1})
    with pytest.raises(ConfigError, match="registry"):
        Registry(5)
    with pytest.raises(ValueError, match="schema_id"):
        Avro(SCHEMA, registry={"url": "mock://a"}, schema_id=5)
    fixed = Avro(SCHEMA, schema_id=5)
    assert fixed.warm_up("t") is fixed


def test_errors_show_no_credentials():
    registry = Registry({"url": "http://user:secret@127.0.0.1:1", "max.retries": 0, "timeout": 1})
    with pytest.raises(SerializationError, match="subject 't-value'") as caught:
        Avro(SCHEMA, registry=registry).warm_up("t")
    assert "secret" not in str(caught.value)
    assert "http://127.0.0.1:1" in str(caught.value)
    assert without_credentials("https://u:p@h:1/path?key=1,http://x") == "https://h:1/path"


@pytest.mark.parametrize("url", ["user:secret@127.0.0.1:1", "'http://user:secret@127.0.0.1:1'"])
def test_a_url_that_is_none_shows_no_credentials(url):
    assert "secret" not in without_credentials(url)
    assert without_urls(f'bad URL {url}, ("{url}")').count("127.0.0.1:1") == 2
    assert "secret" not in without_urls(f'bad URL {url}, ("{url}")')
    with pytest.raises((ConfigError, SerializationError)) as caught:
        Avro(SCHEMA, registry=Registry({"url": url, "max.retries": 0, "timeout": 1})).warm_up("t")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"ssl.ca.location": "/nowhere/ca.pem"}, "ssl.ca.location"),
        (
            {"ssl.certificate.location": "/nowhere/c.pem", "ssl.key.location": "/nowhere/k.pem"},
            "ssl.certificate.location",
        ),
        ({"ssl.ca.location": __file__}, "ssl.ca.location"),
        ({"ssl.certificate.location": __file__, "ssl.key.location": "/nowhere/k.pem"}, "ssl.key.location"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(settings, key):
    with pytest.raises(ConfigError, match=r"schema registry at https://127\.0\.0\.1:1") as caught:
        Registry({"url": "https://u:secret@127.0.0.1:1", **settings})
    assert caught.value.key == key
    assert f"{key}={settings[key]}" in str(caught.value)
    assert "secret" not in str(caught.value)
