"""Without its package a bridge says which extra brings it."""

from __future__ import annotations

import importlib
import sys

import pytest


@pytest.mark.parametrize(
    ("bridge", "package"), [("prometheus", "prometheus_client.core"), ("opentelemetry", "opentelemetry.trace")]
)
def test_a_bridge_names_its_extra(monkeypatch, bridge, package):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"twolane.contrib.{bridge}", raising=False)
    with pytest.raises(ModuleNotFoundError, match=rf"pip install twolane\[{bridge}\]$"):
        importlib.import_module(f"twolane.contrib.{bridge}")
