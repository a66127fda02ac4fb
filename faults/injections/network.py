"""Packets between a client and brokers, and among brokers: lost, refused, slow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from faults.injections.fault import Fault
from faults.injections.processes import some_leader

if TYPE_CHECKING:
    from random import Random

    from faults.cluster import FaultCluster
    from faults.namespaces import Namespaces
    from faults.running_client import RunningClient

# Which way nothing passes, as the node in question sees it.
WAYS = (("in",), ("out",), ("in", "out"))


def network(cluster: FaultCluster) -> Namespaces:
    """Return the namespaces of a cluster that has them."""
    assert cluster.network is not None
    return cluster.network


def cut(cluster: FaultCluster, node: int, other: str, ways: tuple[str, ...]) -> None:
    """Drop what passes between a node and an address."""
    rules = {"in": ("INPUT", "--source", other), "out": ("OUTPUT", "--destination", other)}
    for way in ways:
        network(cluster).rule(node, *rules[way], "--jump", "DROP")


class CutOffClient(Fault):
    """No packets between the client and one broker or all of them, in one direction or both."""

    name, about = "cut-off-client", "packets between the client and one broker or all are dropped, one way or both"
    needs = ("packets",)
    seconds, long_seconds = (1.0, 4.0), (8.0, 20.0)

    def inject(self, cluster: FaultCluster, client: RunningClient, random: Random) -> None:
        """Drop them."""
        leader, is_one, ways = some_leader(cluster, client, random), random.random() < 0.6, random.choice(WAYS)
        for node in [leader] if is_one else cluster.broker_ids:
            cut(cluster, node, network(cluster).client, ways)


class CutOffBrokers(Fault):
    """No packets between a leader and the other brokers, in one direction or both; clients reach all of them."""

    name, about = "cut-off-brokers", "packets between a leader and the other brokers are dropped, one way or both"
    needs = ("packets",)
    acks_go_on = True
    stops_transactions = True  # where the leader is their coordinator, which the controller still reaches
    seconds, long_seconds = (1.0, 5.0), (8.0, 20.0)

    def inject(self, cluster: FaultCluster, client: RunningClient, random: Random) -> None:
        """Drop them."""
        leader, ways = some_leader(cluster, client, random), random.choice(WAYS)
        for node in cluster.broker_ids:
            if node != leader:
                cut(cluster, leader, network(cluster).host(node), ways)


class IsolateLeader(Fault):
    """A leader that reaches neither the controller nor the other brokers, but clients: a zombie."""

    name, about = "isolated-leader", "a leader is cut off from the controller and the other brokers, not from clients"
    needs = ("packets",)
    acks_go_on = True
    seconds, long_seconds = (3.5, 6.0), (8.0, 20.0)

    def inject(self, cluster: FaultCluster, client: RunningClient, random: Random) -> None:
        """Drop them."""
        leader = some_leader(cluster, client, random)
        for node in network(cluster).nodes:
            if node != leader:
                cut(cluster, leader, network(cluster).host(node), ("in", "out"))


class ResetConnections(Fault):
    """Every packet of the client is answered by a reset."""

    name, about = "reset", "packets of the client to one broker or all are answered with a TCP reset"
    needs = ("packets",)
    seconds = (0.5, 3.0)

    def inject(self, cluster: FaultCluster, client: RunningClient, random: Random) -> None:
        """Refuse them."""
        leader, is_one = some_leader(cluster, client, random), random.random() < 0.6
        rule = ("INPUT", "--protocol", "tcp", "--source", network(cluster).client)
        for node in [leader] if is_one else cluster.broker_ids:
            network(cluster).rule(node, *rule, "--jump", "REJECT", "--reject-with", "tcp-reset")


class LosePackets(Fault):
    """A share of all packets to the brokers is lost."""

    name, about = "loss", "1 to 20 % of the packets to every broker, other brokers' too, are lost"
    needs = ("packets",)
    acks_go_on = True
    seconds, long_seconds = (1.5, 4.0), (8.0, 20.0)

    def inject(self, cluster: FaultCluster, client: RunningClient, random: Random) -> None:
        """Drop some."""
        share = random.choice([0.01, 0.05, 0.2])
        rule = ("INPUT", "--match", "statistic", "--mode", "random", "--probability", str(share), "--jump", "DROP")
        for node in cluster.broker_ids:
            network(cluster).rule(node, *rule)


class LimitRate(Fault):
    """A narrow line to one broker or all."""

    name, about = "slow-line", "0.256 to 8 Mbit/s to and from one broker or all: requests in parts, late answers"
    needs = ("namespaces",)
    acks_go_on = True
    seconds, long_seconds = (1.5, 4.0), (8.0, 20.0)

    def inject(self, cluster: FaultCluster, client: RunningClient, random: Random) -> None:
        """Limit it."""
        leader, is_one = some_leader(cluster, client, random), random.random() < 0.6
        kilobits = random.choice([256, 1_000, 8_000])
        for node in [leader] if is_one else cluster.broker_ids:
            network(cluster).limit(node, kilobits)
