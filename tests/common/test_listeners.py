"""Every login on a listener of a real broker: records that come through, failures that are said in time, rights.

What each error says stands in docs/security.md.
"""

from __future__ import annotations

import logging
import queue
import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from confluent_kafka import KafkaError

from tests.support import listeners
from tests.support.listeners import MECHANISMS, OTHER, TOPIC, SecuredBroker
from tests.support.readers import read_values
from tests.support.waiting import wait_until
from twolane import DeliveryError, FatalProducerError, SafeProducer, ThroughputProducer, TopicColumn, Verdict
from twolane.common.client_events import explained
from twolane.testing import ClusterUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from twolane.common.base import BaseProducer

pytestmark = pytest.mark.cluster
LANES = pytest.mark.parametrize("lane", [SafeProducer, ThroughputProducer], ids=["safe", "throughput"])
# Seconds: what a call that cannot succeed is given, and what it may take on a machine that is busy.
TIMEOUT, BOUND = 1.0, 15.0


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    try:
        yield from listeners.start(tmp_path_factory.mktemp("secured"))
    except ClusterUnavailableError as error:
        pytest.skip(str(error))


@LANES
def test_records_come_through_every_login(broker: SecuredBroker, lane: type[BaseProducer]) -> None:
    logins = listeners.logins(broker)
    assert len(logins) == 2 + len(MECHANISMS)
    expected = []
    for name, settings in logins.items():
        values = [f"{lane.__name__} {name} {i}".encode() for i in range(3)]
        with lane(**settings) as producer:
            producer.send(TOPIC, values[0], timeout=60)
            producer.send_batch(TOPIC, values[1:], timeout=60)
            producer.flush()
        expected += values
    found = read_values(broker.kafka.bootstrap_servers, TOPIC)
    assert [value for value in found if value in expected] == expected


class Broken(NamedTuple):
    """A login that cannot work.

    Attributes
    ----------
    settings : callable
        Of the broker.
    event : str
        What `error_cb` is told.
    said : str
        What the error of a call says.
    """

    settings: Callable[[SecuredBroker], dict[str, Any]]
    event: str
    said: str


def _wrong_password(mechanism: str) -> Broken:
    told = "Authentication failed"
    return Broken(lambda broker: broker.login(mechanism, sasl_password="another-word"), told, told)


def _silent(settings: Callable[[SecuredBroker], dict[str, Any]], protocol: str) -> Broken:
    return Broken(settings, "brokers are down", f"speaks another security.protocol than {protocol}")


# librdkafka says more than OpenSSL where it sees the handshake end itself, and not on each attempt.
UNVERIFIED = "certificate verify failed.*ssl.ca.location does not have, has expired, or is for another host"
NO_TOKEN = {"enable_sasl_oauthbearer_unsecure_jwt": None, "sasl_oauthbearer_config": None}
BAD_TOKEN = "e30.bm90IGEgdG9rZW4."
# Whether librdkafka reads the alert, or sees the connection end first, is the network's: each attempt may say another.
ALERT = "ssl.certificate.location, ssl.key.location"
CASES = {
    "unknown authority": Broken(lambda broker: broker.tls(**broker.trust("another-")), UNVERIFIED, UNVERIFIED),
    "expired certificate": Broken(lambda broker: broker.tls("EXPIRED"), UNVERIFIED, UNVERIFIED),
    "certificate of another host": Broken(lambda broker: broker.tls("ELSEWHERE"), UNVERIFIED, UNVERIFIED),
    "login and unknown authority": Broken(
        lambda broker: broker.login("SCRAM-SHA-256", **broker.trust("another-")), UNVERIFIED, UNVERIFIED
    ),
    "no client certificate": Broken(lambda broker: broker.tls("MUTUAL"), ALERT, "last error"),
    "client certificate of an unknown authority": Broken(
        lambda broker: broker.tls("MUTUAL", **broker.client("another-")), ALERT, "last error"
    ),
    **{f"wrong password, {mechanism}": _wrong_password(mechanism) for mechanism in MECHANISMS[:3]},
    "unknown user": Broken(
        lambda broker: broker.login("SCRAM-SHA-512", sasl_username="nobody"), "Authentication failed", "invalid cred"
    ),
    "bad token": Broken(
        lambda broker: broker.login("OAUTHBEARER", **NO_TOKEN, oauth_cb=lambda _: (BAD_TOKEN, time.time() + 3600)),
        "SASL authentication error",
        "invalid_token",
    ),
    "no TLS": _silent(lambda broker: {"bootstrap_servers": broker.kafka.address_of("TLS")}, "PLAINTEXT"),
    "no login": _silent(lambda broker: broker.tls("LOGIN"), "SSL"),
    "TLS where there is none": Broken(
        lambda broker: broker.tls(bootstrap_servers=broker.kafka.bootstrap_servers),
        "connecting to a PLAINTEXT broker listener",
        "SSL connection closed by peer",
    ),
}


