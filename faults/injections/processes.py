"""Brokers and the controller, killed, stopped and restarted."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from faults.injections.fault import Fault

if TYPE_CHECKING:
    from random import Random

    from faults.cluster import FaultCluster
    from faults.running_client import RunningClient
    from faults.workload import Workload


def some_leader(cluster: FaultCluster, client: RunningClient, random: Random) -> int:
    """Return the leader of some partition of the round's topic."""
    return cluster.leader(client.workload.topic, random.randrange(client.workload.partitions))


class KillLeader(Fault):
    """`kill -9` of a leader; it comes back."""

    name, about = "kill-leader", "kill -9 of the leader of a partition; it is started again"
    acks_go_on = True

    def inject(self, cluster: FaultCluster, client: RunningClient, random: Random) -> None:
        """Kill it."""
        cluster.kill_broker(some_leader(cluster, client, random))


class KillFollower(Fault):
    """`kill -9` of a broker that leads nothing of the topic."""

    name, about = "kill-follower", "kill -9 of a broker that leads no partition of the topic; it is started again"
    acks_go_on = True

    def prepare(self, cluster: FaultCluster, workload: Workload, random: Random) -> Workload:
        """Leave one partition, or every broker would lead one."""
        return replace(workload, partitions=1)

    def inject(self, cluster: FaultCluster, client: RunningClient, random: Random) -> None:
        """Kill it."""
        leader = cluster.leader(client.workload.topic)
        cluster.kill_broker(random.choice([node for node in cluster.broker_ids if node != leader]))


class KillController(Fault):
    """`kill -9` of the controller."""

    name, about = "kill-controller", "kill -9 of the controller; it is started again"
    acks_go_on = True

    def inject(self, cluster: FaultCluster, client: RunningClient, random: Random) -> None:
        """Kill it."""
        cluster.kill_controller()


class PauseLeader(Fault):
    """SIGSTOP of a leader: what it was sent waits in its sockets, and may be written when nobody expects it (F2)."""

    name, about = "sigstop", "SIGSTOP of the leader of a partition, shorter or longer than brokers wait for it"
    acks_go_on = True
    seconds, long_seconds = (2.0, 5.0), (12.0, 45.0)

    def inject(self, cluster: FaultCluster, client: RunningClient, random: Random) -> None:
        """Stop it."""
        cluster.pause_broker(some_leader(cluster, client, random))


class PauseAll(Fault):
    """SIGSTOP of all brokers."""

    name, about = "all-paused", "SIGSTOP of all brokers"
    seconds, long_seconds = (1.0, 4.0), (5.0, 30.0)

    def inject(self, cluster: FaultCluster, client: RunningClient, random: Random) -> None:
        """Stop them."""
        for node in cluster.broker_ids:
            cluster.pause_broker(node)


class KillAll(Fault):
    """`kill -9` of all brokers at once."""

    name, about = "all-killed", "kill -9 of all brokers; they are started again"
    is_slow = True
    seconds, long_seconds = (1.0, 5.0), (5.0, 30.0)

    def inject(self, cluster: FaultCluster, client: RunningClient, random: Random) -> None:
        """Kill them."""
        for node in cluster.broker_ids:
            cluster.kill_broker(node)


class RollingRestart(Fault):
    """SIGTERM and a new start of one broker after the other, as an upgrade does it."""

    name, about = "rolling-restart", "SIGTERM and a new start of one broker after the other"
    is_slow = True
    acks_go_on = True
    seconds = (0.0, 0.5)

    def inject(self, cluster: FaultCluster, client: RunningClient, random: Random) -> None:
        """Restart them."""
        nodes = cluster.broker_ids
        random.shuffle(nodes)
        for node in nodes:
            cluster.stop_broker(node)
            cluster.start_broker(node)


class MinIsrUnmet(Fault):
    """SIGSTOP of two of three brokers: the third may not acknowledge."""

    name, about = "two-paused", "SIGSTOP of two of the three brokers: min.insync.replicas is not met"
    seconds, long_seconds = (1.0, 5.0), (8.0, 20.0)

    def inject(self, cluster: FaultCluster, client: RunningClient, random: Random) -> None:
        """Stop two."""
        for node in random.sample(cluster.broker_ids, 2):
            cluster.pause_broker(node)
