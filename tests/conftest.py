"""Loads twolane's pytest plugin from the tree when it is not installed as one, and says what is being tested."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twolane.testing import plugin

if TYPE_CHECKING:
    import pytest


def pytest_configure(config: pytest.Config) -> None:
    # `pytest_plugins` would not do: it fails where the entry point has loaded the plugin under another name.
    if not config.pluginmanager.is_registered(plugin):
        config.pluginmanager.register(plugin, "twolane-in-tree")


def pytest_report_header() -> str:
    return plugin.describe_build()
