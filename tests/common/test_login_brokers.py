"""Logins on a real broker: tokens and credentials, taken, renewed and refused by Kafka itself."""

from __future__ import annotations

import logging
import queue
import time

import pytest

from faults.proxy import FaultProxy
from tests.support.readers import read_values
from tests.support.tokens import unsecured
from twolane import DeliveryError, SafeProducer, ThroughputProducer
from twolane.testing import ClusterUnavailableError, KafkaCluster

pytestmark = pytest.mark.cluster
LANES = pytest.mark.parametrize("lane", [SafeProducer, ThroughputProducer], ids=["safe", "throughput"])
OAUTH = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;"
PLAIN = 'org.apache.kafka.common.security.plain.PlainLoginModule required user_alice="first-word";'
# Seconds after which the broker asks for a new login on a connection that lives (KIP-368).
REAUTHENTICATION = 2.0


@pytest.fixture(scope="module")
def cluster():
    listener = "listener.name.proxied"
    config = {
        "listener.security.protocol.map": "CLIENT:PLAINTEXT,PROXIED:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
        f"{listener}.sasl.enabled.mechanisms": "OAUTHBEARER,PLAIN",
        f"{listener}.oauthbearer.sasl.jaas.config": OAUTH,
        f"{listener}.plain.sasl.jaas.config": PLAIN,
        f"{listener}.oauthbearer.connections.max.reauth.ms": int(REAUTHENTICATION * 1000),
        f"{listener}.plain.connections.max.reauth.ms": int(REAUTHENTICATION * 1000),
    }
    try:
        started = KafkaCluster(1, config=config)
    except ClusterUnavailableError as error:
        pytest.skip(str(error))
    with started, FaultProxy(started.proxied) as proxy:
        started.create_topic("t", replication=1)
        yield started, proxy.bootstrap_servers


@LANES
def test_a_token_logs_in_and_is_renewed_where_nobody_sends(cluster, lane):
    kafka, address = cluster
    asked = queue.SimpleQueue()

    def oauth_cb(argument):
        asked.put(argument)
        return unsecured("alice", 3), time.time() + 3, "alice", {"traceId": "7"}

    with (
        pytest.warns(UserWarning, match="allow_insecure"),
        lane(
            bootstrap_servers=address,
            security_protocol="SASL_PLAINTEXT",
            sasl_mechanism="OAUTHBEARER",
            sasl_oauthbearer_config="scope=kafka",
            oauth_cb=oauth_cb,
            allow_insecure=True,
        ) as producer,
    ):
        producer.send("t", f"{lane.__name__} one".encode(), timeout=20)
        producer.flush()
        for _ in range(2):  # the first, and one more while the producer is idle
            assert asked.get(timeout=20) == "scope=kafka"
        producer.send("t", f"{lane.__name__} two".encode(), timeout=20)
        producer.flush()
    values = [value for value in read_values(kafka.bootstrap_servers, "t") if value.startswith(lane.__name__.encode())]
    assert values == [f"{lane.__name__} one".encode(), f"{lane.__name__} two".encode()]


@LANES
def test_a_token_that_the_broker_refuses_is_said(cluster, lane, caplog):
    _, address = cluster
    secret = "e30.bm90IGEgdG9rZW4."
    with (
        pytest.warns(UserWarning, match="allow_insecure"),
        lane(
            bootstrap_servers=address,
            security_protocol="SASL_PLAINTEXT",
            sasl_mechanism="OAUTHBEARER",
            oauth_cb=lambda _: (secret, time.time() + 60),
            allow_insecure=True,
        ) as producer,
        caplog.at_level(logging.DEBUG, "twolane"),
        pytest.raises(DeliveryError) as caught,
    ):
        producer.send("t", b"never", timeout=2)
    assert "SASL authentication error" in str(caught.value)
    assert secret not in caplog.text + str(caught.value)


@LANES
def test_credentials_that_rotate(cluster, lane):
    kafka, address = cluster
    with (
        pytest.warns(UserWarning, match="allow_insecure"),
        lane(
            bootstrap_servers=address,
            security_protocol="SASL_PLAINTEXT",
            sasl_mechanism="PLAIN",
            sasl_username="alice",
            sasl_password="an-old-word",
            allow_insecure=True,
        ) as producer,
    ):
        with pytest.raises(DeliveryError, match="Authentication failed"):
            producer.send("t", b"never", timeout=2)
        producer.set_sasl_credentials("alice", "first-word")
        producer.send("t", f"{lane.__name__} rotated".encode(), timeout=20)
        producer.flush()
    assert f"{lane.__name__} rotated".encode() in read_values(kafka.bootstrap_servers, "t")
    assert b"never" not in read_values(kafka.bootstrap_servers, "t")


@LANES
def test_librdkafkas_own_unsecured_tokens_are_renewed_where_nobody_sends(cluster, lane):
    """Each token lives two seconds; the second record comes after the first one's end, and the broker asked anew."""
    kafka, address = cluster
    with (
        pytest.warns(UserWarning, match="allow_insecure"),
        lane(
            bootstrap_servers=address,
            security_protocol="SASL_PLAINTEXT",
            sasl_mechanism="OAUTHBEARER",
            enable_sasl_oauthbearer_unsecure_jwt=True,
            sasl_oauthbearer_config="principal=alice lifeSeconds=2",
            allow_insecure=True,
        ) as producer,
    ):
        for word, wait in ((b" own one", REAUTHENTICATION * 1.5), (b" own two", 0.0)):
            producer.send("t", lane.__name__.encode() + word, timeout=20)
            producer.flush()
            time.sleep(wait)
    assert lane.__name__.encode() + b" own two" in read_values(kafka.bootstrap_servers, "t")


def test_the_command_says_that_a_password_is_wrong(cluster, tmp_path):
    from click.testing import CliRunner

    from twolane.cli.app import app
    from twolane.cli.exits import Exit

    _, address = cluster
    (tmp_path / "rows.jsonl").write_text('{"id": 1}\n')
    (tmp_path / "client.properties").write_text(
        f"bootstrap.servers={address}\nsecurity.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\n"
        "sasl.username=alice\nsasl.password=another-word\nmessage.timeout.ms=5000\n"
    )
    arguments = ["load", tmp_path / "rows.jsonl", "-F", tmp_path / "client.properties", "--allow-insecure", "-t", "t"]
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == Exit.UNAVAILABLE, done.output
    assert "uthentication" in done.output
    assert "another-word" not in done.output
