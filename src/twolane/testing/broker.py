"""One real broker: a Java process in KRaft combined mode (broker and controller in one)."""

from __future__ import annotations

import base64
import os
import random
import signal
import socket
import subprocess
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from twolane.testing.errors import ClusterError
from twolane.testing.java import java_command

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

HOST = "127.0.0.1"
# Below the range from which the kernel gives ports to outgoing connections: the port of a stopped broker stays free.
PORTS = range(20_000, 32_000)
STOP_SECONDS = 30.0

# Warnings, and what a broker says about being up: the rest drowns both under a failed test.
LOGGING = """\
rootLogger.level=WARN
rootLogger.appenderRef.console.ref=Console
appender.console.type=Console
appender.console.name=Console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{HH:mm:ss.SSS} %p %c{1}: %m%n
logger.server.name=kafka.server.BrokerServer
logger.server.level=INFO
logger.lifecycle.name=kafka.server.BrokerLifecycleManager
logger.lifecycle.level=INFO
"""

# Faults are the point of this cluster: a dead or stopped broker is noticed after 3 s instead of 9, a follower that lags
# leaves the in-sync set after 3 s instead of 30. Nearly every test makes a topic, and the first acks=all record in it
# waits until the followers' running fetches have ended: 25 ms with these two figures, 160 ms and now and then 1 s
# without. Retention is off, or records with the CreateTime of real data, some years back, would vanish within five
# minutes. The rest makes three brokers small enough for a laptop.
SETTINGS: dict[str, object] = {
    "auto.create.topics.enable": "false",
    "default.replication.factor": 3,
    "min.insync.replicas": 2,
    "unclean.leader.election.enable": "false",
    "broker.heartbeat.interval.ms": 500,
    "broker.session.timeout.ms": 3000,
    "replica.lag.time.max.ms": 3000,
    "replica.fetch.wait.max.ms": 100,
    "replica.fetch.backoff.ms": 50,
    "log.retention.ms": -1,
    "log.cleaner.dedupe.buffer.size": 4 << 20,
    "num.network.threads": 2,
    "num.io.threads": 4,
    "offsets.topic.replication.factor": 3,
    "offsets.topic.num.partitions": 3,
    "transaction.state.log.replication.factor": 3,
    "transaction.state.log.min.isr": 2,
    "transaction.state.log.num.partitions": 3,
    "group.initial.rebalance.delay.ms": 0,
}


class Ports:
    """Ports of the loopback interface, kept from every other cluster on this machine until `release`.

    Nothing listens on them when they are chosen. That alone would not do: a broker takes seconds to listen, and a
    proxy listens only when a test wants it. So each port is also guarded by a name in Linux's abstract socket
    namespace, which the kernel takes back however the process ends.

    Parameters
    ----------
    count : int

    Attributes
    ----------
    numbers : list of int
    """

    def __init__(self, count: int) -> None:
        self.numbers: list[int] = []
        self._guards: list[socket.socket] = []
        for port in random.sample(PORTS, len(PORTS)):
            if len(self.numbers) == count:
                return
            guard = socket.socket(socket.AF_UNIX)
            try:
                guard.bind(f"\0twolane-testing-port-{port}")
                with socket.socket() as probe:
                    probe.bind((HOST, port))
            except OSError:
                guard.close()
            else:
                self.numbers.append(port)
                self._guards.append(guard)
        self.release()
        raise ClusterError(f"fewer than {count} free ports in {PORTS}")

    def release(self) -> None:
        """Let others have them."""
        while self._guards:
            self._guards.pop().close()


