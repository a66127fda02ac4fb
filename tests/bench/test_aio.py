"""bench.aio: contenders run and their records are counted in the log; targets are medians of a round's ratios."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import pages
from bench.aio import page
from bench.aio.__main__ import PARTITIONS, rows_of, run
from bench.aio.targets import AIOKAFKA, BATCHER, BLOCKING, POLL_THREAD, SAFE, SUBMIT, rows
from bench.clusters import EMBEDDED, OWN
from bench.machine import write


@pytest.mark.parametrize("name", [SAFE, SUBMIT, BATCHER, POLL_THREAD, BLOCKING])
def test_a_contender_is_verified(embedded_cluster, topic, name):
    line = run(name, embedded_cluster.bootstrap_servers, topic(embedded_cluster, PARTITIONS), 5, 0.1, "on")
    assert line["records"] > 0
    assert line["p50"] <= line["p99"]
    assert rows_of({(name, 5): [line]})[0]["contender"] == name


def test_targets_are_medians_of_ratios():
    def line(rate: float, cpu: float) -> dict[str, float]:
        return {"records": 1000, "wall": 1000 / rate, "cpu": cpu * 1000, "p50": 0.001, "p99": 0.002}

    runs = {
        (SAFE, 50): [line(300, 1), line(100, 1), line(100, 1)],
        (AIOKAFKA, 50): [line(100, 4), line(100, 1), line(50, 4)],
    }
    reached = {row["target"]: (row["measured"], row["reached"]) for row in rows(runs, is_real=True)}
    assert reached == {"50 tasks, sends/s": (2.0, True), "50 tasks, CPU per record": (0.25, True)}


def test_the_page_takes_the_figures_of_both_clusters(tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    path = tmp_path / "docs" / "asyncio.md"
    path.parent.mkdir()
    path.write_text("before\n<!-- bench.aio -->\nold\n<!-- /bench.aio -->\nbehind\n")
    line = {"records": 1234, "wall": 1.0, "cpu": 0.01, "p50": 0.001, "p99": 0.002}
    runs = {(SAFE, 50): [line], (AIOKAFKA, 50): [line], (SAFE, 1): [line], (BLOCKING, 1): [line]}
    part = {"runs": rows_of(runs), "targets": rows(runs, is_real=True)}
    write(tmp_path / "aio.json", "a test", **{EMBEDDED: part, OWN: part})
    page.write(Path("aio.json"))
    text = path.read_text()
    assert text.startswith("before\n<!-- bench.aio -->\nSends")
    assert text.endswith("raw: [aio.json](../aio.json).\n<!-- /bench.aio -->\nbehind\n")
    assert text.count(f"| {SAFE} | 1 234 · 8.1 · 1.0 | 1 234 · 8.1 · 1.0 |") == 2
    assert text.count(f"| one task, p50 | {BLOCKING} | <= 1.15 | 1.0 |") == 2
