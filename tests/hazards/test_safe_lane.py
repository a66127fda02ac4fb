"""The hazards F1 to F13 and the safe lane: what breaks librdkafka in `test_negative_controls.py` must not break it.

tests/safe has F1, F5, F6 and F11 too (test_ordered_sender.py, test_safe_ends.py), as far as the embedded cluster shows
them; here are those that only real brokers show, and the rest of the list.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from confluent_kafka import KafkaError

from faults.proxy import close_after, close_before, drop, falsify, forward, hold, once, refuse
from tests.support.readers import read_all, read_values
from tests.support.safe_lane import warm_up
from tests.support.waiting import wait_until
from twolane import BatchError, DeliveryError, SafeProducer, ThroughputProducer, TimestampType, Verdict
from twolane.testing import ApiKey

QUICK = {
    "retry.backoff.ms": 50,
    "retry.backoff.max.ms": 200,
    "reconnect.backoff.ms": 10,
    "reconnect.backoff.max.ms": 50,
}


# Rounds of random faults; a night may take thousands.
ROUNDS = int(os.environ.get("TWOLANE_TEST_ROUNDS", "6"))
# A purge left behind met the next call in 7 of 100.
ROUNDS_OF_PURGES = 8


def of(values):
    return [bytes([value]) for value in values]


def safe(bootstrap, **config):
    keywords = {key.replace("_", "."): value for key, value in config.items()}
    return SafeProducer({**QUICK, "bootstrap.servers": bootstrap, **keywords}, check_topics=False)


def wait_for_ghost(proxy):
    wait_until(lambda: proxy.ghosts)


# ---- F1: order ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("idempotence", [True, False])
@pytest.mark.parametrize("code", [7, 19, 6])
def test_f1_order_survives_a_refusal_on_real_brokers(fault_proxy, kafka_cluster, topic, code, idempotence):
    name = topic(kafka_cluster)
    with safe(fault_proxy.bootstrap_servers, enable_idempotence=idempotence) as producer:
        producer.send(name, b"warm")
        fault_proxy.then(refuse(code, after=0.1))
        with ThreadPoolExecutor(4) as pool:
            futures = []
            for value in of(b"ABCD"):
                futures.append(pool.submit(producer.send, name, value))
                # In line, or handed over already.
                wait_until(lambda: len(producer._fair_lock) + producer.stats().accepted > len(futures))
            offsets = [future.result().offset for future in futures]
    assert offsets == [1, 2, 3, 4]
    assert read_values(kafka_cluster.bootstrap_servers, name) == [b"warm", *of(b"ABCD")]


# ---- F2: ghosts --------------------------------------------------------------------------------------------------


def test_f2_idempotence_fences_the_ghost(fault_proxy, kafka_cluster, topic):
    name = topic(kafka_cluster)
    with safe(fault_proxy.bootstrap_servers, socket_timeout_ms=1000, request_timeout_ms=1000) as producer:
        producer.send(name, b"warm")
        fault_proxy.then(hold(2.5))
        assert [producer.send(name, value).offset for value in of(b"ABC")] == [1, 2, 3]
        wait_for_ghost(fault_proxy)
    assert read_values(kafka_cluster.bootstrap_servers, name) == [b"warm", *of(b"ABC")]


def test_f2_idempotence_fences_the_ghost_of_a_record_called_unknown(fault_proxy, kafka_cluster, topic):
    name = topic(kafka_cluster)
    with safe(fault_proxy.bootstrap_servers, socket_timeout_ms=1000, request_timeout_ms=1000) as producer:
        producer.send(name, b"warm")
        fault_proxy.then(hold(4))
        with pytest.raises(DeliveryError) as caught:
            producer.send(name, b"A", timeout=0.7)
        assert caught.value.verdict is Verdict.UNKNOWN
        assert [producer.send(name, value).offset for value in of(b"BC")] == [1, 2]
        wait_for_ghost(fault_proxy)
    assert read_values(kafka_cluster.bootstrap_servers, name) == [b"warm", *of(b"BC")]


def test_f2_without_idempotence_nothing_follows_a_record_in_doubt(fault_proxy, kafka_cluster, topic):
    name = topic(kafka_cluster)
    with safe(
        fault_proxy.bootstrap_servers, socket_timeout_ms=1000, request_timeout_ms=1000, enable_idempotence=False
    ) as producer:
        producer.send(name, b"warm")
        fault_proxy.then(hold(3))
        with pytest.raises(DeliveryError) as caught:
            producer.send(name, b"A", timeout=0.7)
        assert caught.value.verdict is Verdict.UNKNOWN
        with pytest.raises(DeliveryError, match="resume"):
            producer.send(name, b"B")
        wait_for_ghost(fault_proxy)
        producer.resume(name, 0)
        producer.send(name, b"B")
    # The ghost came, and nothing had been written behind it: the order is that of the calls. (On a slow machine an
    # answer may take longer than the second it has here, and B be written twice: the plain recipe promises no less.)
    log = read_values(kafka_cluster.bootstrap_servers, name)
    assert list(dict.fromkeys(log)) == [b"warm", b"A", b"B"]


# ---- F3: a status that is no proof -------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [6, 56, -1])
@pytest.mark.parametrize("idempotence", [True, False])
def test_f3_an_error_after_the_append_is_never_called_not_written(fault_proxy, kafka_cluster, topic, code, idempotence):
    name = topic(kafka_cluster)
    with safe(fault_proxy.bootstrap_servers, message_timeout_ms=1500, enable_idempotence=idempotence) as producer:
        warm_up(producer, name)
        fault_proxy.rule = lambda seen: falsify(code) if b"record A" in seen.request else forward()
        try:
            producer.send(name, b"record A")
        except DeliveryError as error:
            assert error.verdict is Verdict.UNKNOWN
    log = read_values(kafka_cluster.bootstrap_servers, name)
    assert b"record A" in log
    if idempotence:
        assert log == [b"warm", b"record A"]


# ---- F4: acknowledgements that librdkafka infers -----------------------------------------------------------------


@pytest.mark.parametrize("code", [6, 7, 19])
def test_f4_no_acknowledged_record_is_lost_at_a_new_producers_start(fault_proxy, kafka_cluster, topic, code):
    name = topic(kafka_cluster)
    with safe(fault_proxy.bootstrap_servers) as producer:
        fault_proxy.clear()
        fault_proxy.then(refuse(code, after=0.3))
        with ThreadPoolExecutor(5) as pool:
            results = list(pool.map(lambda value: producer.send(name, value), of(b"ABCDE")))
        values = [b"%d" % i for i in range(1000)]
        metadata = producer.send_batch(name, values)
    log = read_values(kafka_cluster.bootstrap_servers, name)
    assert len(log) == 5 + 1000
    for value, result in zip(of(b"ABCDE"), results, strict=True):
        assert log[result.offset] == value
    assert [log[offset] for offset in metadata.offsets] == values


# ---- F7: patience ------------------------------------------------------------------------------------------------


@pytest.mark.timing
def test_f7_the_default_back_off_outlives_a_leader_election(embedded_cluster, topic):
    """Without settings of the user's: three refusals, and the record is written after 1 + 2 + 4 s, give or take."""
    name = topic(embedded_cluster)
    with SafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers) as producer:
        producer.send(name, b"warm")
        embedded_cluster.push_errors(ApiKey.PRODUCE, ["NOT_ENOUGH_REPLICAS"] * 3)
        started = time.monotonic()
        producer.send(name, b"x")
        assert 5.0 < time.monotonic() - started < 20.0


