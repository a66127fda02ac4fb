"""Nothing that the user's logging does changes a verdict or ends a thread (F17 of docs/hazards.md)."""

from __future__ import annotations

import gc
import logging
import re
import signal
import threading
import warnings

import pytest

from tests.packaging.sources import ROOT, sources
from tests.support.processes import python
from tests.support.readers import read_values
from tests.support.waiting import wait_until
from twolane import SafeProducer, ThroughputProducer
from twolane.common.logs import ClientLog

RAISED = [LookupError, SystemExit, GeneratorExit, KeyboardInterrupt]


def test_only_one_module_logs():
    """So each line has the name of its client: ClientLog puts it there."""
    emits = re.compile(r"\b(logger|logging|_to)\.(debug|info|warning|error|exception|critical|log)\(")
    found = {path.name for path in sources(".py", ".pyx", below="src/") if emits.search((ROOT / path).read_text())}
    assert found == {"logs.py"}


@pytest.mark.parametrize("lane", [SafeProducer, ThroughputProducer])
def test_each_line_has_the_name_of_its_client_and_goes_to_the_logger_that_was_given(embedded_cluster, topic, lane):
    name, lines = topic(embedded_cluster), []
    own = logging.getLogger("tests.own")
    own.setLevel(logging.DEBUG)
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    own.addHandler(handler)
    others = logging.getLogger("twolane")
    others.addHandler(stray := Bad(LookupError))
    try:
        settings = {"bootstrap_servers": embedded_cluster.bootstrap_servers, "client_id": "orders", "logger": own}
        with lane(**settings, debug="broker") as producer:
            client = producer.stats().client_id
            if lane is SafeProducer:
                producer.send(name, b"v")
                producer._topic_monitor.offsets[name, 0] = 1_000_000
                producer.send(name, b"v")
            else:

                def on_delivery(error, metadata):
                    raise ZeroDivisionError

                producer.send(name, b"v", on_delivery=on_delivery)
                with pytest.raises(ZeroDivisionError):
                    producer.flush(20)
    finally:
        own.removeHandler(handler)
        others.removeHandler(stray)
    ours = "offset regression" if lane is SafeProducer else "a delivery callback raised"
    assert len(lines) > 1
    assert any(ours in line for line in lines)
    assert [line for line in lines if not line.startswith(f"{client}: ")] == []
    assert client.startswith("orders#producer-")
    assert stray.called == 0


class Bad(logging.Handler):
    """Raises whatever it is given to log, and counts how often."""

    def __init__(self, error):
        super().__init__()
        self.error = error
        self.called = 0

    def handle(self, record):
        self.called += 1
        # In the main thread it is taken for Ctrl-C, which goes on.
        if self.error is KeyboardInterrupt and threading.current_thread() is threading.main_thread():
            return
        raise self.error("by the user's logging")


@pytest.fixture(params=["handler", "filter"])
def bad_logging(request):
    """Install a handler, or a filter, that raises."""
    logger = logging.getLogger("twolane")
    installed = []

    def install(error):
        bad = Bad(error)
        installed.append(bad)
        logger.addHandler(bad) if request.param == "handler" else logger.addFilter(bad.handle)
        return bad

    level = logger.level
    logger.setLevel(logging.DEBUG)
    yield install
    logger.setLevel(level)
    for bad in installed:
        logger.removeHandler(bad)
        logger.filters.clear()


@pytest.mark.parametrize("error", RAISED)
def test_the_service_thread_goes_on(embedded_cluster, topic, bad_logging, error):
    """Its log lines are librdkafka's, and those of callbacks that raise."""
    name = topic(embedded_cluster)
    bad = bad_logging(error)
    with ThroughputProducer(bootstrap_servers=embedded_cluster.bootstrap_servers, debug="broker") as producer:

        def on_delivery(err, metadata):
            raise ZeroDivisionError

        producer.send(name, b"v", on_delivery=on_delivery)
        with pytest.raises(ZeroDivisionError):
            producer.flush(10)
        assert bad.called > 1
        assert producer.send_batch(name, [b"w"] * 10).result(10).written == 10
        assert producer._delivery_thread._thread.is_alive()


