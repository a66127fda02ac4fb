"""The delaying proxy: round trips take as long as was set, in any connection."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Producer

from bench.clusters import round_trip
from bench.peers import delay, golang
from bench.peers.delay import DelayingProxy
from twolane.testing.broker import HOST, Ports

if TYPE_CHECKING:
    from collections.abc import Iterator

REASON = delay.missing()
needs_go = pytest.mark.skipif(REASON is not None, reason=f"Not available: {REASON}")
# What a busy machine adds to the quickest of some round trips, in milliseconds, at most.
BUSY = 40.0


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that sends back what it gets; its port."""
    with socket.create_server((HOST, 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    threading.Thread(target=answer, args=(connection,), daemon=True).start()

        def answer(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                while data := connection.recv(65536):
                    connection.sendall(data)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def ports() -> Iterator[Ports]:
    taken = Ports(1)
    yield taken
    taken.release()


def quickest(connection: socket.socket, times: int = 9) -> float:
    """Return the milliseconds of the quickest of some round trips."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        connection.sendall(b"ping")
        assert connection.recv(4) == b"ping"
        taken.append(time.perf_counter() - started)
    return min(taken) * 1000


@pytest.mark.timing
@needs_go
def test_round_trips_take_what_was_set_also_on_open_connections(echo, ports):
    (listen,) = ports.numbers
    with DelayingProxy({1: (listen, echo)}) as proxy:
        assert proxy.bootstrap_servers == f"{HOST}:{listen}"
        with socket.create_connection((HOST, listen)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for ms in (0, 20, 5, 50, 0):
                proxy.set_rtt(ms)
                assert ms <= quickest(connection) < ms + BUSY
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((HOST, listen)).close()


@needs_go
def test_a_port_that_is_taken_is_said(echo, monkeypatch):
    monkeypatch.setattr(delay, "START_SECONDS", 1.0)  # it comes up, and waits for its proxies in vain
    with pytest.raises(RuntimeError, match="did not start"), DelayingProxy({1: (echo, echo)}):
        pass


@needs_go
def test_a_negative_delay_is_refused(echo, ports):
    with DelayingProxy({1: (ports.numbers[0], echo)}) as proxy, pytest.raises(ValueError, match="-1"):
        proxy.set_rtt(-1)


def test_without_go_it_says_so(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert "Go is not installed" in str(delay.missing())
    with pytest.raises(golang.BuildError, match="Go is not installed"), DelayingProxy({1: (1, 2)}):
        pass


def produced_in(bootstrap: str, topic: str, times: int = 5) -> float:
    """Return the fewest milliseconds until one record was acknowledged, after the connections were made."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0, "acks": "all"})
    taken = []
    for _ in range(times + 2):
        started = time.perf_counter()
        producer.produce(topic, b"value", partition=0)
        assert producer.flush(10) == 0
        taken.append(time.perf_counter() - started)
    return min(taken[2:]) * 1000


@pytest.mark.timing
@needs_go
def test_real_brokers_answer_so_much_later(kafka_cluster, topic):
    if not hasattr(kafka_cluster, "proxied"):
        pytest.skip("a cluster that was running before advertises no proxy")
    name = topic(kafka_cluster)
    direct = round_trip(kafka_cluster.bootstrap_servers) * 1000
    with DelayingProxy(kafka_cluster.proxied) as proxy:
        for ms in (0, 40):
            proxy.set_rtt(ms)
            assert ms <= round_trip(proxy.bootstrap_servers) * 1000 < ms + direct + BUSY
        far = produced_in(proxy.bootstrap_servers, name)
        proxy.set_rtt(0)
        near = produced_in(proxy.bootstrap_servers, name)
    assert far - near > 30, "the leader's own connection went past the proxy"
    assert far >= 40