# ---- F8, F9: offsets of failures ---------------------------------------------------------------------------------


def test_f8_the_broker_tells_where_a_record_may_stand(fault_proxy, kafka_cluster, topic):
    """REQUEST_TIMED_OUT after the append comes with the offset; one look at the log tells what became of it."""
    name = topic(kafka_cluster)
    with safe(fault_proxy.bootstrap_servers, enable_idempotence=False, retries=0) as producer:
        producer.send(name, b"warm")
        fault_proxy.then(falsify(KafkaError.REQUEST_TIMED_OUT))
        with pytest.raises(DeliveryError) as caught:
            producer.send(name, b"A")
        assert caught.value.verdict is Verdict.UNKNOWN
        assert caught.value.possible_offset == 1
    assert read_values(kafka_cluster.bootstrap_servers, name)[1] == b"A"


def test_f9_failures_carry_no_made_up_offsets(embedded_cluster, topic):
    name = topic(embedded_cluster)
    with safe(embedded_cluster.bootstrap_servers) as producer:
        producer.send(name, b"warm")
        embedded_cluster.push_errors(ApiKey.PRODUCE, [KafkaError.INVALID_RECORD])
        with pytest.raises(BatchError) as caught:
            producer.send_batch(name, [b"x"] * 2000)
    assert (caught.value.metadata.offsets == -1).all()
    assert all(failure.possible_offset is None for failure in caught.value.metadata.failures)


