"""Where the suite sends: the embedded cluster, three brokers of its own behind a delaying proxy, or a running one."""

from __future__ import annotations

import contextlib
import socket
import statistics
import struct
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from bench.contender import properties
from bench.peers import delay
from bench.tls import TlsListener
from twolane.testing import EmbeddedCluster, KafkaCluster

if TYPE_CHECKING:
    from collections.abc import Iterator

EMBEDDED, OWN, RUNNING = "embedded", "own brokers", "running"
# A topic that has taken so many bytes is deleted and followed by another: no disk should fill up.
TOPIC_BYTES = 500_000_000
TOPIC_SETTINGS = {
    "message.timestamp.type": "CreateTime",
    "retention.ms": "-1",
    "segment.ms": str(10 * 365 * 86_400_000),
    "file.delete.delay.ms": "1000",
}
REACH_SECONDS = 8.0
TOPIC_SECONDS = 30.0


class UnreachableError(Exception):
    """No broker answered."""


class Kafka(Protocol):
    """What the suite needs of a cluster.

    Attributes
    ----------
    kind : str
    bootstrap_servers : str
        Without any delay: for the reader and the administration.
    has_delay : bool
        Whether `delayed` can do anything else than 0.
    delay : str
        How the round-trip time is made.
    tls_bootstrap_servers, ca : str
        The address that takes TLS, and the path of the certificate of its authority; both empty where there is none.
    """

    kind: str
    bootstrap_servers: str
    tls_bootstrap_servers: str
    ca: str
    has_delay: bool
    delay: str

    def delayed(self, rtt_ms: int) -> contextlib.AbstractContextManager[str]:
        """Give the address at which the brokers' answers take so much longer."""
        ...

    def round_trip(self, rtt_ms: int) -> float:
        """Return the seconds of a round trip, the delay included."""
        ...

    def topic(self, partitions: int, size: int) -> str:
        """Return a topic with room for `size` bytes."""
        ...

    def facts(self) -> dict[str, str | int]:
        """Return what the figures depend on: versions, number of brokers."""
        ...


class Embedded:
    """librdkafka's mock brokers; the delay is their own."""

    kind = EMBEDDED
    tls_bootstrap_servers = ca = ""
    has_delay = True
    delay = "rd_kafka_mock_broker_set_rtt"

    def __init__(self, cluster: EmbeddedCluster) -> None:
        self._cluster = cluster
        self._topics: set[str] = set()
        self.bootstrap_servers = cluster.bootstrap_servers

    @contextlib.contextmanager
    def delayed(self, rtt_ms: int) -> Iterator[str]:
        """See `Kafka`."""
        self._cluster.set_rtt(rtt_ms)
        try:
            yield self.bootstrap_servers
        finally:
            self._cluster.set_rtt(0)

    def round_trip(self, rtt_ms: int) -> float:
        """See `Kafka`."""
        with self.delayed(rtt_ms) as bootstrap:
            return round_trip(bootstrap)

    def topic(self, partitions: int, size: int) -> str:
        """See `Kafka`; it forgets old records by itself."""
        name = f"bench-{partitions}"
        if name not in self._topics:
            self._cluster.create_topic(name, partitions)
            brokers = self._cluster.broker_ids
            for partition in range(partitions):  # as Kafka does: the mock's choice varies from run to run
                self._cluster.set_leader(name, partition, brokers[partition % len(brokers)])
            self._topics.add(name)
        return name

    def facts(self) -> dict[str, str | int]:
        """See `Kafka`."""
        version = {"brokers": len(self._cluster.broker_ids), "broker_version": "librdkafka's mock"}
        return {"cluster": self.kind, "delay": self.delay, **version}


