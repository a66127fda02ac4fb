"""Idempotence on: the first record of each partition goes alone (F4 of docs/hazards.md)."""

from __future__ import annotations

import contextlib
import threading

import pytest

from faults.proxy import refuse
from tests.support.readers import read_all, read_values
from tests.support.waiting import HELD, hold_answers, until_requests
from twolane import BatchError, DeliveryError, QueueFullError, ThroughputProducer
from twolane.testing import ApiKey

PRODUCE = ApiKey.PRODUCE
REFUSED = "MSG_SIZE_TOO_LARGE"
VALUES = [b"%d" % i for i in range(5)]


@pytest.fixture
def make(embedded_cluster):
    made = []

    def make(**settings):
        settings = {"enable.idempotence": True, "linger.ms": 0, **settings}
        made.append(ThroughputProducer(settings, bootstrap_servers=embedded_cluster.bootstrap_servers))
        return made[-1]

    yield make
    for producer in made:
        producer.close(10)
        assert producer._reader.violations == 0


@pytest.mark.parametrize("how", ["send", "send_batch"])
@pytest.mark.parametrize("code", [6, 7, 19])
def test_f4_a_refused_first_batch_is_written_and_first(fault_proxy, kafka_cluster, topic, how, code):
    """The round of the negative control: one record a batch, five in flight, the first refused once."""
    name = topic(kafka_cluster)
    settings = {"enable.idempotence": True, "batch.num.messages": 1, "linger.ms": 0}
    with ThroughputProducer(settings, bootstrap_servers=fault_proxy.bootstrap_servers) as producer:
        producer.partitions_for(name)
        fault_proxy.clear()
        fault_proxy.then(refuse(code, after=0.3))
        if how == "send":
            for value in VALUES:
                producer.send(name, value, partition=0)
            assert producer.flush(20) == 0
        else:
            assert producer.send_batch(name, VALUES, partitions=0).result(20).offsets.tolist() == [0, 1, 2, 3, 4]
    assert read_values(kafka_cluster.bootstrap_servers, name) == VALUES


def give_up(producer):
    """Purge what waits for held answers, so that close() has nothing to wait for."""
    producer.purge(in_flight=True)
    with contextlib.suppress(DeliveryError):
        producer.flush(10)
    assert producer.stats().in_queue == 0


def test_the_first_record_of_a_partition_goes_alone(embedded_cluster, make, topic):
    name = topic(embedded_cluster, 2)
    producer = make()
    producer.partitions_for(name)
    hold_answers(embedded_cluster, 150)
    for partition in (0, 1):
        written = producer.stats().written
        producer.send(name, b"0", partition=partition)
        producer.send(name, b"1", partition=partition)
        assert producer.stats().written > written, "the second record did not wait for the first one's report"
    assert producer.flush(10) == 0
    log = read_all(embedded_cluster.bootstrap_servers, name)
    assert sorted((record.partition, record.offset, record.value) for record in log) == [
        (partition, i, b"%d" % i) for partition in (0, 1) for i in (0, 1)
    ]


def test_the_first_record_of_a_batch_goes_alone(embedded_cluster, make, topic):
    name = topic(embedded_cluster, 2)
    producer = make()
    producer.partitions_for(name)
    hold_answers(embedded_cluster)
    with pytest.raises(QueueFullError, match="goes alone") as caught:
        producer.send_batch(name, [b"%d" % i for i in range(6)], partitions=[0, 1] * 3, timeout=0.2)
    # One record of each partition is on its way, and nothing else was handed over.
    assert caught.value.index == 2
    assert producer.stats().accepted == 2
    until_requests(embedded_cluster, 2)
    give_up(producer)


