"""The client itself: interrupted, ended, killed, frozen, forked, with callbacks that raise."""

from __future__ import annotations

import signal
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from faults.injections.fault import Fault

if TYPE_CHECKING:
    from random import Random

    from faults.cluster import FaultCluster
    from faults.running_client import RunningClient
    from faults.workload import Workload


class Signalled(Fault):
    """The client gets a signal, ends, and is started again."""

    number: ClassVar[signal.Signals]
    seconds = (0.0, 0.3)

    def inject(self, cluster: FaultCluster, client: RunningClient, random: Random) -> None:
        """Send it, and wait for the client's end."""
        client.signal(self.number)
        client.wait()

    def heal(self, cluster: FaultCluster, client: RunningClient) -> None:
        """Start the next client."""
        client.restart()
        client.wait_started()


class Interrupt(Signalled):
    """Ctrl-C at any moment."""

    name, about = "sigint", "Ctrl-C in whatever the client is doing; the next one is started"
    number = signal.SIGINT


class Terminate(Signalled):
    """An orderly end, as a service manager asks for it."""

    name, about = "sigterm", "SIGTERM: the client sends what it has and ends; the next one is started"
    number = signal.SIGTERM


class Kill(Signalled):
    """`kill -9`: what was not acknowledged has no verdict."""

    name, about = "sigkill", "kill -9 of the client; the next one is started"
    number = signal.SIGKILL

    def inject(self, cluster: FaultCluster, client: RunningClient, random: Random) -> None:
        """Kill it."""
        self.facts["is_killed"] = True
        super().inject(cluster, client, random)


class Freeze(Fault):
    """The client stands still, and its deadlines pass."""

    name, about = "frozen-client", "SIGSTOP of the client, for longer than some of its deadlines"
    seconds, long_seconds = (1.0, 7.0), (12.0, 45.0)

    def inject(self, cluster: FaultCluster, client: RunningClient, random: Random) -> None:
        """Stop it."""
        self.facts["may_run_late"] = True
        client.signal(signal.SIGSTOP)

    def heal(self, cluster: FaultCluster, client: RunningClient) -> None:
        """Let it go on."""
        client.signal(signal.SIGCONT)


class Behaviour(Fault):
    """A client that does something difficult all the time."""

    behaviour: ClassVar[str]
    acks_go_on = True
    seconds = (1.0, 2.0)

    def prepare(self, cluster: FaultCluster, workload: Workload, random: Random) -> Workload:
        """Tell it."""
        return replace(workload, behaviour=self.behaviour)

    def inject(self, cluster: FaultCluster, client: RunningClient, random: Random) -> None:
        """Do nothing more: the client does it."""

    def heal(self, cluster: FaultCluster, client: RunningClient) -> None:
        """Do nothing: it is no hindrance."""


class Fork(Behaviour):
    """Children that use the producer are refused, and end; the parent goes on."""

    name, about = "fork", "the client forks; its children try to use the producer"
    behaviour = "fork"


class RaisingCallbacks(Behaviour):
    """Exceptions in `on_delivery`."""

    name, about = "raising-callbacks", "the client's callbacks raise"
    behaviour = "raising_callbacks"


class Cycles(Behaviour):
    """Producers made and closed while another sends."""

    name, about = "cycles", "the client makes and closes up to 1 000 producers while one sends"
    behaviour = "cycles"
