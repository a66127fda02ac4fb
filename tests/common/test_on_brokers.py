"""Both lanes on three real brokers: every record is where the metadata says, with everything it was given."""

from __future__ import annotations

import time

import numpy as np
import pytest
from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient, NewPartitions

from tests.support.readers import read_all
from twolane import DeliveryError, SafeProducer, ThroughputProducer, TimestampType
from twolane.common import topics

N = 1_000
LANES = [SafeProducer, ThroughputProducer]
CREATED = {"config": {"message.timestamp.type": "CreateTime"}}
APPENDED = {"config": {"message.timestamp.type": "LogAppendTime"}}
CREATE_TIME, LOG_APPEND_TIME = 1, 2


@pytest.fixture(params=LANES, ids=["safe", "throughput"])
def lane(request):
    return request.param


@pytest.fixture
def producer(lane, kafka_cluster):
    with lane(bootstrap_servers=kafka_cluster.bootstrap_servers) as producer:
        yield producer


def result(delivery):
    return delivery.result(60) if hasattr(delivery, "result") else delivery


def records():
    start = int(time.time() * 1000) - N * 1_000
    for i in range(N):
        key = None if i % 10 == 0 else b"key-%d" % (i % 50)
        value = None if i % 97 == 0 else b"%d" % i * (i % 7 + 1)
        headers = () if i % 3 == 0 else (("n", b"%d" % i), ("none", None))
        yield value, key, headers, start + i * 1_000 + 7


def by_place(kafka_cluster, name, n=N):
    read = read_all(kafka_cluster.bootstrap_servers, name, expected=n, timeout=60)
    assert len(read) == n
    return {(record.partition, record.offset): record for record in read}


def test_records_sent_one_by_one_stand_where_their_metadata_says(kafka_cluster, producer, lane, topic):
    name = topic(kafka_cluster, 3, **CREATED)
    sent, told = list(records()), {}
    for i, (value, key, headers, timestamp) in enumerate(sent):
        if lane is SafeProducer:
            told[i] = producer.send(name, value, key=key, headers=headers, timestamp=timestamp)
        else:
            producer.send(
                name,
                value,
                key=key,
                headers=headers,
                timestamp=timestamp,
                on_delivery=lambda err, metadata, i=i: told.update({i: metadata}),
            )
    producer.flush(60)
    log = by_place(kafka_cluster, name)
    for i, (value, key, headers, timestamp) in enumerate(sent):
        metadata = told[i]
        assert metadata.timestamp_type is TimestampType.CREATE_TIME
        assert metadata.timestamp == timestamp
        record = log[metadata.partition, metadata.offset]
        assert record == (metadata.partition, metadata.offset, key, value, list(headers), (CREATE_TIME, timestamp))


def test_a_batch_stands_where_its_metadata_says(kafka_cluster, producer, topic):
    name = topic(kafka_cluster, 3, **CREATED)
    values, keys, headers, timestamps = (list(column) for column in zip(*records(), strict=True))
    metadata = result(producer.send_batch(name, values, keys=keys, headers=headers, timestamps=np.array(timestamps)))
    assert metadata.written == N
    assert metadata.timestamp_type is TimestampType.CREATE_TIME
    assert metadata.log_append_times is None
    log = by_place(kafka_cluster, name)
    for i in range(N):
        place = int(metadata.partitions[i]), int(metadata.offsets[i])
        assert log[place] == (*place, keys[i], values[i], list(headers[i]), (CREATE_TIME, timestamps[i]))
    # In each partition the order of the batch.
    for partition in range(3):
        assert (np.diff(metadata.offsets[metadata.partitions == partition]) > 0).all()


def test_with_log_append_time_the_metadata_says_so(kafka_cluster, producer, lane, topic):
    name = topic(kafka_cluster, 3, **APPENDED)
    before = time.time() * 1000 - 1_000
    values = [b"%d" % i for i in range(N)]
    metadata = result(producer.send_batch(name, values, timestamps=1_600_000_000_000))
    single = []
    if lane is SafeProducer:
        single.append(producer.send(name, b"single", timestamp=1_600_000_000_000))
    else:
        producer.send(
            name, b"single", timestamp=1_600_000_000_000, on_delivery=lambda err, metadata: single.append(metadata)
        )
        producer.flush(60)
    log = by_place(kafka_cluster, name, N + 1)
    assert metadata.timestamp_type is TimestampType.LOG_APPEND_TIME
    for i in range(N):
        record = log[int(metadata.partitions[i]), int(metadata.offsets[i])]
        assert record.value == values[i]
        assert record.timestamp == (LOG_APPEND_TIME, int(metadata.log_append_times[i]))
    assert before < metadata.log_append_times.min()
    assert metadata.log_append_times.max() < time.time() * 1000 + 1_000
    (only,) = single
    assert only.timestamp_type is TimestampType.LOG_APPEND_TIME
    assert log[only.partition, only.offset].timestamp == (LOG_APPEND_TIME, only.timestamp)


