"""``twolane.confluent.Producer`` beside ``confluent_kafka.Producer``: one program, two producers, the same log."""

from __future__ import annotations

import threading
import time

import confluent_kafka
import pytest
from confluent_kafka import KafkaError, KafkaException

import twolane.confluent
from tests.support.readers import read_all
from tests.support.waiting import HELD, wait_until
from twolane.testing import ApiKey

TOPIC = "orders"
BOTH = [confluent_kafka.Producer, twolane.confluent.Producer]
NAMES = ["confluent", "twolane"]


@pytest.fixture
def cluster(embedded_cluster):
    embedded_cluster.create_topic(TOPIC, partitions=4)
    return embedded_cluster


@pytest.fixture
def producer(cluster):
    with twolane.confluent.Producer({"bootstrap.servers": cluster.bootstrap_servers}) as made:
        yield made


def contents(cluster, topic):
    return sorted(
        (record.partition, record.key, record.value, tuple(record.headers))
        for record in read_all(cluster.bootstrap_servers, topic)
    )


@pytest.mark.parametrize("settings", [{}, {"partitioner": "murmur2_random"}, {"partitioner": "fnv1a"}, {"acks": 0}])
def test_one_program_writes_the_same_log_with_either(cluster, settings):
    logs = []
    for kind, name in zip(BOTH, NAMES, strict=True):
        topic = f"{TOPIC}-{name}"
        cluster.create_topic(topic, partitions=4)
        producer = kind({"bootstrap.servers": cluster.bootstrap_servers, **settings})
        for i in range(200):
            producer.produce(topic, f"v{i}", f"k{i}", headers={"h": str(i), "none": None, "raw": b"\x00"})
            producer.poll(0)
        producer.produce(topic, value=None, key=b"tombstone")
        producer.produce(topic, b"third", b"positional", 3)
        assert producer.flush() == 0
        logs.append(contents(cluster, topic))
    assert logs[0] == logs[1]
    assert len(logs[0]) == 202


def reported(err, msg):
    return (
        err.code() if err else None,
        msg.topic().partition("-")[0],
        msg.partition(),
        msg.key(),
        msg.value(),
        msg.error().code() if msg.error() else None,
        msg.timestamp()[0],
    )


@pytest.mark.parametrize("wait", ["poll", "flush"])
def test_callbacks_are_told_the_same_in_the_callers_thread(cluster, wait):
    told = {}
    for kind, name in zip(BOTH, NAMES, strict=True):
        topic = f"{TOPIC}-{name}"
        cluster.create_topic(topic, partitions=2)
        calls, threads = [], set()

        def call(err, msg, calls=calls, threads=threads):
            calls.append(reported(err, msg))
            threads.add(threading.current_thread())

        producer = kind({"bootstrap.servers": cluster.bootstrap_servers, "on_delivery": call})
        for i in range(50):
            producer.produce(topic, value=f"v{i}", key=f"k{i}", partition=i % 2, timestamp=1_700_000_000_000 + i)
        if wait == "flush":
            assert producer.flush() == 0
        else:
            while len(producer):
                producer.poll(1)
        assert threads == {threading.current_thread()}
        told[name] = sorted(calls)
    assert told["twolane"] == told["confluent"]


def test_records_of_a_topic_not_known_yet_keep_their_order(cluster):
    producer = twolane.confluent.Producer({"bootstrap.servers": cluster.bootstrap_servers})
    for i in range(5_000):  # the first ones wait for the topic's partitions, the last ones need not
        producer.produce(TOPIC, str(i), partition=1)
    assert producer.flush() == 0
    assert [int(record.value) for record in read_all(cluster.bootstrap_servers, TOPIC)] == list(range(5_000))


def test_a_record_that_waits_for_its_topic_stays_as_it_was_when_it_was_produced(cluster):
    cluster.set_rtt(HELD)
    headers = {"h": b"1"}
    with twolane.confluent.Producer({"bootstrap.servers": cluster.bootstrap_servers}) as producer:
        producer.produce(TOPIC, "v", headers=headers)
        produced_by = time.time_ns() // 1_000_000
        headers["h"] = b"2"
        cluster.set_rtt(0)
    [record] = read_all(cluster.bootstrap_servers, TOPIC)
    assert record.headers == [("h", b"1")]
    assert record.timestamp[1] <= produced_by


