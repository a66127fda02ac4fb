"""The safe lane while real brokers die, freeze and come back."""

from __future__ import annotations

import threading
import time

import pytest

from tests.support.checkers import Sent, assert_kept_its_word
from tests.support.readers import read_all
from twolane import BatchError, SafeProducer, Verdict


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
    sent = [Sent(0, b"first", Verdict.WRITTEN, 0)]
    stop = threading.Event()
    with SafeProducer(
        bootstrap_servers=kafka_cluster.bootstrap_servers,
        enable_idempotence=idempotent,
        check_topics=False,
        request_timeout_ms=4000,
        socket_timeout_ms=5000,
    ) as producer:
        producer.send(name, b"first")
        worker = threading.Thread(target=work_until, args=(stop, producer, name, sent))
        worker.start()
        try:
            time.sleep(0.5)
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
            deadline = time.monotonic() + 40
            while len(sent) < before + 2000:
                assert time.monotonic() < deadline, "no progress after the broker came back"
                time.sleep(0.1)
        finally:
            stop.set()
            worker.join(60)
    assert sum(one.verdict is Verdict.WRITTEN for one in sent) > 2000
    assert_kept_its_word(sent, read_all(kafka_cluster.bootstrap_servers, name), once=idempotent)
