"""Loads twolane's pytest plugin from the tree when it is not installed as one; the fixtures of more than one folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.description import describe_build
from tests.support.proxy import FaultProxy
from twolane.testing import plugin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from twolane.testing import KafkaCluster


def pytest_configure(config: pytest.Config) -> None:
    # `pytest_plugins` would not do: it fails where the entry point has loaded the plugin under another name.
    if not config.pluginmanager.is_registered(plugin):
        config.pluginmanager.register(plugin, "twolane-in-tree")


def pytest_report_header() -> str:
    return describe_build()


@pytest.fixture
def fault_proxy(kafka_cluster: KafkaCluster) -> Iterator[FaultProxy]:
    """A proxy in front of the real brokers; clients that should meet it use its `bootstrap_servers`."""
    with FaultProxy(kafka_cluster.proxied) as proxy:
        yield proxy
