"""Where the demo sends: the embedded cluster, or one that is running already."""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING

from confluent_kafka.admin import AdminClient, NewTopic

from twolane.testing import EmbeddedCluster

if TYPE_CHECKING:
    from collections.abc import Iterator

PARTITIONS = 12
TEN_YEARS_MS = 10 * 365 * 86_400_000
TOPIC_SETTINGS = {
    "message.timestamp.type": "CreateTime",
    # The flights left in 2013. A broker counts a record's age from its CreateTime: with the usual seven days it would
    # delete them behind the reader's back, and roll a new segment for every week of flights.
    "retention.ms": "-1",
    "segment.ms": str(TEN_YEARS_MS),
}
TIMEOUT = 30.0


@contextlib.contextmanager
def topics(bootstrap: str | None, names: list[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Make fresh topics; yield the bootstrap servers and each name's topic.

    Parameters
    ----------
    bootstrap : str or None
        Of a running cluster, whose topics get unique names and are deleted at the end. None starts the embedded one.
    names : list of str
    """
    if bootstrap is None:
        with EmbeddedCluster(brokers=3) as cluster:
            for name in names:
                cluster.create_topic(name, partitions=PARTITIONS)
            yield cluster.bootstrap_servers, {name: name for name in names}
        return
    admin = AdminClient({"bootstrap.servers": bootstrap})
    brokers = len(admin.list_topics(timeout=TIMEOUT).brokers)
    unique = {name: f"twolane-demo-{name}-{uuid.uuid4().hex[:8]}" for name in names}
    new = [NewTopic(topic, PARTITIONS, min(3, brokers), config=TOPIC_SETTINGS) for topic in unique.values()]
    for future in admin.create_topics(new, operation_timeout=TIMEOUT).values():
        future.result(TIMEOUT)
    try:
        yield bootstrap, unique
    finally:
        for future in admin.delete_topics(list(unique.values()), operation_timeout=TIMEOUT).values():
            future.result(TIMEOUT)
