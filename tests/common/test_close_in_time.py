"""``close(timeout)`` returns or raises within its timeout and 1.5 s, whatever is in its way, and says what runs on.

Hazard F15 of docs/hazards.md.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from tests.support.processes import ROOT, UNDER_SANITIZER
from tests.support.readers import read_values
from tests.support.waiting import in_thread, wait_until
from twolane import (
    BatchError,
    Bytes,
    ClosedProducerError,
    DeliveryError,
    SafeProducer,
    ThroughputProducer,
    Verdict,
)
from twolane.common.base import STILL_RUNS
from twolane.testing import EmbeddedCluster

TIMEOUT = 0.5
pytestmark = pytest.mark.timing
LANES = [SafeProducer, ThroughputProducer]


@pytest.fixture
def make(embedded_cluster):
    made = []

    def make(lane=ThroughputProducer, **settings):
        more = {"check_topics": False} if lane is SafeProducer else {}
        made.append(lane(bootstrap_servers=embedded_cluster.bootstrap_servers, **more, **settings))
        return made[-1]

    yield make
    embedded_cluster.set_rtt(0)
    for producer in made:
        producer.close(5)


class in_time:
    """Assert that the body takes no longer than the timeout and 1.5 s."""

    def __enter__(self):
        self.started = time.monotonic()

    def __exit__(self, *_):
        assert time.monotonic() - self.started < TIMEOUT + 1.5


class SlowBytes:
    """A serializer that waits in every method that encodes, from the second batch slice on, until it may go on."""

    def __init__(self):
        self.is_inside, self.may_go_on = threading.Event(), threading.Event()

    def _wait(self):
        self.is_inside.set()
        assert self.may_go_on.wait(30)

    def encode(self, record):
        self._wait()
        return record

    def encode_batch(self, values):
        return Bytes().encode_batch(values)

    def bind(self, values):
        source, outer = Bytes().bind(values), self

        class Source:
            def __len__(self):
                return len(source)

            def first_over(self, limit):
                return source.first_over(limit)

            def slice(self, start, stop):
                if start:
                    outer._wait()
                return source.slice(start, stop)

        return Source()


def test_a_client_that_a_call_keeps_alive_is_told_of(make, caplog):
    """A request for partitions without an answer is such a call: librdkafka lets go of none."""
    producer = make()
    producer._enter()
    try:
        with in_time():
            producer.close(TIMEOUT)
        assert [line.endswith(STILL_RUNS) for line in caplog.messages].count(True) == 1
    finally:
        producer._leave()  # which ends the client


def test_a_callback_that_does_not_return_is_named(embedded_cluster, make, topic):
    name = topic(embedded_cluster)
    producer = make(linger_ms=0)
    is_inside, may_return, called = threading.Event(), threading.Event(), []

    def slow_callback(err, metadata):
        called.append(err)
        is_inside.set()
        may_return.wait(30)

    producer.send(name, b"slow", on_delivery=slow_callback)
    assert is_inside.wait(60)
    producer.send(name, b"behind it", on_delivery=slow_callback)
    delivery = producer.send_batch(name, [b"batch"] * 3)
    with (
        in_time(),
        pytest.raises(TimeoutError, match=r"callback still runs .*in slow_callback\(\) of .*test_close_in_time"),
    ):
        producer.close(TIMEOUT)
    with in_time(), pytest.raises(TimeoutError):
        producer.close(TIMEOUT)  # says so again
    with pytest.raises(ClosedProducerError):
        producer.send(name, b"more")
    may_return.set()
    producer.close(10)
    assert called == [None, None]
    assert delivery.result(0).written == 3
    assert (producer.stats().written, producer.stats().in_queue) == (5, 0)
    assert not producer._delivery_thread._thread.is_alive()


def test_a_callback_may_want_a_lock_that_the_closer_holds(embedded_cluster, make, topic):
    name = topic(embedded_cluster)
    producer = make(linger_ms=0)
    lock, wants, called = threading.Lock(), threading.Event(), []

    def on_delivery(err, metadata):
        wants.set()
        with lock:
            called.append(err)

    with lock:
        for _ in range(10):
            producer.send(name, b"v", on_delivery=on_delivery)
        assert wants.wait(60)
        with in_time(), pytest.raises(TimeoutError):
            producer.close(TIMEOUT)
    producer.close(10)
    assert called == [None] * 10


@pytest.mark.parametrize("call", ["send", "send_batch"])
@pytest.mark.parametrize("lane", LANES)
def test_a_slow_serializer_in_another_thread_is_not_waited_for(embedded_cluster, make, topic, lane, call):
    name = topic(embedded_cluster)
    producer = make(lane)
    producer.partitions_for(name)
    slow, n = SlowBytes(), 70_000
    if call == "send":
        thread, ends = in_thread(lambda: producer.send(name, b"v", serializer=slow))
    else:
        thread, ends = in_thread(lambda: producer.send_batch(name, [b"v"] * n, serializer=slow))
    assert slow.is_inside.wait(60)
    with in_time():
        producer.close(TIMEOUT)
    slow.may_go_on.set()
    thread.join(60)
    [end] = ends
    written = len(read_values(embedded_cluster.bootstrap_servers, name))
    if call == "send" or lane is ThroughputProducer:
        assert isinstance(end, ClosedProducerError)
    if call == "send":
        assert written == 0
    elif lane is ThroughputProducer:
        assert 0 < end.delivery.result(0).written == written < n
    else:
        assert isinstance(end, BatchError)
        assert 0 < end.metadata.written == written < n
        assert end.metadata.written + end.metadata.failed == n
    assert producer.stats().in_queue == 0


@pytest.mark.parametrize("lane", LANES)
def test_the_close_of_another_thread_is_cut_short(embedded_cluster, make, topic, lane):
    name = topic(embedded_cluster)
    producer = make(lane, linger_ms=0)
    producer.send(name, b"warm")
    producer.flush(10)
    embedded_cluster.set_rtt(20_000)
    sender, ends = in_thread(lambda: producer.send(name, b"v", timeout=30))
    wait_until(lambda: producer.stats().in_queue)
    closer, closed = in_thread(lambda: producer.close(30))
    wait_until(lambda: producer._closed)
    with in_time():
        try:
            producer.close(TIMEOUT)
        except DeliveryError as error:  # told to one of the two closers
            closed.append(error)
    closer.join(60)
    sender.join(60)
    embedded_cluster.set_rtt(0)
    told = [end for end in ends + closed if isinstance(end, DeliveryError)]
    assert [error.verdict for error in told] == [Verdict.UNKNOWN]


def test_what_librdkafka_does_not_report_in_time_is_unknown(embedded_cluster, make, topic):
    """Every record has its verdict, and every callback has run, also where a purge brings no reports."""
    name = topic(embedded_cluster)
    producer = make(linger_ms=0)
    producer.send_batch(name, [b"warm"]).result(10)

    class Deaf:
        def __init__(self, handle):
            self._handle = handle

        def purge(self, **_):
            pass

        def __getattr__(self, attribute):
            return getattr(self._handle, attribute)

    producer._delivery_thread._handle = Deaf(producer._delivery_thread._handle)
    embedded_cluster.set_rtt(20_000)
    called = []
    for _ in range(5):
        producer.send(name, b"v", on_delivery=lambda err, _: called.append(err.verdict))
        producer.send(name, b"v")
    delivery = producer.send_batch(name, [b"v"] * 10)
    with in_time(), pytest.raises(DeliveryError, match="5 records"):
        producer.close(TIMEOUT)
    with pytest.raises(BatchError) as caught:
        delivery.result(0)
    assert {verdict for _, verdict in caught.value.metadata.failures.verdicts()} == {Verdict.UNKNOWN}
    assert called == [Verdict.UNKNOWN] * 5
    stats = producer.stats()
    assert (stats.accepted, stats.written, stats.unknown, stats.in_queue) == (21, 1, 20, 0)


# ---- a name look-up that hangs -------------------------------------------------------------------------------------

# Hangs where a file says so, and says that it does.
GETADDRINFO = r"""
    #define _GNU_SOURCE
    #include <dlfcn.h>
    #include <netdb.h>
    #include <stdlib.h>
    #include <fcntl.h>
    #include <unistd.h>
    typedef int lookup(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
        lookup *real = (lookup *)dlsym(RTLD_NEXT, "getaddrinfo");
        if (!access(getenv("HANG"), F_OK)) {
            close(open(getenv("HUNG"), O_CREAT | O_WRONLY, 0600));
            sleep(60);
        }
        return real(node, service, hints, found);
    }
