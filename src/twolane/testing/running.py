"""What can be asked of any running Kafka: topics, leaders."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from twolane.testing.errors import ClusterError
from twolane.testing.records import LoggedRecord, read_records
from twolane.testing.wire import ClusterView, PartitionView

if TYPE_CHECKING:
    from collections.abc import Mapping

TOPIC_SECONDS = 20.0
POLL_SECONDS = 0.02


class RunningKafka:
    """Topics of a Kafka cluster that is known by its address.

    Parameters
    ----------
    bootstrap_servers : str
    """

    def __init__(self, bootstrap_servers: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._admin: AdminClient | None = None

    @property
    def bootstrap_servers(self) -> str:
        """Addresses of the brokers, comma-separated."""
        return self._bootstrap_servers

    @property
    def admin(self) -> AdminClient:
        """confluent-kafka's client for everything that has no method here."""
        if self._admin is None:
            config: dict[str, str | int | float | bool] = {
                "bootstrap.servers": self.bootstrap_servers,
                "log_level": 0,
                "reconnect.backoff.max.ms": 500,
            }
            self._admin = AdminClient(config)
        return self._admin

    def _result(self, futures: Mapping[str, Any], name: str) -> None:
        try:
            futures[name].result(TOPIC_SECONDS)
        except KafkaException as error:
            cause = error.args[0]
            raise ClusterError(f"topic {name!r}: {cause.str()}", code=cause.code()) from error

    def records(self, topic: str, timeout: float = 20.0) -> list[LoggedRecord]:
        """Read a topic from its beginning to its end with confluent-kafka's consumer, by partition and offset.

        Parameters
        ----------
        topic : str
        timeout : float, default 20
            Seconds.

        Raises
        ------
        ClusterError
            There is no such topic, or its end was not reached in time.
        """
        return read_records(self.bootstrap_servers, topic, timeout)

    def create_topic(
        self, name: str, partitions: int = 1, replication: int = 3, config: Mapping[str, object] | None = None
    ) -> None:
        """Make a topic and wait until it can be written to, whichever broker a client asks.

        Parameters
        ----------
        name : str
        partitions : int, default 1
        replication : int, default 3
        config : mapping, optional
            Topic settings, such as ``{"message.timestamp.type": "LogAppendTime"}``.

        Raises
        ------
        ClusterError
            The cluster refused, or took more than 20 s.
        """
        settings = {key: str(value) for key, value in (config or {}).items()}
        topic = NewTopic(name, num_partitions=partitions, replication_factor=replication, config=settings)
        self._result(self.admin.create_topics([topic]), name)
        self.wait_in_sync(name)

    def delete_topic(self, name: str, *, wait: bool = True) -> None:
        """Delete a topic; with ``wait=False`` some time soon."""
        futures = self.admin.delete_topics([name])
        if wait:
            self._result(futures, name)

    def leader(self, topic: str, partition: int = 0) -> int:
        """Return the broker that leads a partition, -1 while none does."""
        for view in self._views(topic):
            if partition in view.topics.get(topic, {}):
                return view.topics[topic][partition].leader
        raise ClusterError(f"topic {topic!r} has no partition {partition}")

    def wait_in_sync(self, topic: str, timeout: float = TOPIC_SECONDS) -> None:
        """Wait until every partition has its leader and all its replicas in sync, as every running broker sees it."""
        deadline = time.monotonic() + timeout
        while True:
            views = [view.topics.get(topic, {}) for view in self._views(topic)]
            if views and all(view and all(_is_whole(one) for one in view.values()) for view in views):
                return
            if time.monotonic() > deadline:
                raise ClusterError(f"topic {topic!r} is not whole after {timeout} s: {views}")
            time.sleep(POLL_SECONDS)

    def _views(self, topic: str) -> list[ClusterView]:
        """Return how the brokers that answer see one topic."""
        metadata = self.admin.list_topics(topic, timeout=5)
        brokers = {one.id: (str(one.host), int(one.port)) for one in metadata.brokers.values()}
        partitions = {
            number: PartitionView(one.leader, list(one.replicas), list(one.isrs))
            for number, one in metadata.topics[topic].partitions.items()
        }
        return [ClusterView(brokers, {topic: partitions})]


def _is_whole(partition: PartitionView) -> bool:
    return partition.leader >= 0 and sorted(partition.in_sync) == sorted(partition.replicas)
