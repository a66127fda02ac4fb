"""Settings that both lanes refuse, with which error, naming what; and that secrets among them show nowhere."""

from __future__ import annotations

import io
import logging

import pytest

from twolane import ConfigError, DeliveryError, SafeProducer, ThroughputProducer
from twolane.config.known import ALIASES

LANES = [SafeProducer, ThroughputProducer]


@pytest.fixture(params=LANES, ids=["safe", "throughput"])
def lane(request):
    return request.param


def test_an_unknown_setting_is_refused_with_what_was_probably_meant(lane):
    with pytest.raises(ConfigError, match=r"compresion\.type.*compression\.type") as caught:
        lane({"bootstrap.servers": "localhost:1", "compresion.type": "lz4"})
    assert caught.value.key == "compresion.type"
    assert lane.__name__ in str(caught.value)


def test_an_unknown_keyword_is_refused_with_what_was_probably_meant(lane):
    with pytest.raises(ConfigError, match=r"linger\.ms"):
        lane(bootstrap_servers="localhost:1", lingr_ms=5)


def test_a_setting_given_twice_is_refused(lane):
    with pytest.raises(ConfigError, match="acks is set twice"):
        lane({"bootstrap.servers": "localhost:1", "acks": "all", "request.required.acks": "all"})


def test_missing_bootstrap_servers_are_named(lane, monkeypatch):
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    with pytest.raises(ConfigError, match=r"bootstrap\.servers is missing"):
        lane()


def breaking_settings():
    for made in LANES:
        for key in made._policy.refused:
            yield pytest.param(made, key, "1", id=f"{made.__name__}-{key}")
    for key, value in {
        "acks": "1",
        "request.required.acks": "0",
        "max.in.flight": "5",
        "max.in.flight.requests.per.connection": "2",
        "linger.ms": "5",
        "retries": "-1",
        "queue.buffering.backpressure.threshold": "8",
    }.items():
        yield pytest.param(SafeProducer, key, value, id=f"SafeProducer-{key}={value}")
    for key in ("queue.buffering.max.messages", "queue.buffering.max.kbytes"):
        yield pytest.param(ThroughputProducer, key, "0", id=f"ThroughputProducer-{key}=0")


@pytest.mark.parametrize(("lane", "key", "value"), list(breaking_settings()))
def test_a_setting_that_breaks_the_lane_is_refused_by_name(lane, key, value):
    with pytest.raises(ConfigError) as caught:
        lane({"bootstrap.servers": "localhost:1", key: value})
    assert lane.__name__ in str(caught.value)
    assert caught.value.key in str(caught.value)
    assert caught.value.key == ALIASES.get(key, key)


@pytest.mark.parametrize(
    "setting",
    [
        {"ssl.endpoint.identification.algorithm": "none"},
        {"enable.ssl.certificate.verification": False},
        {"test.mock.num.brokers": 3},
        {"partitioner": "mine"},
        {"message.max.bytes": "many"},
        {"client.id": "a\0b"},
        {"client.id": object()},
        {"compression.type": "zip"},
    ],
    ids=lambda setting: next(iter(setting)),
)
def test_a_wrong_value_is_refused_before_a_client_is_made(lane, setting):
    with pytest.raises(ConfigError):
        lane({"bootstrap.servers": "localhost:1", **setting})


SECRETS = {
    "sasl.password": "hunter2-password",
    "sasl.username": "hunter2-user",
    "ssl.key.password": "hunter2-key",
}


def test_secrets_show_nowhere(lane):
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    root.addHandler(handler)
    level = root.level
    root.setLevel(logging.DEBUG)
    url = "http://hunter2:hunter2@localhost:9/token?key=hunter2"
    try:
        with lane(
            {
                **SECRETS,
                "bootstrap.servers": "localhost:1",
                "security.protocol": "SASL_PLAINTEXT",
                "sasl.mechanisms": "PLAIN",
                "sasl.oauthbearer.token.endpoint.url": url,
                "debug": "conf,security,broker",
                "allow_insecure": True,
            }
        ) as producer:
            shown = [repr(producer), str(producer.config), str(producer._settings)]
            with pytest.raises(DeliveryError) as caught:
                producer.send("t", b"v", timeout=0.3)
            shown += [str(caught.value), repr(caught.value)]
        with pytest.raises(ConfigError) as refused:
            lane(
                {
                    **SECRETS,
                    "bootstrap.servers": "localhost:1",
                    "security.protocol": "SSL",
                    "ssl.key.pem": "hunter2-not-a-key",
                }
            )
        shown += [str(refused.value), repr(refused.value)]
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    shown.append(stream.getvalue())
    assert "hunter2" not in "\n".join(shown)


def test_config_shows_the_limits_in_force():
    with ThroughputProducer(bootstrap_servers="127.0.0.1:9") as producer:
        assert producer.config["queue.buffering.max.messages"] == str(producer._buffer.records) == "500000"
        assert producer.config["queue.buffering.max.kbytes"] == str(producer._buffer.bytes // 1024) == "1048576"