"""

HANGING = """
    import logging, os, sys, time
    import twolane
    lane, servers, name = sys.argv[1:]
    logging.basicConfig(stream=sys.stdout, format="%(message)s")
    logging.getLogger("twolane").addFilter(lambda record: "still run" in record.getMessage())
    settings = {"check_topics": False} if lane == "SafeProducer" else {"linger_ms": 0}
    settings |= {"reconnect_backoff_ms": 1, "reconnect_backoff_max_ms": 1}
    producer = getattr(twolane, lane)(bootstrap_servers=servers, **settings)
    producer.send(name, b"warm")
    producer.flush(10)
    open(os.environ["HANG"], "w").close()
    print("warm", flush=True)
    sys.stdin.readline()                        # the broker is gone meanwhile
    while not os.path.exists(os.environ["HUNG"]):
        time.sleep(0.01)
    called = []
    if lane == "ThroughputProducer":
        producer.send(name, b"v", on_delivery=lambda err, _: called.append(err.verdict.name))
        producer.send(name, b"v")
        delivery = producer.send_batch(name, [b"v"] * 5)
    started = time.monotonic()
    try:
        producer.close(0.5)
    except twolane.DeliveryError as error:
        called.append(error.verdict.name)
    print("took", time.monotonic() - started)
    if lane == "ThroughputProducer":
        try:
            delivery.result(0)
        except twolane.BatchError as error:
            called += {verdict.name for _, verdict in error.metadata.failures.verdicts()}
    print("told", *called, producer.stats().in_queue)
