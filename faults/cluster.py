"""Real brokers to be broken: a controller of its own and three brokers, each in a network namespace where possible.

The controller is a process of its own, so that the end of a broker never takes the quorum with it.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from faults import namespaces
from faults.namespaces import CommandError, Namespaces
from twolane.testing.broker import HOST, Address, BrokerProcess, Ports, random_id
from twolane.testing.cluster import FAST_START, HEAP, BrokerProcesses
from twolane.testing.errors import ClusterError
from twolane.testing.java import KAFKA_VERSION, find_program, kafka_jars

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

BROKERS = (1, 2, 3)
CONTROLLER = 9
DISK_BROKER = 3
# More than is ever written; topics are deleted after each round.
DISK_BYTES = 2 << 30
TRANSACTIONS = "__transaction_state"

# A silent broker is given up after 3 s (`twolane.testing.broker.SETTINGS`), or as late as Kafka does it by default.
PROFILES: dict[str, dict[str, object]] = {
    "fast": {},
    "defaults": {
        "broker.heartbeat.interval.ms": 2_000,
        "broker.session.timeout.ms": 9_000,
        "replica.lag.time.max.ms": 30_000,
        "replica.fetch.wait.max.ms": 500,
        "replica.fetch.backoff.ms": 1_000,
    },
}
SETTINGS: dict[str, object] = {"log.segment.delete.delay.ms": 1_000, "log.segment.bytes": 64 << 20}


class Node(BrokerProcess):
    """A broker or a controller.

    `before` its command line stands what brings it into its namespace; `data` is where it writes if not in `folder`.
    """

    def __init__(
        self,
        address: Address,
        cluster_id: str,
        folder: Path,
        jars: Path,
        settings: Mapping[str, object],
        before: Sequence[str] = (),
        data: Path | None = None,
    ) -> None:
        lines = {**settings, **({} if data is None else {"log.dirs": data})}
        super().__init__(address, [address], cluster_id, folder, jars, [*HEAP, *FAST_START], lines)
        self._command = [*before, *self._command]
        if data is not None:
            shutil.copy(self.data / "meta.properties", data)
            self.data = data


class Disk:
    """A file system of limited size, in memory."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        folder.mkdir()
        namespaces.run("mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", name, str(folder))
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        """Leave no room."""
        with contextlib.suppress(OSError), self._ballast.open("wb", buffering=0) as file:
            while file.write(bytes(1 << 20)):
                pass

    def free(self) -> None:
        """Leave all the room there was."""
        self._ballast.unlink(missing_ok=True)


