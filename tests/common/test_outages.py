"""A broker that cannot be reached is one log line, and one more when it answers again."""

from __future__ import annotations

import logging
import queue

import pytest

from twolane import DeliveryError, SafeProducer, ThroughputProducer
from twolane.common.outages import OutageLog
from twolane.testing import EmbeddedCluster

LANES = pytest.mark.parametrize("lane", [SafeProducer, ThroughputProducer], ids=["safe", "throughput"])


class Lines(logging.Handler):
    def __init__(self):
        super().__init__(logging.DEBUG)
        self.found = []
        self.loud = queue.SimpleQueue()

    def emit(self, record):
        self.found.append((record.levelno, record.getMessage()))
        if record.levelno > logging.DEBUG:
            self.loud.put(record.getMessage())


@pytest.fixture
def lines():
    lines, logger = Lines(), logging.getLogger("twolane")
    logger.addHandler(lines)
    logger.setLevel(logging.DEBUG)
    yield lines
    logger.removeHandler(lines)
    logger.setLevel(logging.NOTSET)


@LANES
@pytest.mark.parametrize("debug", [{}, {"debug": "broker"}], ids=["", "debug"])
def test_a_broker_goes_and_comes_back(lane, lines, debug):
    """librdkafka has two connections to the address for a while: as a bootstrap server's, and as the broker's."""
    with (
        EmbeddedCluster(brokers=1) as cluster,
        lane(
            bootstrap_servers=cluster.bootstrap_servers,
            client_id="orders",
            reconnect_backoff_ms=10,
            reconnect_backoff_max_ms=20,
            **debug,
            **({"check_topics": False} if lane is SafeProducer else {}),
        ) as producer,
    ):
        cluster.create_topic("t")
        producer.send("t", b"v")
        producer.flush()
        cluster.stop_broker(1)
        if lane is SafeProducer:
            with pytest.raises(DeliveryError):
                producer.send("t", b"v", timeout=1.0)
        else:
            producer.send("t", b"v")
        begun = lines.loud.get(timeout=20)
        cluster.start_broker(1)
        producer.send("t", b"v", timeout=30)
        producer.flush(30)
        producer.stats()  # the safe lane has no thread that would say it
        ended = lines.loud.get(timeout=20)
    name = "orders#producer-"
    assert begun.startswith(name)
    assert f": broker {cluster.bootstrap_servers} cannot be reached: Connect to" in begun
    assert ended.startswith(name)
    assert f": broker {cluster.bootstrap_servers} answers again after " in ended
    assert lines.loud.empty()
    assert len([text for _, text in lines.found if "failed: Connection refused" in text]) > 1  # the others, for DEBUG


@LANES
def test_nobody_there_at_all(lane, lines):
    with (
        lane(bootstrap_servers="127.0.0.1:1", reconnect_backoff_ms=10, reconnect_backoff_max_ms=20) as producer,
        pytest.raises(DeliveryError, match="Connection refused"),
    ):
        producer.send("t", b"v", timeout=1.0)
    assert [text.partition(": ")[2][:37] for level, text in lines.found if level > logging.DEBUG] == [
        "broker 127.0.0.1:1 cannot be reached:"
    ]


class Wire:
    def __init__(self):
        self.up = set()

    def is_up(self, host, port):
        return (host, port) in self.up


def test_each_broker_has_its_own():
    wire, said = Wire(), []
    outages = OutageLog(wire, lambda level, text, *rest: said.append((level, text % rest)))
    a, b = ("a:1/1: Connect to ipv4#1.2.3.4:1 failed: refused", "[thrd:b:2/bootstrap]: b:2/bootstrap: Disconnected")
    assert outages.take(a)
    assert outages.take(b)
    assert outages.take(a)
    assert outages.take("2/2 brokers are down", all_down=True)
    assert not outages.take("[thrd:main]: something else")
    outages.look()
    wire.up.add(("b", 2))
    outages.look()
    assert outages.take(b)  # older than the new connection
    wire.up.add(("a", 1))
    outages.look()
    outages.look()
    assert [text for level, text in said if level == logging.WARNING and "again" not in text] == [
        "broker a:1 cannot be reached: Connect to ipv4#1.2.3.4:1 failed: refused",
        "broker b:2 cannot be reached: Disconnected",
    ]
    assert [text.partition(" after")[0] for level, text in said if level == logging.WARNING and "again" in text] == [
        "broker b:2 answers again",
        "broker a:1 answers again",
    ]
    assert [level for level, _ in said].count(logging.DEBUG) == 3