def test_records_that_wait_for_their_topic_are_bounded_in_bytes(cluster):
    cluster.set_topic_error("later", "LEADER_NOT_AVAILABLE")
    settings = {"bootstrap.servers": cluster.bootstrap_servers, "queue.buffering.max.kbytes": 10}
    producer = twolane.confluent.Producer(settings)
    producer.produce("later", b"x" * 6_000)
    with pytest.raises(BufferError, match="Queue full"):
        producer.produce("later", b"x" * 6_000)
    producer.purge()
    producer.produce("later", b"x" * 6_000)
    with pytest.raises(BufferError, match="Queue full"):
        producer.produce("later", "é" * 3_000)  # 6 000 bytes of UTF-8
    producer.purge()
    with pytest.raises(KafkaException, match="with its overhead"):
        producer.produce("later", b"x" * 1_000_000)
    assert producer.close()


def test_a_topic_that_does_not_exist_is_reported(cluster):
    cluster.set_topic_error("nowhere", "UNKNOWN_TOPIC_OR_PART")
    calls = []
    with twolane.confluent.Producer({"bootstrap.servers": cluster.bootstrap_servers}) as producer:
        for i in range(3):
            producer.produce("nowhere", str(i), on_delivery=lambda err, msg: calls.append((err.code(), msg.value())))
        assert len(producer) == 3
    assert calls == [(KafkaError._UNKNOWN_TOPIC, b"%d" % i) for i in range(3)]


def test_without_brokers_records_time_out():
    calls = []
    producer = twolane.confluent.Producer({"message.timeout.ms": 10, "on_delivery": lambda *told: calls.append(told)})
    producer.produce("t", "v", "k", headers=[("h", "x")])
    assert producer.flush() == 0
    [(err, msg)] = calls
    assert err.code() == KafkaError._MSG_TIMED_OUT
    assert (msg.topic(), msg.value(), msg.key(), msg.headers()) == ("t", b"v", b"k", [("h", b"x")])
    assert msg.latency() > 0


@pytest.mark.parametrize("in_flight", [False, True])
def test_purge_reports_what_waits(cluster, in_flight):
    cluster.set_rtt(500)
    calls = []
    producer = twolane.confluent.Producer({"bootstrap.servers": cluster.bootstrap_servers, "linger.ms": 10_000})
    producer.produce(TOPIC, "v", on_delivery=lambda err, msg: calls.append(err.code()))
    producer.purge(in_queue=False, in_flight=in_flight)
    assert not calls
    producer.purge(in_flight=in_flight)
    assert producer.flush() == 0
    assert calls == [KafkaError._PURGE_QUEUE]


def test_what_a_callback_raises_comes_out_of_poll_and_the_rest_follows(producer):
    calls = []

    def call(err, msg):
        calls.append(msg.value())
        if msg.value() == b"1":
            raise LookupError("mine")

    for i in range(3):
        producer.produce(TOPIC, str(i), partition=0, on_delivery=call)
    with pytest.raises(LookupError, match="mine"):
        producer.flush()
    assert calls == [b"0", b"1"]
    assert producer.flush() == 0
    assert calls == [b"0", b"1", b"2"]


def test_a_batch_names_the_messages_that_it_could_not_take(cluster, producer):
    calls = []
    messages = [
        {"value": "a", "partition": 2, "timestamp": 1_700_000_000_000, "headers": {"h": b"1"}},
        {"value": b"x" * 2_000_000},
        {"value": b"b", "key": "k", "callback": lambda err, msg: calls.append(msg.key())},
        {"value": b"c", "partition": 99},
    ]
    producer.produce(TOPIC, "first")  # from here on the topic is known
    assert producer.flush() == 0
    assert producer.produce_batch(TOPIC, messages, partition=1) == 2
    assert producer.flush() == 0
    assert [message["_error"].code() if "_error" in message else None for message in messages] == [
        None,
        KafkaError.MSG_SIZE_TOO_LARGE,
        None,
        KafkaError._UNKNOWN_PARTITION,
    ]
    assert calls == [b"k"]
    a, b = sorted((r for r in read_all(cluster.bootstrap_servers, TOPIC) if r.value != b"first"), key=lambda r: r.value)
    assert (a.partition, a.headers) == (2, [("h", b"1")])
    assert (b.partition, b.key) == (1, b"k")


