"""The end of a throughput producer: close, collection, interpreter exit, fork, Ctrl-C."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings

import pytest

from tests.support.processes import ROOT, python
from tests.support.readers import read_values
from tests.support.waiting import hold_answers, until_requests, wait_until
from twolane import BatchError, ClosedProducerError, ThroughputProducer, TwolaneError, Verdict

posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")


@pytest.fixture
def name(embedded_cluster, topic):
    return topic(embedded_cluster)


@pytest.fixture
def make(embedded_cluster):
    return lambda **settings: ThroughputProducer(bootstrap_servers=embedded_cluster.bootstrap_servers, **settings)


# ---- close ---------------------------------------------------------------------------------------------------------


def test_close_drains(embedded_cluster, make, name):
    producer = make(linger_ms=200)
    called = []
    for i in range(1_000):
        producer.send(name, b"%d" % i, on_delivery=lambda *args: called.append(args))
    delivery = producer.send_batch(name, [b"batch"])
    producer.close()
    assert len(called) == 1_000
    assert delivery.done()
    assert len(read_values(embedded_cluster.bootstrap_servers, name)) == 1_001


@pytest.mark.timing
def test_close_without_time_purges_and_leaves_verdicts(embedded_cluster, make, name):
    producer = make()
    producer.send_batch(name, [b"warm"]).result(10)
    embedded_cluster.clear_requests()
    hold_answers(embedded_cluster)
    in_flight = producer.send_batch(name, [b"v"] * 10)
    until_requests(embedded_cluster)
    called = []
    producer.send(name, b"queued", on_delivery=lambda err, _: called.append(err))
    started = time.monotonic()
    producer.close(0.2)
    assert time.monotonic() - started < 0.2 + 1.5
    with pytest.raises(BatchError) as caught:
        in_flight.result(0)
    assert {failure.verdict for failure in caught.value.metadata.failures} == {Verdict.UNKNOWN}
    assert len(called) == 1
    counts = producer.stats()
    assert counts.in_queue == 0
    assert counts.accepted == 12


def test_close_from_two_threads(make, name):
    producer = make()
    producer.send_batch(name, [b"v"] * 1_000)
    threads = [threading.Thread(target=producer.close) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert producer.stats().written == 1_000


def test_close_while_another_thread_looks_for_a_topic(embedded_cluster, make):
    producer = make()
    producer.partitions_for("some")
    embedded_cluster.create_topic("absent", 1)
    embedded_cluster.set_topic_error("absent", "UNKNOWN_TOPIC_OR_PART")
    ends = []

    def look():
        try:
            producer.send("absent", b"v")
        except BaseException as error:
            ends.append(type(error))

    thread = threading.Thread(target=look)
    thread.start()
    wait_until(lambda: producer._handle.users)
    producer.close(5)
    thread.join(60)
    assert ends == [ClosedProducerError]


def test_a_with_block_that_raises_still_drains(embedded_cluster, make, name):
    with pytest.raises(LookupError), make(linger_ms=100) as producer:
        producer.send(name, b"v")
        raise LookupError
    assert read_values(embedded_cluster.bootstrap_servers, name) == [b"v"]


def test_flush_after_close(make, name):
    producer = make()
    producer.close()
    with pytest.raises(ClosedProducerError):
        producer.flush()


# ---- collected unclosed --------------------------------------------------------------------------------------------


def test_an_unclosed_producer_warns_and_its_records_arrive(embedded_cluster, make, name):
    producer = make(linger_ms=100)
    producer.send(name, b"v")
    with pytest.warns(ResourceWarning, match="unclosed <ThroughputProducer open"):
        del producer
        gc.collect()
    wait_until(lambda: read_values(embedded_cluster.bootstrap_servers, name) == [b"v"])


def test_the_threads_of_an_unclosed_producer_end(make, name):
    before = threading.active_count()
    producer = make()
    producer.send(name, b"v", on_delivery=lambda *_: None)
    with pytest.warns(ResourceWarning):
        del producer
        gc.collect()
    wait_until(lambda: threading.active_count() <= before)


def test_a_producer_dropped_by_its_own_callback_ends(embedded_cluster, make, name):
    before = threading.active_count()
    holder = {"producer": make()}
    dropped = threading.Event()

    def on_delivery(err, metadata):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            holder.clear()
            gc.collect()
        dropped.set()

    embedded_cluster.set_rtt(100)
    holder["producer"].send(name, b"v", on_delivery=on_delivery)
    assert dropped.wait(60)
    wait_until(lambda: threading.active_count() <= before)


def test_a_producer_that_could_not_be_made_does_not_warn(make):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for bad in ({"on_full": "never"}, {"compression_type": "zip"}):
            with pytest.raises(ValueError):
                make(**bad)
        gc.collect()


# ---- interpreter exit ----------------------------------------------------------------------------------------------

LEFT_OPEN = """
    import sys
    from twolane import ThroughputProducer
    producer = ThroughputProducer(bootstrap_servers=sys.argv[1], linger_ms=500)
    for i in range(1000):
        producer.send(sys.argv[2], b"%d" % i, on_delivery=(lambda e, m: None) if i % 2 else None)
    delivery = producer.send_batch(sys.argv[2], [b"batch"] * 10)