class Failure(NamedTuple):
    """What became of a call with a login that cannot work."""

    error: DeliveryError
    seconds: float


def fail(broker: SecuredBroker, lane: type[BaseProducer], name: str) -> Failure:
    """Wait until librdkafka has tried to log in and says why it could not, then send."""
    broken = CASES[name]
    events: queue.SimpleQueue[KafkaError] = queue.SimpleQueue()
    told = []
    with lane(**broken.settings(broker), error_cb=events.put) as producer:

        def is_told() -> bool:
            producer.stats()  # lets error_cb be called
            told.extend(events.get_nowait().str() for _ in range(events.qsize()))
            return any(re.search(broken.event, text, re.DOTALL) for text in told)

        wait_until(is_told)
        begun = time.monotonic()
        with pytest.raises(DeliveryError) as caught:
            producer.send(TOPIC, f"never: {name}".encode(), timeout=TIMEOUT)
        return Failure(caught.value, time.monotonic() - begun)


@pytest.mark.parametrize("more", ["", ": broker certificate could not be verified, verify that ssl.ca.location is ..."])
def test_whatever_librdkafka_says_of_a_certificate_is_explained(more: str) -> None:
    text = f"ssl://127.0.0.1:9092/bootstrap: error:0A000086:SSL routines::certificate verify failed{more}"
    assert re.search(UNVERIFIED, explained(text))


@pytest.fixture(scope="module")
def failures(broker: SecuredBroker) -> dict[tuple[type[BaseProducer], str], Failure]:
    """Every login that cannot work with every lane, side by side: each only waits."""
    pairs = [(lane, name) for lane in (SafeProducer, ThroughputProducer) for name in CASES]
    with ThreadPoolExecutor(len(pairs)) as pool:
        return dict(zip(pairs, pool.map(lambda pair: fail(broker, *pair), pairs), strict=True))


@LANES
@pytest.mark.parametrize("name", CASES)
def test_a_login_that_cannot_work_is_said(failures: dict[Any, Failure], lane: type[BaseProducer], name: str) -> None:
    error, seconds = failures[lane, name]
    assert re.search(CASES[name].said, str(error)), str(error)
    assert error.verdict is Verdict.NOT_WRITTEN
    assert error.topic == TOPIC
    assert seconds < BOUND
    for secret in (listeners.PASSWORD, "another-word", BAD_TOKEN):
        assert secret not in str(error)


def test_nothing_of_a_login_that_failed_is_in_the_log(broker: SecuredBroker, failures: dict[Any, Failure]) -> None:
    found = read_values(broker.kafka.bootstrap_servers, TOPIC)
    assert not [value for value in found if value is not None and value.startswith(b"never")]


# ---- rights ------------------------------------------------------------------------------------------------------


def as_user(broker: SecuredBroker, name: str, **more: Any) -> dict[str, Any]:
    return broker.login("PLAIN", sasl_username=name, **more)


def send(producer: Any, topic: str, value: bytes) -> None:
    """Send a batch of one, and wait for it on either lane: its error has an own type, and the record's verdict."""
    delivery = producer.send_batch(topic, [value], timeout=60)
    if isinstance(producer, ThroughputProducer):
        delivery.result(60)


@LANES
@pytest.mark.parametrize("idempotence", [True, False])
def test_a_topic_that_may_not_be_written_stops_no_other(
    broker: SecuredBroker, lane: type[BaseProducer], idempotence: bool
) -> None:
    settings = as_user(broker, "may-not-write", enable_idempotence=idempotence)
    value = f"{lane.__name__} {idempotence}".encode()
    with lane(**settings) as producer:
        with pytest.raises(DeliveryError, match="Topic authorization failed") as caught:
            send(producer, TOPIC, b"never: may not write")
        assert caught.value.error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
        assert caught.value.verdict is Verdict.NOT_WRITTEN
        assert not isinstance(caught.value, FatalProducerError)
        send(producer, OTHER, value)
    assert value in read_values(broker.kafka.bootstrap_servers, OTHER)


