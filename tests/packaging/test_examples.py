"""The examples of README and docs/ run, one page after the other, against the embedded cluster."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.packaging.sources import ROOT, sources

if TYPE_CHECKING:
    from twolane.testing import EmbeddedCluster

BLOCK = re.compile(r"^```python\n(.*?)^```", re.M | re.S)
ADDRESSES = "localhost:9092,localhost:9093,localhost:9094"
PAGES = [path for path in sources(".md") if BLOCK.search((ROOT / path).read_text())]


@pytest.mark.parametrize("path", PAGES, ids=str)
def test_examples_run(path: Path, embedded_cluster: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", embedded_cluster.bootstrap_servers)
    text = (ROOT / path).read_text()
    names: dict[str, object] = {"__name__": "example"}
    for match in BLOCK.finditer(text):
        # Blank lines in front, so that an error names the line of the page.
        lines = "\n" * text.count("\n", 0, match.start(1)) + match.group(1)
        code = lines.replace(ADDRESSES, embedded_cluster.bootstrap_servers)
        exec(compile(code, str(path), "exec"), names)
