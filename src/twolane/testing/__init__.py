"""Kafka for tests: a cluster without a network of its own, and three real brokers.

`EmbeddedCluster` is librdkafka's mock cluster in a child process: ready in a fifth of a second, scriptable faults, no
replication. `KafkaCluster` is Apache Kafka itself: three brokers of plain Java processes. Both come as pytest fixtures,
see `twolane.testing.plugin`.
"""

from twolane.testing.cluster import KafkaCluster
from twolane.testing.codes import ApiKey
from twolane.testing.embedded import EmbeddedCluster, Request
from twolane.testing.errors import ClusterError, ClusterUnavailableError
from twolane.testing.external import ExternalCluster

__all__ = [
    "ApiKey",
    "ClusterError",
    "ClusterUnavailableError",
    "EmbeddedCluster",
    "ExternalCluster",
    "KafkaCluster",
    "Request",
]
