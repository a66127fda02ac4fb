"""The throughput lane when the world goes wrong in the middle: every record ends once, and the counters add up."""

from __future__ import annotations

import threading
import time

import pytest

from tests.support.readers import read_all
from tests.support.waiting import wait_until
from twolane import BatchError, DeliveryError, ThroughputProducer, Verdict

QUICK = {"reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 100, "retry.backoff.ms": 20}


def adds_up(stats):
    return stats.accepted == stats.written + stats.not_written + stats.unknown + stats.in_queue


def test_brokers_that_go_and_come_back(embedded_cluster, topic):
    """What was sent while they were gone either got through afterwards or ended with its timeout, and says which."""
    name = topic(embedded_cluster, 3)
    settings = {**QUICK, "message.timeout.ms": 3_000}
    with ThroughputProducer(settings, bootstrap_servers=embedded_cluster.bootstrap_servers) as producer:
        producer.send_batch(name, [b"warm"] * 3, partitions=[0, 1, 2]).result(10)
        deliveries = []
        for moment in range(30):
            if moment == 5:
                for broker in embedded_cluster.broker_ids:
                    embedded_cluster.stop_broker(broker)
            if moment == 15:
                wait_until(lambda: all(delivery.done() for delivery in deliveries))
                for broker in embedded_cluster.broker_ids:
                    embedded_cluster.start_broker(broker)
            deliveries.append(producer.send_batch(name, [b"%d %d" % (moment, i) for i in range(100)]))
            assert adds_up(producer.stats())
            time.sleep(0.02)
        written, failed = [], []
        for moment, delivery in enumerate(deliveries):
            try:
                metadata = delivery.result(20)
            except BatchError as error:
                metadata = error.metadata
                failed += [(moment, failure.index, failure.verdict) for failure in metadata.failures]
            written += [
                (int(metadata.partitions[i]), int(metadata.offsets[i]), b"%d %d" % (moment, i))
                for i in range(100)
                if metadata.offsets[i] >= 0
            ]
        stats = producer.stats()
    assert adds_up(stats)
    assert (stats.written, stats.not_written + stats.unknown) == (len(written) + 3, len(failed))
    assert failed
    assert max(moment for moment, _, _ in failed) < 16  # what was sent to brokers that are back got through
    log = {(r.partition, r.offset): r.value for r in read_all(embedded_cluster.bootstrap_servers, name)}
    assert all(log[partition, offset] == value for partition, offset, value in written)
    not_written = {b"%d %d" % (moment, i) for moment, i, verdict in failed if verdict is Verdict.NOT_WRITTEN}
    assert not not_written & set(log.values())


@pytest.mark.timing
def test_a_topic_deleted_in_the_middle_of_the_stream(kafka_cluster, topic):
    """Its records end with errors in time; those of another topic go on."""
    doomed, other = topic(kafka_cluster, 2), topic(kafka_cluster)
    settings = {**QUICK, "message.timeout.ms": 4_000, "linger.ms": 0}
    with ThroughputProducer(settings, bootstrap_servers=kafka_cluster.bootstrap_servers) as producer:
        producer.send_batch(doomed, [b"v"] * 100, partitions=[0, 1] * 50).result(20)
        producer.send_batch(other, [b"warm"]).result(20)
        kafka_cluster.delete_topic(doomed)
        refused, deliveries, others = [], [], []
        for _ in range(20):
            try:
                deliveries.append(producer.send_batch(doomed, [b"w"] * 10, partitions=[0, 1] * 5))
            except DeliveryError as error:
                assert error.verdict is Verdict.NOT_WRITTEN
                refused.append(error)
            others.append(producer.send_batch(other, [b"o"] * 10))
            time.sleep(0.05)
        failed, started = 0, time.monotonic()
        for delivery in deliveries:
            with pytest.raises(BatchError) as caught:
                delivery.result(20)
            failed += caught.value.metadata.failed
        assert time.monotonic() - started < 4 + 1.5 + 2
        assert failed == 10 * len(deliveries)
        assert all(delivery.result(20).written == 10 for delivery in others)
        stats = producer.stats()
        assert adds_up(stats)
        assert stats.not_written + stats.unknown == failed
        assert stats.written == 100 + 1 + 200
    assert len(refused) + len(deliveries) == 20


def test_a_callback_that_uses_everything_of_the_producer(embedded_cluster, topic):
    name = topic(embedded_cluster, 2)
    seen = []
    with ThroughputProducer(bootstrap_servers=embedded_cluster.bootstrap_servers) as producer:
        done = threading.Event()

        def on_delivery(err, metadata):
            seen.append(producer.stats().written)
            seen.append(producer.partitions_for(name))
            seen.append(producer.send_batch(name, [b"from the callback"] * 10, keys=b"k"))
            producer.purge()
            for call in (producer.flush, producer.close):
                with pytest.raises(RuntimeError, match="wait for itself"):
                    call()
            done.set()

        producer.send(name, b"first", on_delivery=on_delivery)
        assert done.wait(60)
        assert seen[0] == 1
        assert seen[1] == {0, 1}
        with pytest.raises(BatchError) as caught:
            seen[2].result(10)
        assert caught.value.metadata.failed == 10
        assert adds_up(producer.stats())
    assert [record.value for record in read_all(embedded_cluster.bootstrap_servers, name)] == [b"first"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_a_callback_cannot_end_the_service_thread(embedded_cluster, topic, error):
    name = topic(embedded_cluster)
    with ThroughputProducer(bootstrap_servers=embedded_cluster.bootstrap_servers) as producer:

        def on_delivery(err, metadata):
            raise error

        producer.send(name, b"v", on_delivery=on_delivery)
        with pytest.raises(error):
            producer.flush(10)
        called = threading.Event()
        producer.send(name, b"v", on_delivery=lambda *_: called.set())
        assert called.wait(60)