@pytest.mark.parametrize("error", [LookupError, SystemExit, GeneratorExit])
@pytest.mark.parametrize("threads", [1, 8])
def test_a_written_record_is_written(embedded_cluster, topic, bad_logging, error, threads):
    """Here by a notice, which the safe lane logs between the report and the return: of offsets that went back."""
    name = topic(embedded_cluster)
    with SafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers, check_topics=False) as producer:
        producer.send(name, b"first")
        bad = bad_logging(error)
        ends = []

        def send():
            for _ in range(3):
                producer._topic_monitor.offsets[name, 0] = 1_000_000
                try:
                    ends.append(producer.send(name, b"v").offset)
                except BaseException as raised:  # noqa: BLE001 - the test looks at it
                    ends.append(raised)

        workers = [threading.Thread(target=send) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        producer._topic_monitor.offsets[name, 0] = 1_000_000
        ends.append(producer.send(name, b"v").offset)  # in the main thread
        producer._topic_monitor.offsets[name, 0] = 1_000_000
        assert producer.send_batch(name, [b"v"] * 3).written == 3
        assert bad.called >= 2
    assert sorted(ends) == list(range(1, 3 * threads + 2))


def test_what_a_signal_handler_raises_meanwhile_is_raised_with_the_verdict(embedded_cluster, topic):
    """It is the program's, not the logging's."""
    name = topic(embedded_cluster)
    logger = logging.getLogger("twolane")

    class Signalling(logging.Handler):
        def emit(self, record):
            if "regression" in record.getMessage():
                signal.raise_signal(signal.SIGTERM)

    def end(number, frame):
        raise SystemExit(128 + number)

    handler = Signalling()
    before = signal.signal(signal.SIGTERM, end)
    logger.addHandler(handler)
    try:
        with SafeProducer(bootstrap_servers=embedded_cluster.bootstrap_servers, check_topics=False) as producer:
            producer.send(name, b"first")
            producer._topic_monitor.offsets[name, 0] = 1_000_000
            with pytest.raises(SystemExit) as caught:
                producer.send(name, b"v")
        assert caught.value.twolane_result.offset == 1
    finally:
        logger.removeHandler(handler)
        signal.signal(signal.SIGTERM, before)


class Callable:
    """One of the things that signal.signal() takes."""

    def __call__(self, number, frame):
        raise SystemExit

    def method(self, number, frame):
        raise SystemExit


@pytest.mark.parametrize("handler", [Callable(), Callable().method], ids=["object", "method"])
def test_signal_handlers_of_any_form_are_told_from_logging(bad_logging, handler):
    class Raising(logging.Handler):
        def handle(self, record):
            signal.raise_signal(signal.SIGTERM)

    logger, raising = logging.getLogger("twolane"), Raising()
    before = signal.signal(signal.SIGTERM, handler)
    logger.addHandler(raising)
    try:
        with pytest.raises(SystemExit):
            ClientLog("me")(logging.ERROR, "text")
    finally:
        logger.removeHandler(raising)
        signal.signal(signal.SIGTERM, before)
    bad_logging(SystemExit)
    ClientLog("me")(logging.ERROR, "text")


def test_a_dropped_batch_with_failures_is_kept_for_flush(embedded_cluster, topic, bad_logging):
    name = topic(embedded_cluster)
    with ThroughputProducer(bootstrap_servers=embedded_cluster.bootstrap_servers, linger_ms=1000) as producer:
        bad_logging(SystemExit)
        delivery = producer.send_batch(name, [b"v"])
        producer.purge()
        wait_until(delivery.done)
        del delivery
        gc.collect()
        with pytest.raises(Exception, match="Purged"):
            producer.flush(10)


def test_warnings_that_raise_keep_no_producer_from_draining(embedded_cluster, topic):
    name = topic(embedded_cluster)
    code = """
        import sys, warnings
        from twolane import ThroughputProducer
        def show(*_):
            raise SystemExit(7)
        warnings.showwarning = show
        producers = [ThroughputProducer(bootstrap_servers=sys.argv[1], linger_ms=300) for _ in range(2)]
        for producer in producers:
            producer.send(sys.argv[2], b"v")
    """
    done = python(code, embedded_cluster.bootstrap_servers, name)
    assert done.returncode == 0, done
    assert read_values(embedded_cluster.bootstrap_servers, name) == [b"v"] * 2


def test_unclosed_producers_drain_where_warnings_are_errors(embedded_cluster, topic):
    name = topic(embedded_cluster)
    producer = ThroughputProducer(bootstrap_servers=embedded_cluster.bootstrap_servers, linger_ms=100)
    service = producer._delivery_thread
    producer.send(name, b"v")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        del producer
        gc.collect()
    service.join()
    assert read_values(embedded_cluster.bootstrap_servers, name) == [b"v"]
