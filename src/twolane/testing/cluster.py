"""Three real brokers on this machine, without Docker."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

from twolane.testing import readers
from twolane.testing.broker import Address, BrokerProcess, Ports, random_id
from twolane.testing.errors import ClusterError
from twolane.testing.java import KAFKA_VERSION, find_program, kafka_jars
from twolane.testing.running import RunningKafka
from twolane.testing.wire import ClusterView, ask_metadata

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType
    from typing import Self

WATCHDOG = Path(__file__).with_name("_watchdog.py")
POLL_SECONDS = 0.05
START_SECONDS = 120.0
# First-tier compilation: three brokers start on two cores in two thirds of the time. A benchmark wants it off.
FAST_START = ("-XX:TieredStopAtLevel=1", "-Xshare:auto")
HEAP = ("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:-UsePerfData")


def _end_all(
    brokers: list[BrokerProcess], watchdog: subprocess.Popen[bytes], folder: Path, ports: Ports, owner: int
) -> None:
    """Kill every broker by its id, end the watchdog, remove the files."""
    if os.getpid() != owner:  # A forked child runs exit handlers too; the brokers are not its own.
        return
    for broker in brokers:
        with contextlib.suppress(ClusterError):
            broker.kill()
    if watchdog.stdin is not None:
        with contextlib.suppress(OSError):
            watchdog.stdin.close()
    watchdog.wait()
    shutil.rmtree(folder, ignore_errors=True)
    ports.release()


class BrokerProcesses(RunningKafka):
    """Owner of started brokers, of their files and ports, and of the watchdog that ends them.

    Parameters
    ----------
    brokers : mapping
        Id -> `BrokerProcess`, not started yet.
    folder : Path
        Removed at the end.
    ports : Ports
        Released at the end.
    jars : Path
    version : str
    others : sequence of BrokerProcess, optional
        Processes that are not for clients, started first.
    """

    def __init__(
        self,
        brokers: Mapping[int, BrokerProcess],
        folder: Path,
        ports: Ports,
        jars: Path,
        version: str,
        others: Sequence[BrokerProcess] = (),
    ) -> None:
        self.version = version
        self._jars = jars
        self._folder = folder
        self._brokers = dict(brokers)
        self._addresses = [one.address for one in brokers.values()]
        super().__init__(",".join(f"{one.host}:{one.client}" for one in self._addresses))
        self._watchdog = subprocess.Popen(
            [sys.executable, "-P", str(WATCHDOG), str(os.getpid()), str(folder)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        processes = [*others, *brokers.values()]
        self._finish = weakref.finalize(self, _end_all, processes, self._watchdog, folder, ports, os.getpid())
        self._is_disturbed = False
        try:
            for process in processes:
                self._tell_watchdog("+", process.start())
            self.wait_ready()
        except BaseException:
            self.close()
            raise

    def _start(self, node: int) -> None:
        self._tell_watchdog("+", self._brokers[node].start())

    def _tell_watchdog(self, sign: str, pid: int | None) -> None:
        if pid is not None and self._watchdog.stdin is not None:
            self._watchdog.stdin.write(f"{sign}{pid}\n".encode())
            self._watchdog.stdin.flush()

    def _broker(self, node: int) -> BrokerProcess:
        if not self._finish.alive:
            raise ClusterError("the cluster is closed")
        if node not in self._brokers:
            raise ClusterError(f"there is no broker {node}, only {sorted(self._brokers)}")
        return self._brokers[node]

    @property
    def broker_ids(self) -> list[int]:
        """Ids of the brokers, running or not."""
        return sorted(self._brokers)

    @property
    def proxied(self) -> dict[int, tuple[int, int]]:
        """Where a fault proxy belongs: broker id -> (port to listen on, port of the broker to connect to)."""
        return {one.node: (one.proxy, one.behind_proxy) for one in self._addresses}

    def address_of(self, listener: str) -> str:
        """Return the ``bootstrap.servers`` of one of the `listeners` that the cluster was made with."""
        return ",".join(f"{one.host}:{one.more[listener]}" for one in self._addresses)

    def pid(self, broker: int) -> int | None:
        """Return the process id of a running broker, else None."""
        return self._broker(broker).pid

    def wait_ready(self, timeout: float = START_SECONDS) -> None:
        """Wait until every broker that should answer does, and knows all of those.

        Raises
        ------
        ClusterError
            One ended instead, or the time is over; the message holds the ends of the logs.
        """
        deadline = time.monotonic() + timeout
        expected = {node for node, broker in self._brokers.items() if broker.answers}
        while True:
            views = self._views(None)
            if len(views) == len(expected) and all(expected <= set(view.brokers) for view in views):
                return
            gone = [node for node in expected if self._brokers[node].pid is None]
            if gone:
                raise ClusterError(f"brokers {gone} ended instead of starting:\n{self.logs()}")
            if time.monotonic() > deadline:
                raise ClusterError(f"brokers {sorted(expected)} are not ready after {timeout} s:\n{self.logs()}")
            time.sleep(POLL_SECONDS)

    def _views(self, topic: str | None) -> list[ClusterView]:
        views = []
        for broker in self._brokers.values():
            if broker.answers:
                with contextlib.suppress(OSError):
                    views.append(ask_metadata(broker.address.client, topic, host=broker.address.host))
        return views

    def stop_broker(self, broker: int) -> None:
        """Shut a broker down in order (SIGTERM): its partitions get other leaders first."""
        self._end(broker, BrokerProcess.stop)

    def kill_broker(self, broker: int) -> None:
        """End a broker at once (SIGKILL); others lead its partitions after about 3 s."""
        self._end(broker, BrokerProcess.kill)

    def _end(self, node: int, how: object) -> None:
        broker = self._broker(node)
        pid = broker.pid
        self._is_disturbed = True
        how(broker)  # type: ignore[operator]
        self._tell_watchdog("-", pid)

    def pause_broker(self, broker: int) -> None:
        """Stop a broker in its tracks (SIGSTOP); what clients send waits in its sockets."""
        self._is_disturbed = True
        self._broker(broker).pause()

    def resume_broker(self, broker: int) -> None:
        """Let a paused broker go on (SIGCONT)."""
        self._broker(broker).resume()

    def start_broker(self, broker: int, *, wait: bool = True) -> None:
        """Start a stopped or killed broker with the data it left; with `wait` until it is ready."""
        if self._broker(broker).pid is not None:
            raise ClusterError(f"broker {broker} is running")
        self._start(broker)
        if wait:
            self.wait_ready()

    def heal(self) -> None:
        """Make every broker run again; costs nothing where nothing was done to them."""
        for node, broker in self._brokers.items():
            if broker.pid is None:
                self._is_disturbed = True
                self._start(node)
            elif broker.is_paused:
                broker.resume()
        if self._is_disturbed:
            self.wait_ready()
            self._is_disturbed = False

    def logs(self, lines: int = 40) -> str:
        """Return the last lines of every broker's log."""
        return "\n".join(
            f"--- broker {node} ({self._brokers[node].log}) ---\n{self._brokers[node].tail(lines)}"
            for node in self.broker_ids
        )

    def dump_log(self, topic: str, partition: int = 0, broker: int | None = None) -> list[readers.DumpedRecord]:
        """Read a partition's files with Kafka's own DumpLogSegments, past brokers and clients. Takes about 2 s.

        Parameters
        ----------
        topic : str
        partition : int, default 0
        broker : int, optional
            Whose copy; the leader's by default.
        """
        node = self.leader(topic, partition) if broker is None else broker
        return readers.dump_log(self._jars, self._broker(node).data / f"{topic}-{partition}")

    def console_consume(self, topic: str, count: int, timeout: float = 30.0) -> list[readers.ConsumedRecord]:
        """Read a topic from the beginning with Kafka's own console consumer. Takes about 3 s.

        Parameters
        ----------
        topic : str
        count : int
            Records to wait for.
        timeout : float, default 30
            Seconds; fewer records than `count` are then returned.
        """
        return readers.console_consume(self._jars, self.bootstrap_servers, topic, count, timeout)

    def close(self) -> None:
        """Kill the brokers and remove their data. Harmless when done twice."""
        self._admin = None
        self._finish()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = self.bootstrap_servers if self._finish.alive else "closed"
        return f"<{type(self).__name__} {self.version}, {len(self._brokers)} brokers: {state}>"