@LANES
def test_a_topic_that_may_not_be_described_is_refused_before_anything_is_sent(
    broker: SecuredBroker, lane: type[BaseProducer]
) -> None:
    with lane(**as_user(broker, "may-not-describe")) as producer:
        with pytest.raises(DeliveryError, match=r"topic 't', record 0: .*Topic authorization failed") as caught:
            send(producer, TOPIC, b"never: may not describe")
        assert caught.value.error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
        assert caught.value.verdict is Verdict.NOT_WRITTEN
        assert producer.stats().accepted == 0
        send(producer, OTHER, b"described")


@LANES
def test_idempotence_that_is_not_allowed_ends_the_producer(broker: SecuredBroker, lane: type[BaseProducer]) -> None:
    """Since Kafka 2.8 whoever may write to any topic may write idempotently."""
    producer = lane(**as_user(broker, "may-not-write-at-all", enable_idempotence=True))
    try:
        for _ in range(2):
            with pytest.raises(FatalProducerError, match="Cluster authorization failed") as caught:
                send(producer, TOPIC, b"never: may not write at all")
            assert caught.value.verdict is Verdict.NOT_WRITTEN
    finally:
        producer.close(0)


def by_callback(producer: ThroughputProducer) -> None:
    errors: list[Any] = []
    producer.send(TOPIC, b"never: by callback", on_delivery=lambda error, _: errors.append(error))
    wait_until(lambda: errors)
    raise errors[0]


WAYS: dict[str, Callable[[ThroughputProducer], object]] = {
    "submit": lambda producer: producer.submit(TOPIC, b"never: submit").result(60),
    "topics": lambda producer: producer.send_batch(TopicColumn([TOPIC, OTHER]), [b"never: 1", b"never: 2"]).result(60),
    "on_delivery": by_callback,
    "flush": lambda producer: (producer.send(TOPIC, b"never: flush"), producer.flush(60)),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_learn_of_a_report_says_why_the_producer_ended(broker: SecuredBroker, way: str) -> None:
    """Records behind a fatal error are purged: "Purged in queue" alone would say nothing."""
    producer = ThroughputProducer(**as_user(broker, "may-not-write-at-all", enable_idempotence=True))
    try:
        with pytest.raises(FatalProducerError, match=r"not written .*Cluster authorization failed") as caught:
            WAYS[way](producer)
        assert caught.value.verdict is Verdict.NOT_WRITTEN
    finally:
        producer.close(0)


def test_settings_that_may_not_be_read_stop_nothing(broker: SecuredBroker, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "twolane")
    with SafeProducer(**as_user(broker, "may-not-see-settings"), check_topics=True) as producer:
        send(producer, TOPIC, b"unchecked")
        wait_until(lambda: "the settings of topic 't' could not be read" in caplog.text)
    assert "authorization failed" in caplog.text.lower()
    assert b"unchecked" in read_values(broker.kafka.bootstrap_servers, TOPIC)


@LANES
def test_a_transactional_id_of_others(broker: SecuredBroker, lane: type[BaseProducer]) -> None:
    producer = lane(**as_user(broker, "may-not-use-the-id", transactional_id="mine"))
    try:
        said = r"^not written \(TRANSACTIONAL_ID_AUTHORIZATION_FAILED: init_transactions: "
        with pytest.raises(FatalProducerError, match=said) as caught:
            producer.init_transactions(timeout=60)
        assert caught.value.verdict is Verdict.NOT_WRITTEN
    finally:
        producer.close(0)


@LANES
def test_transactions_with_every_right_and_without_that_to_write(
    broker: SecuredBroker, lane: type[BaseProducer], caplog: pytest.LogCaptureFixture
) -> None:
    value = f"{lane.__name__} in a transaction".encode()
    with lane(**as_user(broker, listeners.USER, transactional_id="mine")) as producer:
        producer.init_transactions(timeout=60)
        with producer.transaction(timeout=60):
            producer.send(TOPIC, value)
    producer = lane(**as_user(broker, "may-not-write-in-transactions", transactional_id="mine"))
    try:
        producer.init_transactions(timeout=60)
        with pytest.raises(DeliveryError) as caught, producer.transaction(timeout=60):
            send(producer, TOPIC, b"never: in a transaction")
        assert caught.value.verdict is Verdict.NOT_WRITTEN
        # The record's own error is that of its purge.
        wait_until(lambda: "Failed to add partition" in caplog.text and "Topic authorization failed" in caplog.text)
    finally:
        producer.close(0)
    found = read_values(broker.kafka.bootstrap_servers, TOPIC)
    assert value in found
    assert not [one for one in found if one is not None and one.startswith(b"never")]