"""


@pytest.mark.parametrize("how", ["global", "cycle", "unclosed"])
def test_records_left_at_interpreter_exit_arrive(embedded_cluster, name, how):
    code = textwrap.dedent(LEFT_OPEN)
    if how == "cycle":
        code += "\nclass Node: pass\nnode = Node(); node.me = node; node.producer = producer; del producer\n"
    if how == "unclosed":
        code += "\ndel producer\n"
    done = python(code, embedded_cluster.bootstrap_servers, name)
    assert done.returncode == 0, done.stderr
    assert "ResourceWarning" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(read_values(embedded_cluster.bootstrap_servers, name)) == 1_010


@pytest.mark.timing
def test_exit_does_not_wait_for_ever_for_brokers_that_are_gone(embedded_cluster, name):
    code = """
        import sys, time
        from twolane import ThroughputProducer
        from twolane.common import base
        base.EXIT_TIMEOUT = 1.0
        producer = ThroughputProducer(bootstrap_servers="127.0.0.1:9", message_timeout_ms=60000)
        try:
            producer.send("t", b"v", timeout=0.1)
        except Exception as error:
            print(type(error).__name__)
    """
    started = time.monotonic()
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "DeliveryError"
    assert time.monotonic() - started < 20


# ---- fork ----------------------------------------------------------------------------------------------------------


@posix
def test_a_forked_child_is_told_and_ends_and_the_parent_goes_on(embedded_cluster, name):
    code = """
        import gc, os, sys, time, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        from twolane import ForkedProducerError, ThroughputProducer
        producer = ThroughputProducer(bootstrap_servers=sys.argv[1], linger_ms=100)
        name = sys.argv[2]
        producer.send(name, b"before")
        delivery = producer.send_batch(name, [b"batch"] * 1000)
        done = producer.send_batch(name, [b"done"])
        done.result(10)
        child = os.fork()
        if child == 0:
            for call in (
                lambda: producer.send(name, b"child"),
                lambda: producer.send_batch(name, [b"child"]),
                lambda: producer.partitions_for(name),
                lambda: producer.flush(1),
                lambda: producer.stats(),
            ):
                try:
                    call()
                except ForkedProducerError:
                    continue
                os._exit(1)
            if "forked" not in repr(producer):
                os._exit(2)
            producer.close()
            del delivery
            gc.collect()
            sys.exit(42)
        deadline = time.monotonic() + 60
        while True:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > deadline:
                os.kill(child, 9)
                sys.exit("the child hangs")
            time.sleep(0.01)
        print("child", os.waitstatus_to_exitcode(status))
        producer.send(name, b"after")
        delivery.result(10)
        producer.close()
        print("parent", producer.stats().written)
    """
    done = python(code, embedded_cluster.bootstrap_servers, name)
    assert done.stdout.split("\n")[:2] == ["child 42", "parent 1003"], done
    assert done.stderr == ""
    assert len(read_values(embedded_cluster.bootstrap_servers, name)) == 1_003


@posix
def test_a_batch_in_a_forked_child_does_not_wait(embedded_cluster, name):
    code = """
        import os, sys, warnings
        warnings.simplefilter("ignore")
        from twolane import ForkedProducerError, ThroughputProducer
        with ThroughputProducer(bootstrap_servers=sys.argv[1], linger_ms=500) as producer:
            delivery = producer.send_batch(sys.argv[2], [b"v"])
            child = os.fork()
            if child == 0:
                try:
                    delivery.result()
                except ForkedProducerError:
                    os._exit(42)
                os._exit(1)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), delivery.result(10).written)
    """
    done = python(code, embedded_cluster.bootstrap_servers, name)
    assert done.stdout.split() == ["42", "1"], done


# ---- Ctrl-C --------------------------------------------------------------------------------------------------------

INTERRUPTED = """
    import os, signal, sys, threading, time
    from twolane import ThroughputProducer
    what, servers, name = sys.argv[1:]
    producer = ThroughputProducer(bootstrap_servers=servers, queue_buffering_max_messages=10)
    producer.send_batch(name, [b"warm"]).result(10)
    print("ready", flush=True)
    sys.stdin.readline()
    delivery = producer.send_batch(name, [b"v"] * 10)
    at, caller = [], threading.get_ident()
    def interrupt():
        waits = ["twolane.common.waiters.wait", "twolane.throughput.backpressure.wait_for_space",
                 "twolane.common.topics._fetch"]
        looks = 0
        while looks < 2:    # in a row: it sleeps
            frame = sys._current_frames()[caller]
            looks = looks + 1 if f"{frame.f_globals['__name__']}.{frame.f_code.co_name}" in waits else 0
            time.sleep(0.01)
        at.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=interrupt, daemon=True).start()
    try:
        if what == "flush":
            producer.flush()
        elif what == "result":
            delivery.result()
        elif what == "send":
            producer.send(name, b"v")
        elif what == "send_batch":
            producer.send_batch(name, [b"v"] * 100)
        elif what == "close":
            producer.close()
        elif what == "partitions_for":
            producer.partitions_for(name)
        print("not interrupted")
    except KeyboardInterrupt as error:
        print("interrupted after", time.monotonic() - at[0], getattr(error, "__notes__", ""))
    producer.close(0) if what != "close" else None
    print(producer.stats().in_queue, producer.stats().unknown)