# ---- F10: no end without a verdict -------------------------------------------------------------------------------


def test_f10_closing_with_records_inside_reports_every_one(embedded_cluster, topic):
    name = topic(embedded_cluster)
    producer = ThroughputProducer(bootstrap_servers=embedded_cluster.bootstrap_servers)
    producer.send_batch(name, [b"warm"]).result(10)
    embedded_cluster.set_rtt(60_000)
    delivery = producer.send_batch(name, [b"x" * 100] * 50_000)
    reports = []
    for i in range(10):
        producer.send(name, b"%d" % i, on_delivery=lambda error, metadata: reports.append((error, metadata)))
    producer.close(0.2)
    embedded_cluster.set_rtt(0)
    with pytest.raises(BatchError) as caught:
        delivery.result(30)
    assert caught.value.metadata.failed == 50_000 == len(caught.value.metadata.failures)
    assert len(reports) == 10
    assert all(isinstance(error, DeliveryError) and metadata is None for error, metadata in reports)


# ---- F13: once, whatever happens in another partition ------------------------------------------------------------


@pytest.mark.parametrize(("a_after", "b_after"), [(0.0, 0.3), (0.6, 0.1)], ids=["waits for its retry", "in flight"])
def test_f13_a_failure_in_one_partition_does_not_double_another(fault_proxy, kafka_cluster, topic, a_after, b_after):
    """B's permanent error makes librdkafka number all partitions anew; A was appended, and answered with an error."""
    name = topic(kafka_cluster, 2)
    with safe(fault_proxy.bootstrap_servers, retry_backoff_ms=1000, retry_backoff_max_ms=1000) as producer:
        producer.send_batch(name, [b"warm"] * 2, partitions=[0, 1])
        fault_proxy.rule = once(
            {
                b"record A": falsify(KafkaError.REQUEST_TIMED_OUT, after=a_after),
                b"record B": refuse(KafkaError.INVALID_RECORD, after=b_after),
            }
        )
        with pytest.raises(BatchError) as caught:
            producer.send_batch(name, [b"record A", b"record B"], partitions=[0, 1])
        # Of B's request nothing more can be said: which of the two was sent twice is not known.
        assert dict(caught.value.metadata.failures.verdicts()) == {0: Verdict.UNKNOWN, 1: Verdict.UNKNOWN}
        producer.send_batch(name, [b"later"] * 2, partitions=[0, 1])
    assert read_values(kafka_cluster.bootstrap_servers, name, 0) == [b"warm", b"record A", b"later"]
    assert read_values(kafka_cluster.bootstrap_servers, name, 1) == [b"warm", b"later"]


def test_f38_a_sequence_number_that_does_not_follow_doubles_nothing(fault_proxy, kafka_cluster, topic):
    """Behind the purge of A, its partition's next number is refused, and librdkafka numbers all partitions anew."""
    name = topic(kafka_cluster, 3)
    with safe(fault_proxy.bootstrap_servers, retry_backoff_ms=1000, retry_backoff_max_ms=1000) as producer:
        producer.send_batch(name, [b"warm"] * 3, partitions=[0, 1, 2])
        fault_proxy.rule = once(
            {
                b"record A": falsify(KafkaError.REQUEST_TIMED_OUT),
                b"record B": refuse(KafkaError.INVALID_RECORD, after=0.3),
                b"later C": falsify(KafkaError.REQUEST_TIMED_OUT),
            }
        )
        with pytest.raises(BatchError):
            producer.send_batch(name, [b"record A", b"record B"], partitions=[0, 1])
        producer.send_batch(name, [b"later A", b"later B", b"later C", b"last A"], partitions=[0, 1, 2, 0])
        producer.send_batch(name, [b"end"] * 3, partitions=[0, 1, 2])
    values = [read_values(kafka_cluster.bootstrap_servers, name, partition) for partition in range(3)]
    assert values == [
        [b"warm", b"record A", b"later A", b"last A", b"end"],
        [b"warm", b"later B", b"end"],
        [b"warm", b"later C", b"end"],
    ]


