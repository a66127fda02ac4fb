"""Tokens of SASL/OAUTHBEARER: asked for in a thread of its own, renewed on an idle producer, shown nowhere."""

from __future__ import annotations

import logging
import pickle
import queue
import threading
import time

import pytest

from tests.config.test_masking import Kept
from tests.support.tokens import unsecured
from tests.support.waiting import wait_until
from twolane import ConfigError, DeliveryError, SafeProducer, ThroughputProducer

LANES = pytest.mark.parametrize("lane", [SafeProducer, ThroughputProducer], ids=["safe", "throughput"])
NOWHERE = {
    "bootstrap.servers": "127.0.0.1:1",
    "security.protocol": "SASL_SSL",
    "sasl.mechanisms": "OAUTHBEARER",
    "sasl.oauthbearer.config": "realm=test",
}


@pytest.fixture
def logged():
    kept, logger = Kept(), logging.getLogger("twolane")
    logger.addHandler(kept)
    logger.setLevel(logging.DEBUG)
    yield kept.shown
    logger.removeHandler(kept)
    logger.setLevel(logging.NOTSET)


def token_threads():
    return [thread for thread in threading.enumerate() if thread.name == "twolane-token"]


def ended(threads):
    for thread in threads:
        thread.join(60)
    return not any(thread.is_alive() for thread in threads)


@LANES
def test_a_token_is_asked_for_and_renewed_while_nobody_sends(lane):
    asked = queue.SimpleQueue()

    def oauth_cb(argument):
        asked.put((argument, threading.current_thread().name))
        return unsecured("me", 1.5), time.time() + 1.5

    with lane({**NOWHERE, "oauth_cb": oauth_cb}):
        assert asked.get(timeout=60) == ("realm=test", "twolane-token")
        assert asked.get(timeout=60) == ("realm=test", "twolane-token")
        threads = token_threads()
        assert len(threads) == 1
    assert ended(threads)


@LANES
def test_without_oauth_cb_there_is_no_thread_for_it(lane):
    with lane(bootstrap_servers="127.0.0.1:1"):
        assert not token_threads()


@LANES
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda: 1 / 0, "oauth_cb: ZeroDivisionError: division by zero"),
        (lambda: "token-as-text", "expected (token, seconds since the epoch"),
        (lambda: ("token-of-one",), "expected (token, seconds since the epoch"),
        (lambda: (b"token-in-bytes", time.time() + 60), "got bytes for the token"),
        (lambda: ("tkn-12345", "tomorrow"), "got str for the time"),
        (lambda: ("tkn-12345", time.time() + 60, 7), "got int for the principal"),
        (lambda: ("tkn-12345", time.time() + 60, "me", {"a": 1}), "extensions are a dict of str to str"),
        (lambda: ("tkn-12345", time.time() - 60), "unexpired token"),
        (lambda: ("tkn-12345", time.time() + 60, "me", {"auth": "reserved"}), "auth"),
    ],
)
def test_no_token_is_said_in_the_log_and_in_the_next_error(lane, answer, said, logged):
    events = queue.SimpleQueue()
    with lane({**NOWHERE, "oauth_cb": lambda _: answer()}, error_cb=events.put) as producer:
        # stats() lets error_cb be called: librdkafka has been told that there is no token, and has said so.
        wait_until(lambda: producer.stats() and not events.empty())
        with pytest.raises(DeliveryError) as caught:
            producer.send("t", b"v", timeout=0.3)
        assert "Failed to acquire SASL OAUTHBEARER token" in str(caught.value)
        assert said in str(caught.value)
    lines = [line for line in logged if not line.startswith(("{", "(")) and "Failed to acquire" in line]
    assert len(lines) == 1
    assert said in lines[0]


@LANES
def test_a_token_shows_nowhere(lane, logged):
    secret = unsecured("somebody", 3600)
    asked = threading.Event()

    def oauth_cb(argument):
        if asked.is_set():
            raise RuntimeError(f"service said: {secret} is revoked")
        asked.set()
        return secret, time.time() + 0.5, "me", {"traceId": secret}

    with lane({**NOWHERE, "oauth_cb": oauth_cb, "debug": "security,conf,broker"}) as producer:
        # The thread that asked is still on its way to the log when oauth_cb raises.
        wait_until(lambda: "is revoked" in "".join(logged))
        shown = [repr(producer), repr(producer.config), repr(producer._tokens), repr(producer._hide)]
        with pytest.raises(DeliveryError) as caught:
            producer.send("t", b"v", timeout=1.0)
        shown += [str(caught.value), repr(caught.value), repr(vars(caught.value))]
        for part in (producer, producer._tokens):
            with pytest.raises(TypeError):
                pickle.dumps(part)
    assert not [line for line in [*shown, *logged] if secret in line or secret.split(".")[1] in line]


