"""The safe lane while real brokers die, freeze and come back."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from confluent_kafka import KafkaError

from faults.proxy import delay, once
from tests.support.checkers import Sent, assert_kept_its_word
from tests.support.readers import read_all, read_values
from tests.support.waiting import wait_until
from twolane import BatchError, DeliveryError, SafeProducer, ThroughputProducer, Verdict


def work_until(stop, producer, name, sent):
    """Send batch after batch; `sent` gets every record with its verdict, in order."""
    number = 0
    while not stop.is_set():
        values = [b"%08d" % (number + i) for i in range(500)]
        number += len(values)
        try:
            metadata, verdicts = producer.send_batch(name, values), {}
        except BatchError as error:
            metadata, verdicts = error.metadata, dict(error.metadata.failures.verdicts())
            producer.resume(name, 0)
        for i, value in enumerate(values):
            offset = int(metadata.offsets[i])
            sent.append(Sent(0, value, verdicts.get(i, Verdict.WRITTEN), offset if offset >= 0 else None))
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["kill", "stop", "freeze"])
@pytest.mark.parametrize("idempotent", [True, False], ids=["idempotent", "plain"])
def test_the_leader_goes_and_comes_back(kafka_cluster, topic, fault, idempotent):
    name = topic(kafka_cluster)
    sent = [Sent(0, b"the first", Verdict.WRITTEN, 0)]
    stop = threading.Event()
    with SafeProducer(
        bootstrap_servers=kafka_cluster.bootstrap_servers,
        enable_idempotence=idempotent,
        check_topics=False,
        request_timeout_ms=4000,
        socket_timeout_ms=5000,
    ) as producer:
        producer.send(name, b"the first")
        worker = threading.Thread(target=work_until, args=(stop, producer, name, sent))
        worker.start()
        try:
            wait_until(lambda: len(sent) > 2_000)
            leader = kafka_cluster.leader(name)
            if fault == "freeze":
                kafka_cluster.pause_broker(leader)
                time.sleep(2.0)
                kafka_cluster.resume_broker(leader)
            else:
                (kafka_cluster.kill_broker if fault == "kill" else kafka_cluster.stop_broker)(leader)
                time.sleep(1.0)
                kafka_cluster.start_broker(leader)
            before = len(sent)
            wait_until(lambda: len(sent) >= before + 2_000, 60)
        finally:
            stop.set()
            worker.join(60)
    assert sum(one.verdict is Verdict.WRITTEN for one in sent) > 2000
    assert_kept_its_word(sent, read_all(kafka_cluster.bootstrap_servers, name), once=idempotent)


# ---- a record that the topic refuses ------------------------------------------------------------------------------


def test_the_neighbours_of_an_invalid_record_are_not_written_and_it_is_named(kafka_cluster, topic):
    """A compacted topic refuses a record without a key, and with it all of its request."""
    name = topic(kafka_cluster, 1, config={"cleanup.policy": "compact"})
    with SafeProducer(bootstrap_servers=kafka_cluster.bootstrap_servers, check_topics=False) as producer:
        producer.send(name, b"warm", key=b"k")
        with pytest.raises(BatchError) as caught:
            producer.send_batch(name, [b"a", b"b", b"c"], keys=[b"k", None, b"k"], partitions=0)
    assert caught.value.error.code() == KafkaError.INVALID_RECORD
    failures = caught.value.metadata.failures
    assert len(failures) == 3
    # Which code the neighbours have is librdkafka's choice: that of the request, or one that says whose fault it was.
    assert {one.error.code() for one in failures} <= {KafkaError.INVALID_RECORD, KafkaError._INVALID_DIFFERENT_RECORD}
    assert {one.verdict for one in failures} == {Verdict.NOT_WRITTEN}
    assert read_values(kafka_cluster.bootstrap_servers, name) == [b"warm"]


def test_an_invalid_record_fails_alone_among_those_that_other_threads_send_with_it(fault_proxy, kafka_cluster, topic):
    name = topic(kafka_cluster, 1, config={"cleanup.policy": "compact"})
    with SafeProducer(bootstrap_servers=fault_proxy.bootstrap_servers, check_topics=False) as producer:
        producer.send(name, b"warm", key=b"k")
        fault_proxy.rule = once({b"the first": delay(1.0)})  # the others gather behind it
        keys = [b"k", b"k", None, b"k", b"k"]
        values = [b"the first", b"1", b"bad", b"3", b"4"]

        def send(i):
            try:
                return producer.send(name, values[i], key=keys[i]).offset
            except DeliveryError as error:
                return error.error.code(), error.verdict

        with ThreadPoolExecutor(5) as pool:
            first = pool.submit(send, 0)
            wait_until(lambda: producer.stats().accepted >= 2)
            ends = [first, *[pool.submit(send, i) for i in range(1, 5)]]
            told = [end.result() for end in ends]
    assert told[2] == (KafkaError.INVALID_RECORD, Verdict.NOT_WRITTEN)
    log = read_values(kafka_cluster.bootstrap_servers, name)
    assert sorted(log) == sorted([b"warm", b"the first", b"1", b"3", b"4"])
    assert [log[offset] for offset in told[:2] + told[3:]] == [b"the first", b"1", b"3", b"4"]


@pytest.mark.parametrize("kind", [SafeProducer, ThroughputProducer])
def test_a_topic_that_takes_no_request_of_this_size_names_the_settings(kafka_cluster, topic, kind):
    """Together the records are larger than the topic's limit, each of them is not. The Java client would split them."""
    name = topic(kafka_cluster, 1, config={"max.message.bytes": 20_000})
    values = [bytes([i]) * 1_000 for i in range(100)]

    def send(producer):
        delivery = producer.send_batch(name, values)
        return delivery.result(30) if kind is ThroughputProducer else delivery

    with kind(bootstrap_servers=kafka_cluster.bootstrap_servers) as producer:
        producer.send(name, b"warm")
        producer.flush(30)
        with pytest.raises(BatchError, match=r"max\.message\.bytes .* batch\.size") as caught:
            send(producer)
        assert caught.value.error.code() == KafkaError.MSG_SIZE_TOO_LARGE
        assert {one.verdict for one in caught.value.metadata.failures} == {Verdict.NOT_WRITTEN}
    with kind(bootstrap_servers=kafka_cluster.bootstrap_servers, batch_size=20_000) as producer:
        assert send(producer).written == len(values)
    assert read_values(kafka_cluster.bootstrap_servers, name) == [b"warm", *values]
