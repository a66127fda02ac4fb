"""The examples of README and docs/ run, one page after the other, against the embedded cluster."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.packaging.sources import ROOT, sources

if TYPE_CHECKING:
    from twolane.testing import EmbeddedCluster

BLOCK = re.compile(r"^```python\n(.*?)^```", re.M | re.S)
ADDRESSES = re.compile(r"localhost:9092(,localhost:\d+)*")
PAGES = [path for path in sources(".md") if BLOCK.search((ROOT / path).read_text())]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the folder in which the examples run, with the files that they read."""
    times = [dt.datetime(2013, 1, day, tzinfo=dt.UTC) for day in (1, 2, 3)]
    flights = pa.table({"time_hour": times, "carrier": ["UA", "AA", "B6"], "tailnum": ["N14228", None, "N804JB"]})
    (tmp_path / "flights").mkdir()
    for name in ("flights.parquet", "flights/2013.parquet"):
        pq.write_table(flights, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("path", PAGES, ids=str)
def test_examples_run(path: Path, embedded_cluster: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", embedded_cluster.bootstrap_servers)
    text = (ROOT / path).read_text()
    names: dict[str, object] = {"__name__": "example"}
    for match in BLOCK.finditer(text):
        # Blank lines in front, so that an error names the line of the page.
        lines = "\n" * text.count("\n", 0, match.start(1)) + match.group(1)
        code = ADDRESSES.sub(embedded_cluster.bootstrap_servers, lines)
        exec(compile(code, str(path), "exec"), names)