@pytest.mark.parametrize("how", ["send", "send_batch"])
def test_once_acknowledged_a_partition_waits_for_nothing(embedded_cluster, make, topic, how):
    name = topic(embedded_cluster, 2)
    producer = make()
    producer.send_batch(name, [b"0", b"1"], partitions=[0, 1]).result(10)
    hold_answers(embedded_cluster)
    # A call that waited for the first acknowledgement would raise QueueFullError.
    if how == "send":
        for i in range(6):
            producer.send(name, b"%d" % i, partition=i % 2, timeout=20)
    else:
        producer.send_batch(name, [b"%d" % i for i in range(6)], partitions=[0, 1] * 3, timeout=20)
    assert (producer.stats().written, producer.stats().in_queue) == (2, 6)
    give_up(producer)


@pytest.mark.parametrize("settings", [{"enable.idempotence": False}, {"max.in.flight.requests.per.connection": 1}])
def test_there_is_no_gate_where_nothing_can_overtake(embedded_cluster, make, topic, settings):
    name = topic(embedded_cluster)
    producer = make(**settings)
    producer.partitions_for(name)
    hold_answers(embedded_cluster)
    for _ in range(5):
        producer.send(name, b"v", timeout=20)
    producer.send_batch(name, VALUES, timeout=20)
    assert producer.stats().in_queue == 10
    give_up(producer)


def test_a_failure_closes_the_gate_again(embedded_cluster, make, topic):
    name = topic(embedded_cluster)
    producer = make()
    producer.send_batch(name, VALUES).result(10)
    embedded_cluster.push_errors(PRODUCE, [REFUSED])
    with pytest.raises(BatchError):
        producer.send_batch(name, [b"refused"]).result(10)
    hold_answers(embedded_cluster)
    producer.send(name, b"opens", timeout=20)
    with pytest.raises(QueueFullError, match="goes alone"):
        producer.send(name, b"waits", timeout=0.1)
    give_up(producer)


def test_a_refused_first_record_lets_the_next_one_try(embedded_cluster, make, topic):
    name = topic(embedded_cluster)
    producer = make()
    producer.partitions_for(name)
    embedded_cluster.push_errors(PRODUCE, [REFUSED])
    for value in VALUES:
        producer.send(name, value)
    with pytest.raises(DeliveryError) as caught:
        producer.flush(10)
    assert len(caught.value.failures) == 1
    assert read_values(embedded_cluster.bootstrap_servers, name) == VALUES[1:]


def test_the_wait_at_the_gate_ends_with_the_timeout(embedded_cluster, make, topic):
    name = topic(embedded_cluster)
    producer = make()
    producer.partitions_for(name)
    embedded_cluster.set_rtt(HELD)
    calls = []
    producer.send(name, b"0")
    with pytest.raises(QueueFullError, match="goes alone"):
        producer.send(name, b"1", timeout=0.05, on_delivery=lambda *args: calls.append(args))
    with pytest.raises(QueueFullError, match="goes alone") as caught:
        producer.send_batch(name, VALUES, timeout=0.05)
    assert producer.stats().written == 0
    assert caught.value.index == 0
    assert caught.value.delivery.result(5).written == 0
    assert not len(producer._callbacks)
    embedded_cluster.set_rtt(0)
    producer.send(name, b"1")
    producer.flush(10)
    assert read_values(embedded_cluster.bootstrap_servers, name) == [b"0", b"1"]
    assert not calls


def test_many_threads_at_one_gate(embedded_cluster, make, topic):
    name = topic(embedded_cluster, 3)
    producer = make()
    producer.partitions_for(name)
    embedded_cluster.set_rtt(100)

    def send(who):
        for i in range(50):
            producer.send(name, b"%d %d" % (who, i), key=b"%d" % i)
        producer.send_batch(name, [b"%d %d" % (who, i) for i in range(50, 100)], keys=b"k")

    threads = [threading.Thread(target=send, args=(who,)) for who in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    embedded_cluster.set_rtt(0)
    assert producer.flush(20) == 0
    log = read_all(embedded_cluster.bootstrap_servers, name)
    assert sorted(record.value for record in log) == sorted(b"%d %d" % (w, i) for w in range(8) for i in range(100))
    for partition in range(3):
        for who in range(8):
            mine = [
                int(r.value.split()[1]) for r in log if r.partition == partition and r.value.startswith(b"%d " % who)
            ]
            assert mine == sorted(mine)
