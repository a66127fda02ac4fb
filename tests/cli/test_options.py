"""Options that subcommands share: brokers, settings, files of settings."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from twolane import ConfigError
from twolane.cli.app import App
from twolane.cli.options import connection_options, lane_option
from twolane.cli.properties import read_properties

SECRET = "correct-horse-battery"


@pytest.fixture
def given(monkeypatch):
    """Return the settings that a producer gets which is made of some options."""
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)

    @click.command()
    @connection_options
    @lane_option("safe")
    def probe(connection, lane):
        with connection.producer(lane) as producer:
            for name, value in producer.config.items():
                click.echo(f"{name}={value}")

    class Probe(App):
        def get_command(self, context, name):
            return probe

    def call(*arguments: object):
        return CliRunner().invoke(Probe(), ["probe", *map(str, arguments)])

    return call


def test_settings_of_options_and_a_file(given, tmp_path):
    path = tmp_path / "client.properties"
    path.write_text("bootstrap.servers=file:1\nclient.id=file\nmessage.timeout.ms=1000\n")
    result = given("-F", path, "-X", "client.id=option", "-X", "delivery.timeout.ms=2000", "-b", "127.0.0.1:1")
    assert result.exit_code == 0, result.output
    assert {"bootstrap.servers=127.0.0.1:1", "client.id=option", "message.timeout.ms=2000"} <= set(
        result.stdout.splitlines()
    )


def test_brokers_may_come_from_the_environment(given, monkeypatch):
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    assert "bootstrap.servers=127.0.0.1:1" in given().stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["-b HOST:PORT is missing"]),
        (["-b", "x:1", "-X", "compresion.type=lz4"], ["for --lane safe", "did you mean 'compression.type'"]),
        (["-b", "x:1", "-X", "acks=1"], ["acks=1 breaks --lane safe"]),
        (["-b", "x:1", "-X", "linger.ms=1", "-X", "queue.buffering.max.ms=1"], ["linger.ms is set twice"]),
        (["-b", "x:1", "-X", SECRET], ["expected NAME=VALUE (number 1 of 1)"]),
        (["-b", "x:1", "-X", "compression.type=brotli"], ["brotli"]),
        (["-b", "x:1", "-F", "no-such-file"], ["no-such-file"]),
        (["-b", "x:1", "-X", f"sasl.passwordd={SECRET}"], ["did you mean 'sasl.password'"]),
        (["-b", "x:1", "-X", f"ssl.ca.location={SECRET}"], ["no such file"]),
    ],
)
def test_wrong_options(given, arguments, words):
    result = given(*arguments)
    assert result.exit_code == 1
    assert all(word in result.stderr for word in words), result.stderr
    assert "Traceback" not in result.stderr
    assert SECRET not in result.stderr or "ssl.ca.location" in arguments[-1]


def test_an_insecure_login_needs_leave(given):
    arguments = [
        *("-b", "127.0.0.1:1", "-X", "security.protocol=SASL_PLAINTEXT", "-X", "sasl.mechanism=PLAIN"),
        *("-X", "sasl.username=ann", "-X", f"sasl.password={SECRET}"),
    ]
    result = given(*arguments)
    assert result.exit_code == 1
    assert "use --allow-insecure" in result.stderr
    result = given(*arguments, "--allow-insecure", "-vv")
    assert result.exit_code == 0
    assert "sasl.password=[masked]" in result.stdout
    assert SECRET not in result.output


# ---- files -----------------------------------------------------------------------------------------------------------


def read(tmp_path, text: str) -> dict[str, str]:
    path = tmp_path / "client.properties"
    path.write_text(text)
    return read_properties(path)


def test_a_file_of_librdkafka_settings(tmp_path):
    assert read(
        tmp_path,
        "# kcat's\n\n  metadata.broker.list = a:1,b:2 \nsasl.password=p=w\\d#1\n! Java's comment\n"
        "client.id\\=x=a\\:b\n",
    ) == {"bootstrap.servers": "a:1,b:2", "sasl.password": "p=w\\d#1", "client.id": "x=a:b"}


def test_a_java_clients_file(tmp_path):
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    assert read(
        tmp_path,
        "bootstrap.servers=a:9092\nsecurity.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-256\n"
        "key.serializer=org.apache.kafka.common.serialization.StringSerializer\n"
        "sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \\\n"
        '    username="ann" \\\n    password="p\\"w;d";\n'
        f"ssl.truststore.type=PEM\nssl.truststore.location={tmp_path}/ca.pem\nssl.endpoint.identification.algorithm=\n"
        "delivery.timeout.ms=1000\n",
    ) == {
        "bootstrap.servers": "a:9092",
        "security.protocol": "SASL_SSL",
        "sasl.mechanisms": "SCRAM-SHA-256",
        "sasl.username": "ann",
        "sasl.password": 'p"w;d',
        "ssl.ca.location": f"{tmp_path}/ca.pem",
        "ssl.endpoint.identification.algorithm": "none",
        "message.timeout.ms": "1000",
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a=1\nb\n", "line 2: expected name=value"),
        (f"{SECRET}\n", "line 1: expected name=value"),
        ("linger.ms=1\nqueue.buffering.max.ms=2\n", "line 2: linger.ms is set twice"),
        (f'sasl.jaas.config=com.example.Login required token="{SECRET}";\n', "line 1: sasl.jaas.config: expected"),
        ("ssl.truststore.type=JKS\n", "librdkafka reads PEM here"),
        ("ssl.keystore.type=JKS\n", "librdkafka reads PKCS12 here"),
        ("ssl.truststore.location=pyproject.toml\n", "is not PEM; keytool"),
        ("ssl.truststore.location=no-such-file\n", "No such file"),
    ],
)
def test_a_file_that_says_nothing_usable(tmp_path, text, words):
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert words in str(caught.value)
    assert "client.properties" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_file_that_is_no_text(tmp_path):
    path = tmp_path / "client.properties"
    path.write_bytes(b"client.id=\xff\n")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_properties(path)
