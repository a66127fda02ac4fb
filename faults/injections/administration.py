"""What administrators do while records are written."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from confluent_kafka import ElectionType, KafkaException, TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from confluent_kafka.cimpl import NewPartitions

from faults.injections.fault import Fault
from faults.reassign import set_replicas

if TYPE_CHECKING:
    from random import Random

    from faults.cluster import FaultCluster
    from faults.running_client import RunningClient

ADMIN_SECONDS = 20.0


def set_topic(cluster: FaultCluster, topic: str, name: str, value: object) -> None:
    """Set one setting of a topic; None brings its default back."""
    how = AlterConfigOpType.DELETE if value is None else AlterConfigOpType.SET
    entry = ConfigEntry(name, "" if value is None else str(value), incremental_operation=how)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    cluster.admin.incremental_alter_configs([resource])[resource].result(ADMIN_SECONDS)


class RaiseMinIsr(Fault):
    """More replicas wanted than there are: NOT_ENOUGH_REPLICAS, for all partitions, from one moment to the next."""

    name, about = "min-isr", "min.insync.replicas of the topic is raised above its replicas, and lowered again"
    seconds, long_seconds = (0.5, 4.0), (8.0, 20.0)

    def inject(self, cluster: FaultCluster, client: RunningClient, random: Random) -> None:
        """Raise it."""
        set_topic(cluster, client.workload.topic, "min.insync.replicas", len(cluster.broker_ids) + 1)

    def heal(self, cluster: FaultCluster, client: RunningClient) -> None:
        """Lower it."""
        set_topic(cluster, client.workload.topic, "min.insync.replicas", None)


class LowerMaxMessageBytes(Fault):
    """Batches that were taken a moment ago are refused for good (MSG_SIZE_TOO_LARGE)."""

    name, about = "max-message-bytes", "max.message.bytes of the topic is lowered below what is sent, and raised again"

    def inject(self, cluster: FaultCluster, client: RunningClient, random: Random) -> None:
        """Lower it."""
        set_topic(cluster, client.workload.topic, "max.message.bytes", random.choice([100, 400, 2_000]))

    def heal(self, cluster: FaultCluster, client: RunningClient) -> None:
        """Raise it."""
        set_topic(cluster, client.workload.topic, "max.message.bytes", None)


class MoveLeaders(Fault):
    """Every partition gets another leader, several times over, as when a cluster is balanced."""

    name, about = "leaders-move", "other preferred leaders, elected; up to four times in a row"
    acks_go_on = True
    seconds = (0.0, 0.5)

    def inject(self, cluster: FaultCluster, client: RunningClient, random: Random) -> None:
        """Move them."""
        topic = client.workload.topic
        partitions = range(client.workload.partitions)
        for _ in range(random.randint(1, 4)):
            replicas = {one: random.sample(cluster.broker_ids, len(cluster.broker_ids)) for one in partitions}
            set_replicas(cluster.bootstrap_servers, topic, replicas)
            places = [TopicPartition(topic, one) for one in partitions]
            elected = cluster.admin.elect_leaders(ElectionType.PREFERRED, places)
            # Those that lead already are told as errors of their partitions.
            with contextlib.suppress(KafkaException):
                elected.result(ADMIN_SECONDS)
            time.sleep(random.uniform(0.1, 0.4))


class RecreateTopic(Fault):
    """The topic is deleted, and another of the same name made: offsets start again, sequence numbers are unknown."""

    name, about = "recreate-topic", "the topic is deleted, and made again under the same name"
    seconds = (0.0, 2.0)

    def inject(self, cluster: FaultCluster, client: RunningClient, random: Random) -> None:
        """Delete it."""
        cluster.delete_topic(client.workload.topic)

    def heal(self, cluster: FaultCluster, client: RunningClient) -> None:
        """Make it again."""
        cluster.create_topic(client.workload.topic, client.workload.partitions)
        self.facts["log_gone_before"] = time.monotonic()


class AddPartitions(Fault):
    """Keys may belong elsewhere from now."""

    name, about = "partitions-added", "one to six more partitions"
    acks_go_on = True
    seconds = (0.0, 1.0)

    def inject(self, cluster: FaultCluster, client: RunningClient, random: Random) -> None:
        """Add them."""
        topic = client.workload.topic
        total = client.workload.partitions + random.randint(1, 6)
        cluster.admin.create_partitions([NewPartitions(topic, total)])[topic].result(ADMIN_SECONDS)

    def heal(self, cluster: FaultCluster, client: RunningClient) -> None:
        """Wait until all brokers know them."""
        cluster.wait_in_sync(client.workload.topic)