class Real:
    """Real brokers: topics are made and deleted, nothing else of the cluster is touched.

    Parameters
    ----------
    bootstrap : str
    settings : str, optional
        Path of a file of further client settings.

    Raises
    ------
    UnreachableError
        No broker answered within some seconds.
    """

    kind = RUNNING
    tls_bootstrap_servers = ca = ""
    has_delay = False
    delay = "none: as the network is"

    def __init__(self, bootstrap: str, settings: str = "") -> None:
        self.bootstrap_servers = bootstrap
        self._admin = AdminClient({**properties(settings), "bootstrap.servers": bootstrap, "log_level": 0})
        try:
            self._brokers = self._admin.list_topics(timeout=REACH_SECONDS).brokers
        except KafkaException as error:
            raise UnreachableError(f"{bootstrap}: no broker answered: {error.args[0].str()}") from error
        self._topics: dict[int, tuple[str, int]] = {}

    @contextlib.contextmanager
    def delayed(self, rtt_ms: int) -> Iterator[str]:
        """See `Kafka`."""
        if rtt_ms:
            raise ValueError(f"{self.kind}: the round-trip time cannot be changed")
        yield self.bootstrap_servers

    def round_trip(self, rtt_ms: int) -> float:
        """See `Kafka`; of the farthest broker, and by TCP alone: what is spoken then may be encrypted."""
        return max(connect_time(str(broker.host), int(broker.port)) for broker in self._brokers.values())

    def topic(self, partitions: int, size: int) -> str:
        """See `Kafka`; every `TOPIC_BYTES` another one."""
        name, room = self._topics.get(partitions, ("", 0))
        if room < size:
            if name:
                self._admin.delete_topics([name])
            name, room = f"twolane-bench-{uuid.uuid4().hex[:8]}", max(TOPIC_BYTES, size)
            new = NewTopic(name, partitions, min(3, len(self._brokers)), config=TOPIC_SETTINGS)
            self._admin.create_topics([new], operation_timeout=TOPIC_SECONDS)[name].result(TOPIC_SECONDS)
            self._wait_for_leaders(name, partitions)
        self._topics[partitions] = name, room - size
        return name

    def _wait_for_leaders(self, name: str, partitions: int) -> None:
        deadline = time.monotonic() + TOPIC_SECONDS
        while time.monotonic() < deadline:
            found = self._admin.list_topics(name, timeout=REACH_SECONDS).topics[name].partitions
            if len(found) == partitions and all(len(p.isrs) == len(p.replicas) > 0 for p in found.values()):
                return
            time.sleep(0.05)
        raise UnreachableError(f"topic {name} did not get its leaders within {TOPIC_SECONDS:.0f} s")

    def delete_topics(self) -> None:
        """Leave nothing behind."""
        names = [name for name, _ in self._topics.values()]
        if names:
            for future in self._admin.delete_topics(names, operation_timeout=TOPIC_SECONDS).values():
                future.result(TOPIC_SECONDS)
        self._topics = {}

    def facts(self) -> dict[str, str | int]:
        """See `Kafka`; brokers do not tell clients their version."""
        version = {"brokers": len(self._brokers), "broker_version": "unknown"}
        return {"cluster": self.kind, "delay": self.delay, **version}


class Own(Real):
    """Three brokers of the suite's own, with a listener for TLS, and with a proxy in front that delays what passes."""

    kind = OWN

    def __init__(self, stack: contextlib.ExitStack) -> None:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="twolane-tls-")))
        tls = TlsListener.made_in(folder)
        # The compiler's second tier: brokers as they run in earnest.
        cluster = stack.enter_context(KafkaCluster(jvm_options=(), **tls.arguments))
        super().__init__(cluster.bootstrap_servers)
        self._cluster = cluster
        self.tls_bootstrap_servers, self.ca = cluster.address_of(tls.NAME), tls.ca
        self._proxy = None
        reason = delay.missing()
        self.delay = f"none: {reason}"
        if reason is None:
            self._proxy = stack.enter_context(delay.DelayingProxy(cluster.proxied))
            self.delay = self._proxy.what
        self.has_delay = self._proxy is not None

    @contextlib.contextmanager
    def delayed(self, rtt_ms: int) -> Iterator[str]:
        """See `Kafka`; without a delay the proxy is not in the way."""
        if rtt_ms == 0 or self._proxy is None:
            with super().delayed(rtt_ms) as bootstrap:
                yield bootstrap
            return
        self._proxy.set_rtt(rtt_ms)
        yield self._proxy.bootstrap_servers

    def round_trip(self, rtt_ms: int) -> float:
        """See `Kafka`."""
        with self.delayed(rtt_ms) as bootstrap:
            return round_trip(bootstrap)

    def _wait_for_leaders(self, name: str, partitions: int) -> None:
        # Every broker is asked: a client that asks one which does not know the topic yet may give up.
        self._cluster.wait_in_sync(name)

    def facts(self) -> dict[str, str | int]:
        """See `Kafka`."""
        return {**super().facts(), "broker_version": f"Apache Kafka {self._cluster.version}"}


@contextlib.contextmanager
def open_cluster(kind: str, bootstrap: str | None = None, settings: str = "") -> Iterator[Kafka]:
    """Start or reach a cluster; undo it at the end."""
    with contextlib.ExitStack() as stack:
        if kind == EMBEDDED:
            yield Embedded(stack.enter_context(EmbeddedCluster(brokers=3)))
            return
        kafka = Real(bootstrap, settings) if bootstrap is not None else Own(stack)
        try:
            yield kafka
        finally:
            kafka.delete_topics()


def round_trip(bootstrap: str, times: int = 11) -> float:
    """Return the median seconds until a broker has answered an ApiVersions request on an open connection."""
    host, _, port = bootstrap.split(",")[0].rpartition(":")
    # Length, ApiVersions (18) version 0, correlation id, no client id.
    request = struct.pack(">ihhih", 10, 18, 0, 1, -1)
    taken = []
    with socket.create_connection((host, int(port)), timeout=REACH_SECONDS) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(times):
            started = time.perf_counter()
            connection.sendall(request)
            (size,) = struct.unpack(">i", _exactly(connection, 4))
            _exactly(connection, size)
            taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def connect_time(host: str, port: int, times: int = 5) -> float:
    """Return the median seconds of a TCP connect: one round trip."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        with socket.create_connection((host, port), timeout=REACH_SECONDS):
            taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def _exactly(connection: socket.socket, size: int) -> bytes:
    parts = b""
    while len(parts) < size:
        part = connection.recv(size - len(parts))
        if not part:
            raise UnreachableError("the broker closed the connection")
        parts += part
    return parts
