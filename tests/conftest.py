"""Loads twolane's pytest plugin from the tree when it is not installed as one; the fixtures of more than one folder."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.support.description import describe_build
from tests.support.java_reader import JavaReader
from tests.support.proxy import FaultProxy
from twolane.testing import plugin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from twolane.testing import KafkaCluster


def pytest_configure(config: pytest.Config) -> None:
    # A shell that puts the suite in the background has it ignore Ctrl-C, which is what some tests are about.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # `pytest_plugins` would not do: it fails where the entry point has loaded the plugin under another name.
    if not config.pluginmanager.is_registered(plugin):
        config.pluginmanager.register(plugin, "twolane-in-tree")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say which tests share a worker of pytest-xdist: those of one file, and all that use the real brokers."""
    for item in items:
        uses_brokers = item.get_closest_marker("cluster") is not None
        item.add_marker(pytest.mark.xdist_group("brokers" if uses_brokers else item.path.as_posix()))


def pytest_report_header() -> str:
    return describe_build()


@pytest.fixture
def fault_proxy(kafka_cluster: KafkaCluster) -> Iterator[FaultProxy]:
    """A proxy in front of the real brokers; clients that should meet it use its `bootstrap_servers`."""
    with FaultProxy(kafka_cluster.proxied) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def java() -> Iterator[JavaReader]:
    """Apache's Avro and Java's DataInput, in one JVM for all tests of a process."""
    with JavaReader() as reader:
        yield reader
