"""pytest fixtures: fake producers, the embedded cluster, the real brokers, topics of a test's own.

All names begin with ``twolane_``, so that they meet no fixture or mark of the suite that they come into.

Loaded by itself where twolane is installed (entry point ``pytest11``). Nothing is started before a fixture asks for it.
"""

from __future__ import annotations

import contextlib
import os
import re
import uuid
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from twolane.testing import ClusterUnavailableError, EmbeddedCluster, ExternalCluster, FakeProducer, KafkaCluster

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

BOOTSTRAP_VARIABLE = "TWOLANE_TEST_BOOTSTRAP"
TOPIC_NAME_LENGTH = 60
LOG_LINES = 12

cluster_key: pytest.StashKey[KafkaCluster | ExternalCluster] = pytest.StashKey()


class TopicFactory(Protocol):
    """What the `twolane_topic` fixture is."""

    def __call__(self, cluster: Any, partitions: int = 1, **options: Any) -> str:
        """Make a topic in `cluster` and return its name."""


@pytest.fixture
def twolane_fake_producer() -> Iterator[FakeProducer]:
    """Make a SafeProducer without brokers; its topics have one partition."""
    with FakeProducer() as producer:
        yield producer


@pytest.fixture(scope="session")
def twolane_embedded_cluster_process() -> Iterator[EmbeddedCluster]:
    """Start one child process for the whole run; ask for `twolane_embedded_cluster` instead."""
    with EmbeddedCluster() as cluster:
        yield cluster


@pytest.fixture
def twolane_embedded_cluster(twolane_embedded_cluster_process: EmbeddedCluster) -> EmbeddedCluster:
    """Lend three mock brokers without topics, errors or delays, that track their requests.

    The process is shared by the whole run, the cluster in it is new for every test: its addresses change too.
    ``push_errors()`` scripts faults, ``records(topic)`` reads back. What a RecordMetadata says of a timestamp is always
    1234 here, with LOG_APPEND_TIME; the log has the time that was sent.
    """
    twolane_embedded_cluster_process.reset()
    twolane_embedded_cluster_process.start_tracking()
    return twolane_embedded_cluster_process


@pytest.fixture(scope="session")
def twolane_kafka_cluster(pytestconfig: pytest.Config) -> Iterator[KafkaCluster | ExternalCluster]:
    """Lend three real brokers, started once a run; before each test that uses them all are made to run again.

    With ``TWOLANE_TEST_BOOTSTRAP=host:port`` it is the cluster that runs there; tests that need to stop brokers are
    then skipped. Without Java and Maven all its tests are skipped. They carry the mark ``twolane_cluster``.
    """
    bootstrap = os.environ.get(BOOTSTRAP_VARIABLE)
    try:
        cluster = ExternalCluster(bootstrap) if bootstrap else KafkaCluster()
    except ClusterUnavailableError as error:
        pytest.skip(str(error))
    pytestconfig.stash[cluster_key] = cluster
    yield cluster
    del pytestconfig.stash[cluster_key]
    cluster.close()


@pytest.fixture
def twolane_topic(request: pytest.FixtureRequest) -> Iterator[TopicFactory]:
    """Make topics with names of their own: ``twolane_topic(cluster, partitions=3) -> name``.

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


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark that the real brokers' tests get."""
    config.addinivalue_line("markers", "twolane_cluster: needs real Kafka brokers")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark the tests that use the real brokers, so that ``-m "not twolane_cluster"`` leaves them out."""
    if _uses_brokers(item):
        item.add_marker("twolane_cluster")


def _uses_brokers(item: pytest.Item) -> bool:
    return "twolane_kafka_cluster" in getattr(item, "fixturenames", ())


@contextlib.contextmanager
def _unavailable_is_a_skip() -> Iterator[None]:
    try:
        yield
    except ClusterUnavailableError as error:
        pytest.skip(str(error))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """Make every broker run again, whatever the test before did; skip where a fixture asks for what cannot be done."""
    if cluster_key in item.config.stash and _uses_brokers(item):
        item.config.stash[cluster_key].heal()
    with _unavailable_is_a_skip():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Skip a test that asks a cluster for what it cannot do."""
    with _unavailable_is_a_skip():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the ends of the brokers' logs under a failed test."""
    report = yield
    if report.failed and cluster_key in item.config.stash and _uses_brokers(item):
        report.sections.append(("Kafka brokers", item.config.stash[cluster_key].logs(LOG_LINES)))
    return report