@pytest.mark.slow
def test_f13_what_a_failure_purges_spares_the_next_call(fault_proxy, kafka_cluster, topic):
    """librdkafka's broker threads purge when they get to it; the machine is kept busy so that some are late."""
    name = topic(kafka_cluster, 2)
    enough = threading.Event()

    def burn() -> None:
        block = b"x" * 10_000_000
        while not enough.is_set():
            hashlib.sha256(block)

    burners = [threading.Thread(target=burn) for _ in range(4)]
    for burner in burners:
        burner.start()
    try:
        with safe(fault_proxy.bootstrap_servers, retry_backoff_ms=1000, retry_backoff_max_ms=1000) as producer:
            producer.send_batch(name, [b"warm"] * 2, partitions=[0, 1])
            for _ in range(ROUNDS_OF_PURGES):
                fault_proxy.rule = once(
                    {
                        b"record A": falsify(KafkaError.REQUEST_TIMED_OUT),
                        b"record B": refuse(KafkaError.INVALID_RECORD, after=0.03),
                    }
                )
                with pytest.raises(BatchError):
                    producer.send_batch(name, [b"record A", b"record B"], partitions=[0, 1])
                producer.send_batch(name, [b"later"] * 2, partitions=[0, 1])
    finally:
        enough.set()
        for burner in burners:
            burner.join()
    assert read_values(kafka_cluster.bootstrap_servers, name, 1) == [b"warm", *[b"later"] * ROUNDS_OF_PURGES]


# ---- F33: a time that the topic does not have -------------------------------------------------------------------


def test_f33_one_answer_with_the_time_of_creation_tells_the_topics_kind(fault_proxy, kafka_cluster, topic):
    """A's request is answered first; the retry of B is told a LogAppendTime, and A none."""
    name = topic(kafka_cluster, 2)
    with safe(fault_proxy.bootstrap_servers) as producer:
        producer.send_batch(name, [b"warm"] * 2, partitions=[0, 1])
        fault_proxy.rule = once({b"record B": falsify(KafkaError.REQUEST_TIMED_OUT, after=0.3)})
        metadata = producer.send_batch(name, [b"record A", b"record B"], partitions=[0, 1])
    assert metadata.timestamp_type is TimestampType.CREATE_TIME


# ---- random faults -----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("idempotence", [True, False])
def test_random_faults_never_break_a_promise(fault_proxy, kafka_cluster, topic, idempotence):
    """Ordered batches over two partitions with a fault in half of the requests; then the log is read."""
    weights = {
        forward(): 50,
        refuse(19): 8,
        refuse(6): 6,
        falsify(7): 8,
        falsify(6): 6,
        drop(): 3,
        close_before(): 5,
        close_after(): 5,
        refuse(87): 2,
    }
    for seed in range(ROUNDS):
        name = topic(kafka_cluster, 2)
        fault_proxy.clear()
        with safe(
            fault_proxy.bootstrap_servers,
            enable_idempotence=idempotence,
            message_timeout_ms=6000,
            socket_timeout_ms=1000,
            request_timeout_ms=1000,
        ) as producer:
            producer.send_batch(name, [b"warm"] * 2, partitions=[0, 1])
            fault_proxy.at_random(seed, weights)
            n = 4000
            values = [b"%06d" % i + b"x" * 994 for i in range(n)]
            partitions = np.arange(n, dtype=np.int32) % 2
            try:
                metadata = producer.send_batch(name, values, partitions=partitions)
                verdicts = {}
            except BatchError as error:
                metadata = error.metadata
                verdicts = dict(metadata.failures.verdicts())
            fault_proxy.clear()
        log = read_all(kafka_cluster.bootstrap_servers, name)
        for partition in range(2):
            records = [record.value for record in log if record.partition == partition][1:]
            by_offset = {record.offset: record.value for record in log if record.partition == partition}
            first = list(dict.fromkeys(records))
            mine = [i for i in range(n) if partitions[i] == partition]
            written = [i for i in mine if verdicts.get(i, Verdict.WRITTEN) is Verdict.WRITTEN]
            assert written == mine[: len(written)], f"seed {seed}: no prefix"
            for i in written:
                assert by_offset[int(metadata.offsets[i])] == values[i], f"seed {seed}: record {i}"
            assert first == [values[i] for i in mine[: len(first)]], f"seed {seed}: order or gap"
            absent = {values[i] for i in mine if verdicts.get(i) is Verdict.NOT_WRITTEN}
            assert not absent & set(records), f"seed {seed}: a record called not written is in the log"
            if idempotence:
                assert len(records) == len(first), f"seed {seed}: duplicates"