class KafkaCluster(BrokerProcesses):
    """Apache Kafka: brokers of plain Java processes on free ports, each a broker and a controller (KRaft).

    Parameters
    ----------
    brokers : int, default 3
        Their ids are ``1`` to `brokers`.
    version : str, optional
        Of Apache Kafka.
    config : mapping, optional
        Broker settings on top of `twolane.testing.broker.SETTINGS`.
    listeners : sequence of str, optional
        Names of more listeners of every broker, see `address_of`; `config` says in ``listener.security.protocol.map``
        what each of them speaks.
    jvm_options : sequence of str, optional
        Default: compile quickly rather than well, which halves the start; give ``()`` where throughput matters.

    Raises
    ------
    ClusterUnavailableError
        Java or Maven is not installed.
    ClusterError
        The brokers did not start; the message holds the ends of their logs.

    Notes
    -----
    Kafka comes from Maven on the first use and stays in ``$XDG_CACHE_HOME/twolane``. Data lives in a temporary folder.
    The brokers end with `close`, with this object, at interpreter exit, and, by a watchdog process, with a parent that
    was killed. Unless `config` says otherwise: no automatic topics, replication 3, ``min.insync.replicas`` 2, a silent
    broker is given up after 3 s.

    Every broker has a second listener that sends clients to a port on which nothing listens yet, see `proxied`: a fault
    proxy put there sees the whole traffic.
    """

    def __init__(
        self,
        brokers: int = 3,
        *,
        version: str = KAFKA_VERSION,
        config: Mapping[str, object] | None = None,
        listeners: Sequence[str] = (),
        jvm_options: Sequence[str] = FAST_START,
    ) -> None:
        if brokers < 1:
            raise ValueError(f"a cluster has at least one broker, got {brokers}")
        # Before anything is made that would have to be unmade.
        find_program("java")
        jars = kafka_jars(version)
        reserved = Ports((4 + len(listeners)) * brokers)
        folder = Path(tempfile.mkdtemp(prefix="twolane-kafka-"))
        ports = iter(reserved.numbers)
        addresses = [
            Address(
                node,
                next(ports),
                next(ports),
                next(ports),
                next(ports),
                more={name: next(ports) for name in listeners},
            )
            for node in range(1, brokers + 1)
        ]
        settings = {**_smaller_replication(brokers), **(config or {})}
        cluster_id, options = random_id(), [*HEAP, *jvm_options]
        processes = {
            one.node: BrokerProcess(one, addresses, cluster_id, folder, jars, options, settings) for one in addresses
        }
        super().__init__(processes, folder, reserved, jars, version)


def _smaller_replication(brokers: int) -> dict[str, object]:
    """Return settings that let a cluster of one or two brokers work at all."""
    if brokers >= 3:
        return {}
    factors = ("default", "offsets.topic", "transaction.state.log")
    return {
        **{f"{name}.replication.factor": brokers for name in factors},
        "min.insync.replicas": 1,
        "transaction.state.log.min.isr": 1,
    }
