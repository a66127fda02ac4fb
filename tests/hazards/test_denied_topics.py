"""F41: behind a denial librdkafka forgets what it has numbered, and a broker takes new records for old ones."""

from __future__ import annotations

import itertools

import pytest
from confluent_kafka import KafkaError, Producer
from confluent_kafka.admin import AdminClient

from faults.proxy import once, refuse, repeat
from tests.support.denials import Forgotten, deny_while_in_flight
from tests.support.readers import read_all
from tests.support.waiting import wait_until
from twolane import BatchError, FatalProducerError, SafeProducer, ThroughputProducer, Verdict

LANES = pytest.mark.parametrize("lane", [SafeProducer, ThroughputProducer])


def values(cluster, name, partition=0):
    return [record.value for record in read_all(cluster.bootstrap_servers, name) if record.partition == partition]


def metadata_of(outcome):
    """Return what became of a batch, of either lane."""
    return outcome.result(30) if hasattr(outcome, "result") else outcome


def send(producer, name, *batch):
    return metadata_of(producer.send_batch(name, list(batch), partitions=[0] * len(batch)))


def deny(proxy, producer, name):
    """Have librdkafka forget the topic's partitions, as a broker denies a record of the other; then find them again."""
    proxy.rule = once({b"denied": refuse(KafkaError.TOPIC_AUTHORIZATION_FAILED)})
    with pytest.raises(BatchError, match="TOPIC_AUTHORIZATION_FAILED"):
        metadata_of(producer.send_batch(name, [b"denied"], partitions=[1]))
    producer._topics.count(producer._handle.open_topic(name), float("inf"))


def test_f41_librdkafka_acknowledges_a_record_that_a_broker_took_for_another(fault_proxy, kafka_cluster, topic):
    """The negative control. Here the proxy repeats the request; librdkafka does it by giving a number twice."""
    name, offsets = topic(kafka_cluster), {}
    plain = Producer(
        {"bootstrap.servers": fault_proxy.bootstrap_servers, "enable.idempotence": True, "log_level": 0, "linger.ms": 0}
    )
    fault_proxy.rule = once({b"lost one": repeat(b"first one")})
    for value in (b"first one", b"lost one"):
        plain.produce(name, value, on_delivery=lambda error, one: offsets.update({one.value(): (error, one.offset())}))
        plain.flush(30)
    assert offsets == {b"first one": (None, 0), b"lost one": (None, 0)}
    assert values(kafka_cluster, name) == [b"first one"]


@LANES
@pytest.mark.parametrize("size", [1, 7])
@pytest.mark.parametrize("which", range(5))
def test_f41_an_offset_that_was_given_before_is_none(fault_proxy, kafka_cluster, topic, lane, size, which):
    """Whichever of the last five batches it was."""
    name = topic(kafka_cluster, 2)
    settings = {"enable.idempotence": True, "bootstrap.servers": fault_proxy.bootstrap_servers}
    with lane(settings if lane is SafeProducer else {**settings, "linger.ms": 50}) as producer:  # one batch each
        send(producer, name, b"warm")
        batches = [[b"first %d %d" % (number, i) for i in range(size)] for number in range(5)]
        for batch in batches:
            send(producer, name, *batch)
        deny(fault_proxy, producer, name)
        lost = [b"lost one %d" % i for i in range(size)]
        fault_proxy.rule = once({lost[0]: repeat(batches[which][0])})
        with pytest.raises(BatchError, match="took the record for an earlier one") as caught:
            send(producer, name, *lost)
        assert caught.value.metadata.failures.verdicts() == [(i, Verdict.UNKNOWN) for i in range(size)]
    assert values(kafka_cluster, name) == [b"warm", *itertools.chain(*batches)]


@LANES
def test_f41_without_a_denial_a_topic_made_anew_begins_at_0_again(kafka_cluster, topic, lane):
    name = topic(kafka_cluster)
    with lane({"enable.idempotence": True}, bootstrap_servers=kafka_cluster.bootstrap_servers) as producer:
        for value in (b"first one", b"another"):
            send(producer, name, value)
        admin = AdminClient({"bootstrap.servers": kafka_cluster.bootstrap_servers})
        admin.delete_topics([name])[name].result(60)
        kafka_cluster.create_topic(name, 1)
        producer._topics.count(producer._handle.open_topic(name), float("inf"))
        assert send(producer, name, b"anew").offsets.tolist() == [0]
    assert values(kafka_cluster, name) == [b"anew"]


@pytest.mark.parametrize("code", [KafkaError.REQUEST_TIMED_OUT, KafkaError.NOT_LEADER_FOR_PARTITION])
@pytest.mark.parametrize("idempotent", [True, False])
def test_f41_a_producer_that_forgot_a_record_ends(fault_proxy, kafka_cluster, topic, idempotent, code):
    """The record was appended; its answer, one that is retried, comes when its partition is forgotten."""
    name, told = topic(kafka_cluster, 2), []
    forgotten = Forgotten(name, 0)
    settings = {"bootstrap.servers": fault_proxy.bootstrap_servers, "linger.ms": 0, "enable.idempotence": idempotent}
    with ThroughputProducer({**settings, **forgotten.settings}) as producer:
        metadata_of(producer.send_batch(name, [b"warm"] * 2, partitions=[0, 1]))
        deny_while_in_flight(fault_proxy, b"forgotten", b"denied", code, until=forgotten)
        for partition, value in enumerate((b"forgotten", b"denied")):
            producer.send(name, value, partition=partition, on_delivery=lambda error, _: told.append(error))
        wait_until(lambda: len(told) == 2)
        assert [(error.partition, error.verdict) for error in told] == [(1, told[0].verdict), (0, Verdict.UNKNOWN)]
        producer._topics.count(producer._handle.open_topic(name), float("inf"))
        if idempotent:
            with pytest.raises(FatalProducerError, match="has forgotten it"):
                producer.send(name, b"next", partition=0)
        else:  # without numbers there is nothing to confuse
            producer.send(name, b"next", partition=0)
    after = [] if idempotent else [b"next"]
    assert values(kafka_cluster, name) == [b"warm", b"forgotten", *after]


def test_f41_the_safe_lane_ends_so_too(fault_proxy, kafka_cluster, topic):
    name = topic(kafka_cluster, 2)
    forgotten = Forgotten(name, 0)
    settings = {"bootstrap.servers": fault_proxy.bootstrap_servers, "enable.idempotence": True, **forgotten.settings}
    with SafeProducer(settings) as producer:
        producer.send_batch(name, [b"warm"] * 2, partitions=[0, 1])
        deny_while_in_flight(fault_proxy, b"forgotten", b"denied", KafkaError.REQUEST_TIMED_OUT, until=forgotten)
        with pytest.raises(BatchError) as caught:
            producer.send_batch(name, [b"forgotten", b"denied"], partitions=[0, 1])
        assert dict(caught.value.metadata.failures.verdicts())[0] is Verdict.UNKNOWN
        with pytest.raises(FatalProducerError, match="has forgotten it"):
            producer.send(name, b"next", partition=0)
    assert values(kafka_cluster, name) == [b"warm", b"forgotten"]
