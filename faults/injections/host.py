"""The machine itself: a full disk, names that cannot be resolved."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from faults.injections.fault import Fault

if TYPE_CHECKING:
    from random import Random

    from faults.cluster import FaultCluster
    from faults.running_client import RunningClient
    from faults.workload import Workload

BOOTSTRAP_NAME = "kafka.twolane"
# Bound over /etc in a mount namespace of the client's own: no name is asked of the network.
UNSHARE = """\
mount --bind "$1/hosts" /etc/hosts && mount --bind "$1/resolv.conf" /etc/resolv.conf && shift && exec "$@"
"""


class FillDisk(Fault):
    """No room on a broker's disk; it ends then, its partitions get other leaders, and it comes back."""

    name, about = "disk-full", "no room left where one broker writes; room again, and a new start"
    needs = ("namespaces",)
    is_slow = True
    acks_go_on = True
    seconds = (2.0, 6.0)

    def inject(self, cluster: FaultCluster, client: RunningClient, random: Random) -> None:
        """Fill it."""
        assert cluster.disk is not None
        cluster.disk.fill()
        cluster.disturb()


class BootstrapUnknown(Fault):
    """The bootstrap servers' name cannot be resolved when the client starts."""

    name, about = "dns", "the bootstrap servers' name cannot be resolved at first"
    needs = ("namespaces",)
    starts_first = True
    seconds, long_seconds = (1.0, 3.0), (5.0, 12.0)
    _folder: tempfile.TemporaryDirectory[str] | None = None

    def prepare(self, cluster: FaultCluster, workload: Workload, random: Random) -> Workload:
        """Make the files that the client sees instead of /etc/hosts and /etc/resolv.conf."""
        self._folder = tempfile.TemporaryDirectory(prefix="twolane-faults-names-")
        self._hosts = Path(self._folder.name, "hosts")
        self._hosts.write_text("127.0.0.1 localhost\n")
        Path(self._folder.name, "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
        first = workload.bootstrap.split(",")[0]
        self._address, _, port = first.rpartition(":")
        return replace(workload, bootstrap=f"{BOOTSTRAP_NAME}:{port}")

    def before(self) -> list[str]:
        """Return the command that binds them."""
        assert self._folder is not None
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", UNSHARE, "sh", self._folder.name]

    def inject(self, cluster: FaultCluster, client: RunningClient, random: Random) -> None:
        """Do nothing more: the name is not there."""

    def heal(self, cluster: FaultCluster, client: RunningClient) -> None:
        """Let the name be known."""
        with self._hosts.open("a") as file:
            file.write(f"{self._address} {BOOTSTRAP_NAME}\n")

    def finish(self) -> None:
        """Remove the files."""
        if self._folder is not None:
            self._folder.cleanup()
