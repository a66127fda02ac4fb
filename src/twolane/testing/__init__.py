"""Kafka for tests: producers without brokers, a cluster in a child process, and three real brokers.

`FakeProducer`, `FakeThroughputProducer`, `AsyncFakeProducer` and `AsyncFakeThroughputProducer` check, encode and keep
records as the real ones would send them.

`EmbeddedCluster` is librdkafka's mock cluster in a child process: ready in a fifth of a second, scriptable faults, no
replication. `KafkaCluster` is Apache Kafka itself: three brokers of plain Java processes. Both come as pytest fixtures,
see `twolane.testing.plugin`.
"""

from twolane.testing.cluster import KafkaCluster
from twolane.testing.codes import ApiKey
from twolane.testing.embedded import EmbeddedCluster, Request
from twolane.testing.errors import ClusterError, ClusterUnavailableError
from twolane.testing.external import ExternalCluster
from twolane.testing.fake import FakeProducer
from twolane.testing.fake_aio import AsyncFakeProducer, AsyncFakeThroughputProducer
from twolane.testing.fake_throughput import FakeThroughputProducer
from twolane.testing.records import LoggedRecord

__all__ = [
    "ApiKey",
    "AsyncFakeProducer",
    "AsyncFakeThroughputProducer",
    "ClusterError",
    "ClusterUnavailableError",
    "EmbeddedCluster",
    "ExternalCluster",
    "FakeProducer",
    "FakeThroughputProducer",
    "KafkaCluster",
    "LoggedRecord",
    "Request",
]
