"""Transactions of the safe lane on real brokers: all visible, or nothing."""

from __future__ import annotations

import pytest

from tests.support.transactions import check_offsets_with_records, values
from twolane import ConfigError, DeliveryError, FatalProducerError, SafeProducer, TransactionError


@pytest.fixture
def producer(kafka_cluster, topic):
    with SafeProducer(
        bootstrap_servers=kafka_cluster.bootstrap_servers,
        transactional_id=topic(kafka_cluster),
        check_topics=False,
    ) as made:
        made.init_transactions(30)
        yield made


def test_a_transaction_is_visible_when_its_block_ends(kafka_cluster, producer, topic):
    name = topic(kafka_cluster, 2)
    with producer.transaction():
        producer.send(name, b"one", partition=0)
        producer.send_batch(name, [b"two"] * 500, partitions=1)
        assert values(kafka_cluster, name) == []
    assert values(kafka_cluster, name, 501) == [b"one"] + [b"two"] * 500


def test_an_exception_aborts_and_is_the_one_raised(kafka_cluster, producer, topic):
    name = topic(kafka_cluster)
    with pytest.raises(ZeroDivisionError), producer.transaction():
        producer.send_batch(name, [b"never"] * 100)
        raise ZeroDivisionError
    with producer.transaction():
        producer.send(name, b"after")
    assert values(kafka_cluster, name, 1) == [b"after"]


def test_consumed_offsets_are_committed_with_it(kafka_cluster, producer, topic):
    source, target = topic(kafka_cluster), topic(kafka_cluster)
    with SafeProducer(bootstrap_servers=kafka_cluster.bootstrap_servers, check_topics=False) as filler:
        filler.send_batch(source, [b"%d" % i for i in range(20)])
    check_offsets_with_records(kafka_cluster, producer, source, target)


def test_a_producer_that_was_fenced_is_finished(kafka_cluster, producer, topic):
    name = topic(kafka_cluster)
    with producer.transaction():
        producer.send(name, b"mine")
    with SafeProducer(
        bootstrap_servers=kafka_cluster.bootstrap_servers,
        transactional_id=producer.config["transactional.id"],
        check_topics=False,
    ) as successor:
        successor.init_transactions(30)
        with pytest.raises(FatalProducerError), producer.transaction():
            producer.send(name, b"zombie")
        with successor.transaction():
            successor.send(name, b"heir")
    assert values(kafka_cluster, name, 2) == [b"mine", b"heir"]


def test_transactions_need_an_id_and_an_init(kafka_cluster, topic):
    with SafeProducer(bootstrap_servers=kafka_cluster.bootstrap_servers, check_topics=False) as plain:
        with pytest.raises(ConfigError, match=r"transactional\.id"):
            plain.init_transactions()
        with pytest.raises(ConfigError, match=r"transactional\.id"), plain.transaction():
            pass
    with SafeProducer(
        bootstrap_servers=kafka_cluster.bootstrap_servers, transactional_id=topic(kafka_cluster), check_topics=False
    ) as early:
        with pytest.raises(TransactionError) as caught, early.transaction():
            pass
        assert not caught.value.retriable
        assert not caught.value.must_abort


def test_sending_outside_a_transaction_is_refused(kafka_cluster, producer, topic):
    name = topic(kafka_cluster)
    with pytest.raises(DeliveryError):
        producer.send(name, b"outside")
    with pytest.raises(DeliveryError):
        producer.send_batch(name, [b"outside"])
    with producer.transaction():
        producer.send(name, b"inside")
    assert values(kafka_cluster, name, 1) == [b"inside"]
