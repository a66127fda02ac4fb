"""The pytest plugin where it is not installed, the profiles of Hypothesis, and the fixtures of more than one folder."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from faults.proxy import FaultProxy
from tests.encoding.tally import PROFILE
from tests.support.description import describe_build
from tests.support.java_reader import JavaReader
from tests.support.leaks import no_leaks, pytest_runtest_makereport
from twolane import SafeProducer, ThroughputProducer
from twolane.testing import plugin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from twolane.testing import EmbeddedCluster, KafkaCluster

__all__ = ["no_leaks", "pytest_runtest_makereport"]

# One tally counts all examples of its test: that the fixture is the same for all of them is the point.
HEALTHY = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
# CI takes the same examples every time: a change is judged by what it changed. Here and in `make fuzz` they are new.
settings.register_profile(
    "default",
    max_examples=300,
    deadline=None,
    suppress_health_check=HEALTHY,
    derandomize=bool(os.environ.get("CI")),
)
settings.register_profile("fuzz", settings.get_profile("default"), print_blob=True, derandomize=False)
settings.load_profile(PROFILE)


def pytest_configure(config: pytest.Config) -> None:
    # A shell that puts the suite in the background has it ignore Ctrl-C, which is what some tests are about.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # `pytest_plugins` would not do: it fails where the entry point has loaded the plugin under another name.
    if not config.pluginmanager.is_registered(plugin):
        config.pluginmanager.register(plugin, "twolane-in-tree")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks at the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say which tests share a worker of pytest-xdist: those of one file, and all that use the real brokers.

    What takes long is begun first, so that no worker is left with it at the end: the brokers' tests, then files with a
    test that is slow or checks thousands of values, then the files with the most tests.
    """
    groups = {}
    for item in items:
        group = "brokers" if item.get_closest_marker("cluster") else item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))
        groups.setdefault(group, []).append(item)

    def order(group: str) -> tuple[bool, bool, int]:
        is_long = any(item.get_closest_marker(mark) for item in groups[group] for mark in ("slow", "fuzz"))
        return group != "brokers", not is_long, -len(groups[group])

    items[:] = [item for group in sorted(groups, key=order) for item in groups[group]]


@pytest.fixture
def embedded_cluster(twolane_embedded_cluster: EmbeddedCluster) -> EmbeddedCluster:
    """The plugin's, under the name of these tests."""
    return twolane_embedded_cluster


@pytest.fixture(scope="session")
def kafka_cluster(twolane_kafka_cluster: KafkaCluster) -> KafkaCluster:
    """The plugin's, under the name of these tests."""
    return twolane_kafka_cluster


@pytest.fixture
def topic(twolane_topic: plugin.TopicFactory) -> plugin.TopicFactory:
    """The plugin's, under the name of these tests."""
    return twolane_topic


@pytest.fixture(params=["safe", "throughput"])
def either_producer(
    request: pytest.FixtureRequest, embedded_cluster: EmbeddedCluster
) -> Iterator[SafeProducer | ThroughputProducer]:
    """A producer of each lane in turn."""
    servers = embedded_cluster.bootstrap_servers
    if request.param == "safe":
        with SafeProducer(bootstrap_servers=servers, check_topics=False) as safe:
            yield safe
    else:
        with ThroughputProducer(bootstrap_servers=servers) as throughput:
            yield throughput


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark what uses the real brokers with these tests' own word, too."""
    if "twolane_kafka_cluster" in getattr(item, "fixturenames", ()):
        item.add_marker("cluster")


def pytest_report_header() -> str:
    return describe_build()


@pytest.fixture
def fault_proxy(kafka_cluster: KafkaCluster) -> Iterator[FaultProxy]:
    """A proxy in front of the real brokers; clients that should meet it use its `bootstrap_servers`."""
    with FaultProxy(kafka_cluster.proxied) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def java() -> Iterator[JavaReader]:
    """Java's Avro, Protobuf and DataInput, in one JVM for all tests of a process."""
    with JavaReader() as reader:
        yield reader
