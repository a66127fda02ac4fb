"""The safe lane's order, prefix and verdict on the embedded cluster, with the errors that break plain librdkafka."""

from __future__ import annotations

import json
import threading
import time

import numpy as np
import pytest
from confluent_kafka import KafkaError, KafkaException

from faults.proxy import falsify, refuse
from tests.support.readers import read_values
from tests.support.safe_lane import warm_up
from tests.support.waiting import wait_until
from twolane import BatchError, ConfigError, DeliveryError, SafeProducer, Verdict

PRODUCE = 0
UNREACHABLE = "127.0.0.1:9"
RETRIABLE = [
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.NOT_ENOUGH_REPLICAS,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    KafkaError.KAFKA_STORAGE_ERROR,
]
QUICK = {"retry.backoff.ms": 50, "retry.backoff.max.ms": 100}


@pytest.fixture(params=[True, False], ids=["idempotent", "plain"])
def producer(request, embedded_cluster):
    with SafeProducer(
        QUICK, bootstrap_servers=embedded_cluster.bootstrap_servers, enable_idempotence=request.param
    ) as made:
        yield made


@pytest.mark.parametrize("code", RETRIABLE)
def test_f1_a_retried_request_is_not_overtaken_by_concurrent_senders(embedded_cluster, producer, topic, code):
    name = topic(embedded_cluster)
    producer.send(name, b"warm")
    embedded_cluster.set_rtt(30)
    embedded_cluster.push_errors(PRODUCE, [code])
    threads = []
    for value in (b"A", b"B", b"C", b"D"):
        threads.append(threading.Thread(target=producer.send, args=(name, value)))
        threads[-1].start()
        # In line, or handed over already.
        wait_until(lambda: len(producer._fair_lock) + producer.stats().accepted > len(threads))
    for thread in threads:
        thread.join()
    embedded_cluster.set_rtt(0)
    assert read_values(embedded_cluster.bootstrap_servers, name) == [b"warm", b"A", b"B", b"C", b"D"]


@pytest.mark.parametrize("code", RETRIABLE)
def test_f1_a_batch_of_many_chunks_keeps_its_order_over_retries(embedded_cluster, producer, topic, code):
    name = topic(embedded_cluster)
    values = [b"%07d" % i + b"x" * 93 for i in range(30_000)]
    producer.send(name, b"warm")
    embedded_cluster.push_errors(PRODUCE, [0, code, 0, code])
    metadata = producer.send_batch(name, values)
    assert metadata.written == len(values)
    assert metadata.offsets.tolist() == list(range(1, 1 + len(values)))
    assert read_values(embedded_cluster.bootstrap_servers, name)[1:] == values


def test_f6_a_chunk_is_one_request(embedded_cluster, producer, topic):
    name = topic(embedded_cluster)
    producer.send(name, b"warm")
    for _ in range(20):
        embedded_cluster.clear_requests()
        producer.send_batch(name, [b"x" * 100] * 1000)
        assert len(embedded_cluster.requests(PRODUCE)) == 1


def test_a_large_batch_is_cut_by_bytes_into_as_few_requests_as_it_takes(embedded_cluster, producer, topic):
    name = topic(embedded_cluster)
    producer.send(name, b"warm")
    embedded_cluster.clear_requests()
    producer.send_batch(name, [b"x" * 1000] * 3000)
    # 1 036 bytes a record at worst, 1 000 000 a MessageSet.
    assert len(embedded_cluster.requests(PRODUCE)) == 4


def test_a_chunk_is_as_large_as_a_request_can_be(embedded_cluster, producer, topic):
    """librdkafka counts what it has written as it is, and only the next record at its worst."""
    name = topic(embedded_cluster)
    producer.send(name, b"warm")
    embedded_cluster.clear_requests()
    producer.send_batch(name, [b"x" * 100] * 24_000)
    # About 110 bytes a record, 136 at worst.
    assert len(embedded_cluster.requests(PRODUCE)) == 3