"""


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or not shutil.which("cc"), reason="needs cc, to hang a look-up"
)
@pytest.mark.skipif(UNDER_SANITIZER, reason="the sanitizer is preloaded already")
@pytest.mark.parametrize("lane", ["SafeProducer", "ThroughputProducer"])
def test_a_name_look_up_that_hangs_is_left_behind(topic, tmp_path, lane):
    source, library = tmp_path / "hang.c", tmp_path / "hang.so"
    source.write_text(textwrap.dedent(GETADDRINFO))
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    with (
        EmbeddedCluster(1) as cluster,
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(HANGING), lane, cluster.bootstrap_servers, "topic"],
            env={
                "LD_PRELOAD": str(library),
                "HANG": str(tmp_path / "hang"),
                "HUNG": str(tmp_path / "hung"),
                "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        cluster.create_topic("topic", 1)
        assert process.stdout.readline() == "warm\n", process.stderr.read()
        cluster.stop_broker(1)
        out, err = process.communicate("go\n", timeout=60)
    assert process.returncode == 0, err
    lines = {line.split()[0]: line.split()[1:] for line in out.splitlines()}
    assert float(lines["took"][0]) < TIMEOUT + 1.5, out
    if lane == "ThroughputProducer":
        assert set(lines["told"][:-1]) == {"NOT_WRITTEN"}, out
        assert len(lines["told"]) == 4  # the callback, close(), the batch, and what is left
    assert lines["told"][-1] == "0"
    assert "still run" in out