def test_columns_with_every_partition_given(kafka_cluster, producer, topic):
    name = topic(kafka_cluster, 5, **CREATED)
    n = 20_000
    partitions = (np.arange(n) * 3 % 5).astype(np.int32)
    times = np.datetime64("2024-02-29T23:59:59", "ms") + np.arange(n)
    values = np.array([b"%06d" % i for i in range(n)])
    metadata = result(producer.send_batch(name, values, keys=values, timestamps=times, partitions=partitions))
    log = by_place(kafka_cluster, name, n)
    for i, millis in enumerate(times.astype(np.int64).tolist()):
        record = log[int(partitions[i]), int(metadata.offsets[i])]
        assert (record.value, record.key, record.timestamp[1]) == (values[i], values[i], millis)


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_compression(kafka_cluster, lane, topic, codec):
    name = topic(kafka_cluster, 1)
    values = [b"%d" % i * 10 for i in range(N)]
    with lane(bootstrap_servers=kafka_cluster.bootstrap_servers, compression_type=codec) as producer:
        assert result(producer.send_batch(name, values)).written == N
    assert [record.value for record in read_all(kafka_cluster.bootstrap_servers, name, expected=N)] == values


def test_throughput_with_idempotence(kafka_cluster, topic):
    name = topic(kafka_cluster, 3)
    with ThroughputProducer(
        bootstrap_servers=kafka_cluster.bootstrap_servers, enable_idempotence=True, linger_ms=0
    ) as producer:
        values = [b"%d" % i for i in range(20_000)]
        metadata = producer.send_batch(name, values, partitions=np.arange(20_000) % 3).result(60)
    assert metadata.written == 20_000
    log = by_place(kafka_cluster, name, 20_000)
    for i in range(20_000):
        assert log[i % 3, int(metadata.offsets[i])].value == values[i]


@pytest.mark.parametrize("acks", ["0", "1", "all"])
def test_throughput_with_every_acks(kafka_cluster, topic, acks):
    name = topic(kafka_cluster, 1)
    with ThroughputProducer(bootstrap_servers=kafka_cluster.bootstrap_servers, acks=acks) as producer:
        # The connection first: with acks=0 records in flight while it is made are lost without a word.
        producer.send_batch(name, [b"first"]).result(30)
        metadata = producer.send_batch(name, [b"v"] * N).result(60)
        assert metadata.written == N
        assert producer.stats().written == N + 1
    assert (metadata.offsets == -1).all() == (acks == "0")
    assert len(read_all(kafka_cluster.bootstrap_servers, name, expected=N + 1)) == N + 1


def test_an_unknown_topic(kafka_cluster, producer, monkeypatch):
    monkeypatch.setattr(topics, "PROPAGATION", 0.3)
    started = time.monotonic()
    with pytest.raises(DeliveryError, match="no-such-topic") as caught:
        producer.send("no-such-topic", b"v")
    assert time.monotonic() - started < 10
    assert caught.value.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART
    assert producer.stats().accepted == 0


def test_a_topic_that_gets_more_partitions(kafka_cluster, producer, topic):
    name = topic(kafka_cluster, 1)
    producer.send(name, b"one", partition=0)
    admin = AdminClient({"bootstrap.servers": kafka_cluster.bootstrap_servers, "log_level": 0})
    for future in admin.create_partitions([NewPartitions(name, 3)]).values():
        future.result(30)
    deadline = time.monotonic() + 30
    while True:
        try:
            producer.send(name, b"two", partition=2)
            break
        except DeliveryError as error:
            assert error.error.code() == KafkaError._UNKNOWN_PARTITION
            assert time.monotonic() < deadline
            time.sleep(0.5)
    producer.flush(30)
    assert producer.partitions_for(name) == {0, 1, 2}
    assert {record.partition for record in read_all(kafka_cluster.bootstrap_servers, name, expected=2)} == {0, 2}


def test_a_topic_deleted_under_way_ends_with_verdicts(kafka_cluster, topic):
    if not hasattr(kafka_cluster, "delete_topic"):
        pytest.skip("this cluster cannot delete topics")
    name = topic(kafka_cluster, 1)
    with ThroughputProducer(
        {"message.timeout.ms": 3_000}, bootstrap_servers=kafka_cluster.bootstrap_servers
    ) as producer:
        producer.send_batch(name, [b"v"] * 10).result(30)
        kafka_cluster.delete_topic(name)
        errors = []
        for _ in range(20):
            producer.send(name, b"v", on_delivery=lambda err, _: errors.append(err))
        assert producer.flush(30) == 0
        assert len(errors) == 20
        assert all(isinstance(error, DeliveryError) for error in errors)
        counts = producer.stats()
        assert counts.accepted == counts.written + counts.not_written + counts.unknown == 30