@pytest.mark.parametrize("settings", [{}, {"client.id": "c" * 500}], ids=["topic", "client.id"])
def test_long_names_do_not_split_a_chunk(embedded_cluster, topic, settings):
    """librdkafka counts the whole request against batch.size, names included; two requests would be F1 again."""
    name = (topic(embedded_cluster) + "n" * 249)[:249]
    embedded_cluster.create_topic(name, 1)
    with SafeProducer(QUICK | settings, bootstrap_servers=embedded_cluster.bootstrap_servers) as producer:
        producer.send(name, b"warm")
        limit = producer._ordered_sender.chunk_bytes
        # Two records that fill the lane's chunk to the last byte, at 36 bytes of overhead each.
        values = [b"A" * (limit // 2 - 36), b"B" * (limit - limit // 2 - 36)]
        embedded_cluster.clear_requests()
        producer.send_batch(name, values)
        assert len(embedded_cluster.requests(PRODUCE)) == 1


def test_the_room_for_a_chunk_cannot_be_taken_away():
    """librdkafka would refuse records in the middle of a chunk: a batch would fail on healthy brokers."""
    with pytest.raises(ConfigError, match=r"queue\.buffering\.max\.kbytes.*SafeProducer"):
        SafeProducer(bootstrap_servers=UNREACHABLE, queue_buffering_max_kbytes=100)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_the_records_are_a_chunk_is_one_request(embedded_cluster, producer, topic, seed):
    name = topic(embedded_cluster)
    random = np.random.default_rng(seed)
    n, size = 6000, int(random.choice([1, 60, 130, 5000]))
    values = [bytes(int(length)) for length in random.integers(0, size, n)]
    keys = [None if length % 5 == 0 else bytes(int(length)) for length in random.integers(0, 200, n)]
    headers = [{"h" * int(length): bytes(int(length) * 3)} if length else None for length in random.integers(0, 40, n)]
    times = random.integers(7 * 10**11, 4 * 10**12, n) if seed % 2 else 1_700_000_000_000 + np.arange(n)
    producer.send(name, b"warm")
    embedded_cluster.clear_requests()
    before = producer._ordered_sender.started
    producer.send_batch(name, values, keys=keys, headers=headers, timestamps=times)
    assert len(embedded_cluster.requests(PRODUCE)) == producer._ordered_sender.started - before > 0


def test_records_of_a_chunk_stay_together_over_a_retry(embedded_cluster, producer, topic):
    name = topic(embedded_cluster)
    producer.send(name, b"warm")
    embedded_cluster.clear_requests()
    embedded_cluster.push_errors(PRODUCE, [KafkaError.NOT_ENOUGH_REPLICAS, KafkaError.REQUEST_TIMED_OUT])
    producer.send_batch(name, [b"%d" % i for i in range(500)])
    assert len(embedded_cluster.requests(PRODUCE)) == 3


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        (KafkaError.INVALID_RECORD, Verdict.NOT_WRITTEN),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, Verdict.NOT_WRITTEN),
        (KafkaError.UNKNOWN, Verdict.UNKNOWN),
        (KafkaError.NETWORK_EXCEPTION, Verdict.UNKNOWN),
    ],
)
def test_a_permanent_error_stops_the_batch_at_a_prefix(embedded_cluster, producer, topic, code, verdict):
    name = topic(embedded_cluster)
    values = [b"%07d" % i + b"x" * 93 for i in range(20_000)]
    producer.send(name, b"warm")
    embedded_cluster.push_errors(PRODUCE, [0, code])
    with pytest.raises(BatchError) as caught:
        producer.send_batch(name, values)
    error = caught.value
    assert isinstance(error, KafkaException)
    assert error.error.code() == code
    assert error.verdict is verdict
    log = read_values(embedded_cluster.bootstrap_servers, name)[1:]
    assert log == values[: len(log)]
    assert 0 < len(log) == error.written == error.index < len(values)
    assert (error.metadata.offsets[: len(log)] == np.arange(1, 1 + len(log))).all()
    assert (error.metadata.offsets[len(log) :] == -1).all()
    verdicts = error.metadata.failures.verdicts()
    assert [index for index, _ in verdicts] == list(range(len(log), len(values)))
    # The chunk that was refused has the broker's verdict, what is behind it was never sent.
    assert verdicts[0][1] is verdict
    assert verdicts[-1][1] is Verdict.NOT_WRITTEN


