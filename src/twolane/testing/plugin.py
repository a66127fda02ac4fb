"""pytest fixtures: the embedded cluster, the real brokers, topics of a test's own.

Loaded by itself where twolane is installed (entry point ``pytest11``). Nothing of Kafka is imported before a fixture
asks for it, so test runs that do not use twolane pay next to nothing.
"""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from twolane.testing import EmbeddedCluster

TOPIC_NAME_LENGTH = 60


class TopicFactory(Protocol):
    """What the `topic` fixture is."""

    def __call__(self, cluster: Any, partitions: int = 1, **options: Any) -> str:
        """Make a topic in `cluster` and return its name."""


@pytest.fixture(scope="session")
def embedded_cluster_process() -> Iterator[EmbeddedCluster]:
    """One child process for the whole run; ask for `embedded_cluster` instead."""
    from twolane.testing import EmbeddedCluster

    with EmbeddedCluster() as cluster:
        yield cluster


@pytest.fixture
def embedded_cluster(embedded_cluster_process: EmbeddedCluster) -> EmbeddedCluster:
    """Three mock brokers without topics, errors or delays, that track their requests.

    The process is shared by the whole run, the cluster in it is new for every test: its addresses change too.
    """
    embedded_cluster_process.reset()
    embedded_cluster_process.start_tracking()
    return embedded_cluster_process


@pytest.fixture
def topic(request: pytest.FixtureRequest) -> Iterator[TopicFactory]:
    """Make topics with names of their own: ``topic(cluster, partitions=3) -> name``.

    `cluster` is any of this package; further arguments go to its ``create_topic``. At the end of the test the topics of
    clusters that can delete are deleted.
    """
    made: list[tuple[Any, str]] = []

    def make(cluster: Any, partitions: int = 1, **options: Any) -> str:
        readable = re.sub(r"[^A-Za-z0-9._-]+", "-", request.node.name).strip("-")[:TOPIC_NAME_LENGTH]
        name = f"{readable}-{uuid.uuid4().hex[:8]}"
        cluster.create_topic(name, partitions, **options)
        made.append((cluster, name))
        return name

    yield make
    for cluster, name in made:
        if hasattr(cluster, "delete_topic"):
            cluster.delete_topic(name, wait=False)
