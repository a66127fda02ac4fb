"""Threads that do everything at the same moment; on free-threaded Python without a GIL between them."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.readers import read_all
from twolane import SafeProducer, ThroughputProducer

THREADS = 8
free_threaded = pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this Python has a GIL: nothing could switch it on"
)


@free_threaded
def test_importing_everything_leaves_the_gil_off():
    code = (
        "import sys, twolane;"
        "[getattr(twolane, name) for name in twolane.__all__];"
        "import twolane.testing.embedded, twolane.encoding.avro_columns, twolane.encoding.json_columns;"
        "sys.exit(sys._is_gil_enabled())"
    )
    # Not where it is forced off, as the tests of the wheels do because of other people's modules.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHON_GIL"}
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr


def together(work, n: int = THREADS) -> list:
    """Call work(0) to work(n - 1) in a thread each, from the same moment on; return what they return."""
    gate = threading.Barrier(n)

    def one(number):
        gate.wait(30)
        return work(number)

    with ThreadPoolExecutor(n) as pool:
        return [future.result(90) for future in [pool.submit(one, number) for number in range(n)]]


def test_a_throughput_producer_takes_everything_at_once(embedded_cluster, topic):
    names = [topic(embedded_cluster, 12) for _ in range(3)]
    each, called = 6_000, [Counter() for _ in range(THREADS)]

    def work(number):
        """Send to topics that all threads meet for the first time; now and then flush, ask, and send a batch."""

        def on_delivery(error, metadata, mine=called[number]):
            mine[error is None, metadata.topic] += 1

        key = b"%d" % number
        for i in range(each):
            name = names[i % 3]
            if i % 1_500 == 700:
                batch = [b"%d" % j for j in range(i, i + 3 * 40, 3)]
                assert producer.send_batch(name + "-batches", batch, keys=key).result(30).written == 40
            if number % 2:
                producer.send(name, b"%d" % i, key=key, on_delivery=on_delivery)
            else:
                producer.send(name, b"%d" % i, key=key)
            if i % 2_000 == 1_999:
                producer.flush(30)
                counts = producer.stats()
                assert counts.accepted >= counts.written

    for name in names:
        embedded_cluster.create_topic(name + "-batches", partitions=4)
    with ThroughputProducer(bootstrap_servers=embedded_cluster.bootstrap_servers) as producer:
        together(work)
        assert producer.flush(30) == 0
        counts = producer.stats()
    assert counts.accepted == counts.written == THREADS * (each + 4 * 40)
    assert counts.in_queue == 0
    for number in range(THREADS):
        wanted = {(True, name): each // 3 for name in names} if number % 2 else {}
        assert called[number] == wanted
    for at, name in enumerate(names):
        records = read_all(embedded_cluster.bootstrap_servers, name, expected=THREADS * each // 3)
        assert len(records) == THREADS * each // 3
        for number in range(THREADS):
            mine = [int(record.value) for record in records if record.key == b"%d" % number]
            assert mine == list(range(at, each, 3))


def test_producers_come_and_go_in_every_thread(embedded_cluster, topic):
    name = topic(embedded_cluster, 4)

    def work(number):
        for _ in range(4):
            with ThroughputProducer(bootstrap_servers=embedded_cluster.bootstrap_servers) as producer:
                for i in range(200):
                    producer.send(name, b"%d-%d" % (number, i), key=b"%d" % number)
        return 4 * 200

    sent = sum(together(work, 4))
    assert len(read_all(embedded_cluster.bootstrap_servers, name, expected=sent)) == sent


def test_a_safe_producer_lets_threads_in_one_by_one(embedded_cluster, topic):
    name = topic(embedded_cluster, 4)

    def work(number):
        offsets = []
        for i in range(40):
            if i % 10 == 5:
                batch = producer.send_batch(name, [b"%d" % i, b"%d.5" % i], keys=b"%d" % number)
                offsets += batch.offsets.tolist()
            else:
                offsets.append(producer.send(name, b"%d" % i, key=b"%d" % number).offset)
        return offsets

    with SafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers, check_topics=False) as producer:
        told = together(work, 16)
    records = read_all(embedded_cluster.bootstrap_servers, name, expected=16 * 44)
    assert len(records) == 16 * 44
    for number, offsets in enumerate(told):
        mine = [record for record in records if record.key == b"%d" % number]
        assert [float(record.value) for record in mine] == sorted(float(record.value) for record in mine)
        assert [record.offset for record in mine] == offsets