class FaultCluster(BrokerProcesses):
    """A controller and three brokers with all that can be done to them; a context manager.

    Parameters
    ----------
    isolated : bool, default True
        In namespaces where they are possible; else everything is on the loopback interface.
    profile : str, default "fast"
        One of `PROFILES`.

    Attributes
    ----------
    network : Namespaces or None
    disk : Disk or None
        Where broker `DISK_BROKER` writes.
    lacks : dict
        What is not to be had here (``namespaces``, ``packets``) -> why.
    """

    def __init__(self, *, isolated: bool = True, profile: str = "fast") -> None:
        find_program("java")
        jars = kafka_jars(KAFKA_VERSION)
        self.profile = profile
        self.network: Namespaces | None = None
        self.disk: Disk | None = None
        self._claim: namespaces.Claim | None = None
        self._root = Path(tempfile.mkdtemp(prefix="twolane-faults-"))
        reserved = Ports(4 * len(BROKERS) + 1)
        try:
            self.lacks = self._isolate() if isolated else {"namespaces": "left out (--loopback)"}
            if self.network is None or not self.network.can_filter:
                self.lacks["packets"] = self.lacks.get("namespaces", "needs iptables")
            brokers = self._make_nodes(iter(reserved.numbers), jars)
            super().__init__(brokers, self._root, reserved, jars, KAFKA_VERSION, others=[self._controller])
        except BaseException:
            self._remove_network()
            shutil.rmtree(self._root, ignore_errors=True)
            reserved.release()
            raise

    def _isolate(self) -> dict[str, str]:
        """Make namespaces and the disk; return why there are none."""
        reason = namespaces.missing()
        if reason:
            return {"namespaces": reason}
        namespaces.remove_leftovers()
        self._claim = namespaces.claim()
        try:
            self.network = Namespaces([*BROKERS, CONTROLLER], self._claim.number)
            self.disk = Disk(self._root / "disk", self.network.bridge)
        except CommandError as error:
            self._remove_network()
            return {"namespaces": str(error)}
        return {}

    def _make_nodes(self, ports: Iterator[int], jars: Path) -> dict[int, BrokerProcess]:
        cluster_id = random_id()
        controller = Address(CONTROLLER, 0, next(ports), 0, 0, self._host(CONTROLLER))
        common = {
            "controller.quorum.voters": f"{CONTROLLER}@{controller.host}:{controller.controller}",
            **SETTINGS,
            **PROFILES[self.profile],
        }
        settings = {**common, **_controller_lines(controller)}
        self._controller = Node(controller, cluster_id, self._root, jars, settings, self._inside(CONTROLLER))
        brokers: dict[int, BrokerProcess] = {}
        for node in BROKERS:
            address = Address(node, next(ports), next(ports), next(ports), next(ports), self._host(node))
            data = self.disk.folder if node == DISK_BROKER and self.disk is not None else None
            settings = {**common, **_broker_lines(address)}
            brokers[node] = Node(address, cluster_id, self._root, jars, settings, self._inside(node), data)
        return brokers

    def _host(self, node: int) -> str:
        return HOST if self.network is None else self.network.host(node)

    def _inside(self, node: int) -> list[str]:
        return [] if self.network is None else self.network.inside(node)

    @property
    def hosts(self) -> dict[int, str]:
        """Broker id -> its address."""
        return {node: self._host(node) for node in BROKERS}

    def kill_controller(self) -> None:
        """End the controller at once: brokers go on, but nothing about them can change."""
        self._is_disturbed = True
        pid = self._controller.pid
        self._controller.kill()
        self._tell_watchdog("-", pid)

    def pause_controller(self) -> None:
        """Stop the controller in its tracks."""
        self._is_disturbed = True
        self._controller.pause()

    def heal(self) -> None:
        """Let every packet pass, free the disk, make every process run, and wait until the brokers know each other."""
        if self.network is not None:
            self.network.clear()
        if self.disk is not None:
            self.disk.free()
        if self._controller.pid is None:
            self._tell_watchdog("+", self._controller.start())
        elif self._controller.is_paused:
            self._controller.resume()
        try:
            super().heal()
        except ClusterError:  # one that was about to end by itself, as brokers without a disk do
            super().heal()

    def disturb(self) -> None:
        """Say that something was done to brokers: the next `heal` looks at them all."""
        self._is_disturbed = True

    def rest(self) -> None:
        """Wait until a round leaves nothing to the next: transactions' own topic has all its replicas again."""
        self.heal()
        if TRANSACTIONS in self.admin.list_topics(timeout=10).topics:
            self.wait_in_sync(TRANSACTIONS, 60)

    def close(self) -> None:
        """End the processes; remove namespaces, mounts and files. Harmless when done twice."""
        super().close()
        self._remove_network()
        shutil.rmtree(self._root, ignore_errors=True)

    def _remove_network(self) -> None:
        if self._claim is not None:
            namespaces.remove(self._claim.number)
            self._claim.release()
            self._claim = self.network = self.disk = None


def _broker_lines(address: Address) -> dict[str, object]:
    return {
        "process.roles": "broker",
        "listeners": f"CLIENT://{address.host}:{address.client},PROXIED://{address.host}:{address.behind_proxy}",
        # Clients, and so the proxy, are outside the namespaces.
        "advertised.listeners": f"CLIENT://{address.host}:{address.client},PROXIED://{HOST}:{address.proxy}",
    }


def _controller_lines(address: Address) -> dict[str, object]:
    listener = f"CONTROLLER://{address.host}:{address.controller}"
    return {"process.roles": "controller", "listeners": listener, "advertised.listeners": listener}