def test_a_failure_in_one_partition_leaves_a_prefix_in_every_partition(embedded_cluster, producer, topic):
    name = topic(embedded_cluster, 4)
    n = 40_000
    values = [b"%07d" % i + b"x" * 93 for i in range(n)]
    partitions = np.arange(n, dtype=np.int32) % 4
    producer.send_batch(name, [b"warm"] * 4, partitions=[0, 1, 2, 3])
    embedded_cluster.push_errors(PRODUCE, [0, 0, 0, 0, 0, KafkaError.INVALID_RECORD])
    with pytest.raises(BatchError) as caught:
        producer.send_batch(name, values, partitions=partitions)
    metadata = caught.value.metadata
    total = 0
    for partition in range(4):
        log = read_values(embedded_cluster.bootstrap_servers, name, partition)[1:]
        sent = [value for value, place in zip(values, partitions, strict=True) if place == partition]
        assert log == sent[: len(log)]
        written = metadata.offsets[partitions == partition] >= 0
        assert written.sum() == len(log)
        total += len(log)
    assert total == metadata.written
    assert metadata.failed == n - total == len(metadata.failures)


def test_exhausted_retries_leave_nothing_behind_the_failure(embedded_cluster, topic):
    """Plain librdkafka writes the records behind a failed one."""
    name = topic(embedded_cluster)
    with SafeProducer(QUICK, bootstrap_servers=embedded_cluster.bootstrap_servers, retries=1) as producer:
        producer.send(name, b"warm")
        embedded_cluster.push_errors(PRODUCE, [KafkaError.REQUEST_TIMED_OUT] * 2)
        with pytest.raises(BatchError) as caught:
            producer.send_batch(name, [b"%07d" % i + b"x" * 93 for i in range(20_000)])
        assert caught.value.verdict is Verdict.UNKNOWN
        assert caught.value.written == 0
    assert read_values(embedded_cluster.bootstrap_servers, name) == [b"warm"]


def test_the_prefix_can_be_completed_from_the_error(embedded_cluster, producer, topic):
    name = topic(embedded_cluster)
    values = [b"%d" % i for i in range(1000)]
    producer.send(name, b"warm")
    embedded_cluster.push_errors(PRODUCE, [KafkaError.INVALID_RECORD])
    with pytest.raises(BatchError) as caught:
        producer.send_batch(name, values)
    rest = [index for index, verdict in caught.value.metadata.failures.verdicts() if verdict is Verdict.NOT_WRITTEN]
    producer.send_batch(name, [values[index] for index in rest])
    assert read_values(embedded_cluster.bootstrap_servers, name)[1:] == values


def test_refusals_are_unwritten_and_lost_answers_unknown(embedded_cluster, topic):
    """The verdict table where librdkafka's own status would mislead (F3)."""
    name = topic(embedded_cluster)
    settings = QUICK | {"message.timeout.ms": 2000}
    for code, verdict in [
        (KafkaError.NOT_ENOUGH_REPLICAS, Verdict.NOT_WRITTEN),
        (KafkaError.KAFKA_STORAGE_ERROR, Verdict.UNKNOWN),
        (KafkaError.NOT_LEADER_FOR_PARTITION, Verdict.UNKNOWN),
        (KafkaError.REQUEST_TIMED_OUT, Verdict.UNKNOWN),
    ]:
        with SafeProducer(settings, bootstrap_servers=embedded_cluster.bootstrap_servers) as producer:
            warm_up(producer, name)
            embedded_cluster.push_errors(PRODUCE, [code] * 200)
            with pytest.raises(DeliveryError) as caught:
                producer.send(name, b"x")
            embedded_cluster.clear_errors(PRODUCE)
            assert caught.value.verdict is verdict, KafkaError(code).name()