def random_id() -> str:
    """Return a fresh id in Kafka's spelling: 22 characters of URL-safe base64, not starting with a dash."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text


@dataclass(frozen=True)
class Address:
    """Ports of one broker: for clients, for the quorum, behind a fault proxy, and of `more` listeners by name.

    A client that comes through `behind_proxy` is sent to `proxy` for this broker: what listens there sees all of
    that client's traffic, without rewriting an answer.
    """

    node: int
    client: int
    controller: int
    behind_proxy: int
    proxy: int
    host: str = HOST
    more: Mapping[str, int] = field(default_factory=dict)


class BrokerProcess:
    """Owner of one broker's Java process and its files.

    Parameters
    ----------
    address : Address
    cluster : sequence of Address
        All brokers, this one included.
    cluster_id : str
    folder : Path
        Of the cluster; settings, data and log of this broker go into it.
    command : sequence of str
        Java's options.
    jars : Path
    settings : mapping
        On top of `SETTINGS`.
    """

    def __init__(
        self,
        address: Address,
        cluster: Sequence[Address],
        cluster_id: str,
        folder: Path,
        jars: Path,
        options: Sequence[str],
        settings: Mapping[str, object],
    ) -> None:
        self.address = address
        self.data = folder / f"data-{address.node}"
        self.log = folder / f"broker-{address.node}.log"
        self.is_paused = False
        self._process: subprocess.Popen[bytes] | None = None
        properties = folder / f"broker-{address.node}.properties"
        logging = folder / "log4j2.properties"
        logging.write_text(LOGGING)
        properties.write_text(_properties(address, cluster, self.data, settings))
        self._format(cluster_id)
        self._command = java_command(
            jars, "kafka.Kafka", [str(properties)], [*options, f"-Dlog4j2.configurationFile={logging}"]
        )

    def _format(self, cluster_id: str) -> None:
        # What `kafka-storage format` writes; three Java processes less at every start.
        self.data.mkdir()
        lines = {"version": 1, "cluster.id": cluster_id, "node.id": self.address.node, "directory.id": random_id()}
        text = "".join(f"{key}={value}\n" for key, value in lines.items())
        (self.data / "meta.properties").write_text(text)

    @property
    def pid(self) -> int | None:
        """Process id while it runs (paused counts as running)."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def answers(self) -> bool:
        """Whether it runs and is not paused."""
        return self.pid is not None and not self.is_paused

    def start(self) -> int:
        """Start the process and return its id; ready is another matter."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.data.parent,
                # Ctrl-C is for the tests; the brokers end with the cluster.
                start_new_session=True,
            )
        self.is_paused = False
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the running process; `ClusterError` where it does not run."""
        if self.pid is None:
            raise ClusterError(f"broker {self.address.node} is not running")
        os.kill(self.pid, number)

    def pause(self) -> None:
        """Stop the process in its tracks; connections stay open."""
        self.signal(signal.SIGSTOP)
        self.is_paused = True

    def resume(self) -> None:
        """Let a paused process go on."""
        self.signal(signal.SIGCONT)
        self.is_paused = False

    def stop(self) -> None:
        """Shut down in Kafka's own orderly way: leaders move away first."""
        self.resume()
        self.signal(signal.SIGTERM)
        self.wait(STOP_SECONDS)

    def kill(self) -> None:
        """End the process at once."""
        self.signal(signal.SIGKILL)
        self.wait(STOP_SECONDS)

    def wait(self, timeout: float) -> None:
        """Wait for the end of the process."""
        if self._process is not None:
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired as error:
                raise ClusterError(f"broker {self.address.node} did not end within {timeout} s") from error

    def tail(self, lines: int) -> str:
        """Return the last lines of its log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])


def _properties(address: Address, cluster: Sequence[Address], data: Path, settings: Mapping[str, object]) -> str:
    listeners = {"CLIENT": address.client, "PROXIED": address.behind_proxy, **address.more}
    lines: dict[str, object] = {
        "process.roles": "broker,controller",
        "node.id": address.node,
        "controller.quorum.voters": ",".join(f"{one.node}@{HOST}:{one.controller}" for one in cluster),
        "listeners": _listeners({**listeners, "CONTROLLER": address.controller}),
        "advertised.listeners": _listeners({**listeners, "PROXIED": address.proxy}),
        "listener.security.protocol.map": "CLIENT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "CLIENT",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": data,
        **SETTINGS,
        **settings,
    }
    return "".join(f"{key}={value}\n" for key, value in lines.items())


def _listeners(ports: Mapping[str, int]) -> str:
    return ",".join(f"{name}://{HOST}:{port}" for name, port in ports.items())
