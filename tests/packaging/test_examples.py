"""The examples of README and docs/ run: on the embedded cluster, those of the tutorial on real brokers."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from confluent_kafka.admin import AdminClient

from tests.packaging.sources import ROOT, sources
from tests.support.pages import run
from tests.support.schema_registry import SchemaRegistry

if TYPE_CHECKING:
    from twolane.testing import EmbeddedCluster, KafkaCluster

TUTORIAL = ROOT / "docs/tutorial.md"
# docs/cli.md has shell commands only; test_cli_page runs them.
PAGES = [path for path in sources(".md") if "\n```python\n" in (ROOT / path).read_text() and ROOT / path != TUTORIAL]


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
def test_examples_run(
    path: Path, embedded_cluster: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", embedded_cluster.bootstrap_servers)
    run(ROOT / path, embedded_cluster.bootstrap_servers, capsys)


def test_the_tutorial_runs(
    kafka_cluster: KafkaCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On real brokers, as its second half asks for, and a registry over HTTP; Docker alone is left out."""
    monkeypatch.chdir(tmp_path)
    servers = kafka_cluster.bootstrap_servers
    with SchemaRegistry() as registry:
        run(TUTORIAL, servers, capsys, {"http://localhost:8081": registry.url})
    admin = AdminClient({"bootstrap.servers": servers})
    admin.delete_topics(["flights"])["flights"].result(60)