@LANES
def test_a_login_that_cannot_work_names_oauth_cb(lane):
    with pytest.raises(ConfigError, match="nothing would bring a token; pass oauth_cb="):
        lane(NOWHERE)
    aws = {"sasl.oauthbearer.method": "oidc", "sasl.oauthbearer.metadata.authentication.type": "aws_iam"}
    with pytest.raises(ConfigError, match="no AWS IAM tokens of its own; pass oauth_cb="):
        lane({**NOWHERE, **aws})


@LANES
def test_what_gives_secrets_away_needs_allow_insecure_and_warns_once(lane, recwarn):
    plain = {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "u",
        "sasl.password": "p",
    }
    cases = [
        plain,
        {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "OAUTHBEARER", "oauth_cb": lambda _: ("t", 0)},
        {"security.protocol": "SSL", "enable.ssl.certificate.verification": False},
        {"security.protocol": "SSL", "ssl.endpoint.identification.algorithm": "none"},
        {"enable.ssl.certificate.verification": False, "ssl.endpoint.identification.algorithm": "none"},
    ]
    for case in cases:
        with pytest.raises(ConfigError, match="allow_insecure=True"):
            lane({"bootstrap.servers": "127.0.0.1:1", **case})
        with pytest.warns(UserWarning, match="allow_insecure=True") as warned:
            lane({"bootstrap.servers": "127.0.0.1:1", **case}, allow_insecure=True).close(0)
        assert len(warned) == 1
    lane(bootstrap_servers="127.0.0.1:1", allow_insecure=True).close(0)
    assert not recwarn.list


@LANES
def test_credentials_that_change_are_masked_too(lane, logged):
    scram = {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-256",
        "sasl.username": "u1",
        "sasl.password": "p1",
    }
    with lane({"bootstrap.servers": "127.0.0.1:1", **scram}) as producer:
        producer.set_sasl_credentials("another-name", "another-word")
        assert producer.config["sasl.password"] == producer.config["sasl.username"] == "[masked]"
        assert producer._hide("another-word") == "[masked]"
        for bad in [("", "p"), ("u", None), ("u", "p\0q")]:
            with pytest.raises(ConfigError, match="set_sasl_credentials"):
                producer.set_sasl_credentials(*bad)


@LANES
def test_callbacks_mean_what_they_mean_elsewhere(lane, embedded_cluster):
    errors, statistics = queue.SimpleQueue(), queue.SimpleQueue()
    embedded_cluster.create_topic("t")
    with lane(
        {"bootstrap.servers": embedded_cluster.bootstrap_servers, "error_cb": errors.put},
        stats_cb=statistics.put,
        statistics_interval_ms=50,
    ) as producer:
        producer.send("t", b"v")
        producer.flush()
        for broker in embedded_cluster.broker_ids:
            embedded_cluster.stop_broker(broker)
        wait_until(lambda: producer.stats() and not (errors.empty() or statistics.empty()))
    assert errors.get_nowait().name() in ("_TRANSPORT", "_ALL_BROKERS_DOWN")
    assert '"txmsgs"' in statistics.get_nowait()


@LANES
def test_a_callback_that_raises_ends_nothing(lane, logged):
    def error_cb(error):
        raise ValueError("mine")

    with lane(bootstrap_servers="127.0.0.1:1", error_cb=error_cb) as producer:
        with pytest.raises(DeliveryError, match="Connection refused"):
            producer.send("t", b"v", timeout=0.3)
        producer.stats()
    assert any("error_cb raised" in line for line in logged)


@LANES
@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"throttle_cb": print}, r"throttle_cb: use stats\(\)"),
        ({"on_delivery": print}, "on_delivery: pass on_delivery to send"),
        ({"error_cb": "print"}, "error_cb: expected a callable, got str"),
        ({"logger": "twolane"}, "logger: expected a logging.Logger, got str"),
        ({"allow_insecure": "yes"}, "allow_insecure: expected True or False, got str"),
    ],
)
def test_options_are_checked(lane, option, said):
    with pytest.raises(ConfigError, match=said):
        lane({"bootstrap.servers": "127.0.0.1:1", **option})


@LANES
def test_lines_go_to_the_given_logger_with_the_clients_name(lane, logged):
    mine, kept = logging.getLogger("mine.kafka"), Kept()
    mine.addHandler(kept)
    mine.propagate = False
    with lane(bootstrap_servers="127.0.0.1:1", client_id="orders", logger=mine) as producer:
        with pytest.raises(DeliveryError):
            producer.send("t", b"v", timeout=0.3)
        producer.stats()
    lines = kept.shown[::3]
    assert lines
    assert all(line.startswith("orders#producer-") for line in lines)
    assert not logged