"""


@pytest.mark.timing
@posix
@pytest.mark.parametrize("what", ["flush", "result", "send", "send_batch", "close", "partitions_for"])
def test_ctrl_c_ends_a_wait_within_a_second(embedded_cluster, name, what):
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(INTERRUPTED), what, embedded_cluster.bootstrap_servers, name],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
        embedded_cluster.set_rtt(60_000)
        out, err = process.communicate("go\n", timeout=60)
    embedded_cluster.set_rtt(0)
    assert "interrupted after" in out, (out, err)
    assert "not interrupted" not in out
    after = float(out.split("interrupted after ")[1].split()[0])
    assert after < 1.0
    # Nothing left without a verdict: what was in flight may be in the log.
    assert out.splitlines()[-1] == "0 10", (out, err)
    assert "Traceback" not in err
    if what == "send_batch":
        assert "0 of 100 records had been accepted" in out


@posix
def test_signals_in_a_loop_of_sends_do_no_harm(embedded_cluster, make, name):
    calls = []
    before = signal.signal(signal.SIGALRM, lambda *_: calls.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        with make(queue_buffering_max_messages=500) as producer:
            for i in range(20_000):
                producer.send(name, b"%d" % i)
            producer.send_batch(name, [b"v"] * 20_000).result(60)
            producer.flush(60)
            assert producer.stats().written == 40_000
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert calls


def test_a_producer_that_gets_no_thread_is_an_error_and_leaves_nothing(make, monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of a producer without a reference
        with pytest.raises(TwolaneError, match="a thread of its own: can't start new thread"):
            make()
        gc.collect()