def test_a_full_queue_is_a_buffer_error(cluster):
    settings = {"bootstrap.servers": cluster.bootstrap_servers, "queue.buffering.max.messages": 10, "linger.ms": 10_000}
    producer = twolane.confluent.Producer(settings)
    with pytest.raises(BufferError, match="Queue full"):
        for _ in range(100):
            producer.produce(TOPIC, "v")
    assert len(producer) == 10
    producer.purge()
    assert producer.flush() == 0


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"headers": ("a", "b")}, TypeError),
        ({"headers": ["malformed"]}, TypeError),
        ({"headers": {"an int": 1234}}, TypeError),
        ({"value": 1}, TypeError),
        ({"key": 1.5}, TypeError),
        ({"value": b"x" * 2_000_000}, KafkaException),
    ],
)
@pytest.mark.parametrize("is_known", [False, True])
def test_what_cannot_be_sent_is_refused_at_once(producer, arguments, error, is_known):
    if is_known:
        producer.produce(TOPIC, "v")
        producer.flush()
    with pytest.raises(error):
        producer.produce(TOPIC, **arguments)
    assert len(producer) == 0


def test_transactions(cluster):
    producer = twolane.confluent.Producer({"bootstrap.servers": cluster.bootstrap_servers, "transactional.id": "mine"})
    with pytest.raises(KafkaException) as raised:
        producer.begin_transaction()
    assert raised.value.args[0].code() == KafkaError._STATE
    producer.init_transactions(10)
    producer.begin_transaction()
    producer.produce(TOPIC, "v", partition=0)
    producer.commit_transaction(10)
    producer.begin_transaction()
    producer.abort_transaction(10)
    assert producer.close()
    assert [record.value for record in read_all(cluster.bootstrap_servers, TOPIC)] == [b"v"]


def test_the_cluster_is_described(cluster, producer):
    assert len(producer.list_topics(TOPIC, timeout=10).topics[TOPIC].partitions) == 4


def test_a_producer_that_is_dropped_with_records_warns(cluster):
    producer = twolane.confluent.Producer({"bootstrap.servers": cluster.bootstrap_servers, "linger.ms": 10_000})
    producer.list_topics(TOPIC)
    producer._open().partitions_for(TOPIC)  # a record of an unknown topic keeps its producer
    producer.produce(TOPIC, "v")
    with pytest.warns(ResourceWarning, match="1 records were dropped"):
        del producer


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"should.fail": False}, 'No such configuration property: "should.fail"'),
        ({"partitioner": "murmur"}, 'Invalid value for configuration property "partitioner": murmur'),
        ({"enable.gapless.guarantee": True}, "enable.gapless.guarantee"),
    ],
)
def test_settings_are_refused_as_by_confluent_kafka(settings, text):
    with pytest.raises(KafkaException) as raised:
        twolane.confluent.Producer(settings)
    assert raised.value.args[0].code() == KafkaError._INVALID_ARG
    assert text in str(raised.value)


def test_callbacks_of_the_client_run_in_poll(cluster):
    statistics, threads = [], set()

    def stats_cb(text):
        statistics.append(text)
        threads.add(threading.current_thread())

    settings = {"bootstrap.servers": cluster.bootstrap_servers, "statistics.interval.ms": 10, "stats_cb": stats_cb}
    with twolane.confluent.Producer(settings) as producer:
        while not statistics:
            producer.poll(1)
    assert threads == {threading.current_thread()}


def test_a_closed_producer_says_so():
    producer = twolane.confluent.Producer({})
    assert producer.close()
    assert len(producer) == 0
    for call in (producer.poll, producer.flush, producer.purge, lambda: producer.produce("t", "v")):
        with pytest.raises(RuntimeError, match="Producer has been closed"):
            call()


@pytest.mark.parametrize("kind", BOTH, ids=NAMES)
def test_only_errors_are_reported_where_that_is_asked(cluster, kind):
    told = []
    producer = kind({"bootstrap.servers": cluster.bootstrap_servers, "delivery.report.only.error": True})
    producer.produce(TOPIC, b"written", partition=0, on_delivery=lambda err, msg: told.append(err.code()))
    producer.flush()
    cluster.push_errors(ApiKey.PRODUCE, [KafkaError.INVALID_RECORD])
    producer.produce(TOPIC, b"refused", partition=0, on_delivery=lambda err, msg: told.append(err.code()))
    assert producer.flush() == 0
    assert told == [KafkaError.INVALID_RECORD]


def test_a_report_has_the_latency_of_its_record_whenever_it_is_polled(cluster, producer):
    latencies = []
    producer.produce(TOPIC, b"warm", partition=0)
    producer.flush()
    started = time.monotonic()
    producer.produce(TOPIC, b"x", partition=0, on_delivery=lambda err, msg: latencies.append(msg.latency()))
    wait_until(lambda: producer._reports.events)
    reported = time.monotonic() - started
    producer.poll(0)
    assert 0 < latencies[0] < reported