def test_requests_of_other_partitions_leave_the_verdict_alone(embedded_cluster, producer, topic):
    """A refusal proves something only of a record that was sent once; the other partition's request is not its own."""
    name = topic(embedded_cluster, 2)
    embedded_cluster.set_leader(name, 0, 1)
    embedded_cluster.set_leader(name, 1, 2)
    producer.send_batch(name, [b"warm"] * 2, partitions=[0, 1])
    embedded_cluster.push_broker_errors(2, PRODUCE, [(KafkaError.INVALID_RECORD, 400)])
    with pytest.raises(BatchError) as caught:
        producer.send_batch(name, [b"A", b"B"], partitions=[0, 1])
    assert dict(caught.value.metadata.failures.verdicts()) == {1: Verdict.NOT_WRITTEN}


@pytest.mark.parametrize("code", [KafkaError.INVALID_RECORD, KafkaError.TOPIC_AUTHORIZATION_FAILED])
def test_a_refusal_for_good_after_a_false_one_proves_nothing(fault_proxy, kafka_cluster, topic, code):
    """F3 and then a refusal: the first request was appended, whatever the second one is told."""
    name = topic(kafka_cluster)
    with SafeProducer(QUICK, bootstrap_servers=fault_proxy.bootstrap_servers, check_topics=False) as producer:
        producer.send(name, b"warm")
        fault_proxy.then(falsify(KafkaError.NOT_LEADER_FOR_PARTITION), refuse(code))
        with pytest.raises(DeliveryError) as caught:
            producer.send(name, b"A")
    assert read_values(kafka_cluster.bootstrap_servers, name) == [b"warm", b"A"]
    assert caught.value.verdict is Verdict.UNKNOWN


def test_a_chunk_has_one_verdict(embedded_cluster, topic):
    """One MessageSet, one fate, also where another partition's requests leave while its many reports are being read."""
    n = 50_000
    values = [b""] * n + [b"x" * 900_000] * 40
    partitions = np.repeat(np.array([0, 1], np.int32), [n, 40])
    with SafeProducer(
        QUICK, bootstrap_servers=embedded_cluster.bootstrap_servers, enable_idempotence=False, batch_num_messages=n
    ) as producer:
        for delay in (0, 6, 12):
            name = topic(embedded_cluster, 2)
            embedded_cluster.set_leader(name, 0, 1)
            embedded_cluster.set_leader(name, 1, 2)
            producer.send_batch(name, [b"warm"] * 2, partitions=[0, 1])
            embedded_cluster.push_broker_errors(1, PRODUCE, [(KafkaError.INVALID_RECORD, delay)])
            with pytest.raises(BatchError) as caught:
                producer.send_batch(name, values, partitions=partitions)
            # Which one it is depends on how many requests left before.
            assert len({verdict for index, verdict in caught.value.metadata.failures.verdicts() if index < n}) == 1
            producer.resume(name, 0)


@pytest.mark.timing
def test_a_lone_record_waits_for_nothing_but_its_answer(embedded_cluster, producer, topic):
    """The latency path: no linger, no nagle, no flush; one request each."""
    name = topic(embedded_cluster)
    producer.send(name, b"warm")
    embedded_cluster.clear_requests()
    took = []
    for _ in range(200):
        started = time.perf_counter()
        producer.send(name, b"x")
        took.append(time.perf_counter() - started)
    assert len(embedded_cluster.requests(PRODUCE)) == 200
    assert min(took) < 0.003
    assert producer.config["linger.ms"] == "0"
    assert producer.config["socket.nagle.disable"] == "true"


def test_f32_chunks_leave_nothing_in_librdkafka(embedded_cluster, topic):
    """By librdkafka's own word: pausing and resuming left a mark each in a queue that producers never read."""
    name = topic(embedded_cluster, 2)
    with SafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers, statistics_interval_ms=10) as producer:
        for _ in range(10):
            producer.send_batch(name, [b"x"] * 6, partitions=[0, 0, 0, 1, 1, 1])
        partitions = {}

        def all_are_counted():
            producer.stats()
            statistics = json.loads(producer._events.statistics or "{}")
            partitions.update(statistics.get("topics", {}).get(name, {}).get("partitions", {}))
            return sum(partitions.get(i, {}).get("txmsgs", 0) for i in "01") == 60

        wait_until(all_are_counted)
    assert [partitions[i]["fetchq_cnt"] for i in "01"] == [0, 0]
