"""The comparison of engines' sinks runs, without an engine; its figures are `make bench-engines`' business."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka import Producer

from bench import pages
from bench.sinks import __main__ as bench_sinks
from bench.sinks import data, page, usage
from bench.sinks.cases import CASES, Case
from bench.sinks.log import Log
from bench.verify import UnverifiedError

PARTITIONS = bench_sinks.PARTITIONS
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@linux
def test_contenders_run_and_are_counted(tmp_path, monkeypatch, capsys):
    path = tmp_path / "sinks.json"
    words = ["pool: no sink", "pool: twolane, Avro", "--embedded", "--rows", "2000", "--rounds", "1", "--workers", "1"]
    monkeypatch.setattr(sys, "argv", ["bench.sinks", *words, "--json", str(path)])
    bench_sinks.main()
    runs = json.loads(path.read_text())["runs"]
    assert [(run["contender"], run["workers"]) for run in runs] == [
        ("no sink", 1),
        ("twolane, Avro, throughput", 1),
    ]
    assert runs[1]["task_cpu_us"] > runs[0]["task_cpu_us"]
    assert "records_per_second" in capsys.readouterr().out


def _send(cluster, rows):
    producer = Producer({"bootstrap.servers": cluster.bootstrap_servers})
    for row in rows:
        producer.produce("t", json.dumps(row), row["sensor"], partition=row["id"] % PARTITIONS)
    assert producer.flush(30) == 0


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([*map(data.row, range(29))], "29 records in the log, of 30"),
        ([*map(data.row, range(30)), data.row(3)], "31 records in the log, of 30"),
        ([*map(data.row, range(29)), data.row(3)], "30 records have 29 rows"),
        ([*map(data.row, range(29)), {**data.row(29), "value": 0.5}], "partition 5 offset 2: b'sensor-0029'"),
        ([*map(data.row, range(30))], ""),
    ],
)
def test_a_log_without_the_rows_is_no_figure(embedded_cluster, rows, complaint):
    embedded_cluster.create_topic("t", PARTITIONS)
    log = Log(embedded_cluster.bootstrap_servers, PARTITIONS)
    before = log.ends("t")
    _send(embedded_cluster, rows)
    if complaint:
        with pytest.raises(UnverifiedError, match=complaint):
            log.check("t", before, 30, "json", is_whole=True)
    else:
        log.check("t", before, 30, "json", is_whole=True)
    log.close()


BURN = """
import os, sys, time
if sys.argv[1] == "orphan" and os.fork():
    os._exit(0)
while time.process_time() < 0.3:
    pass
os.write(1, b"x")
if sys.argv[1] == "orphan":
    time.sleep(60)
"""
FAMILY = """
import os, subprocess, sys
from bench.sinks import usage
usage.keep_orphans()
read, write = os.pipe()
for how in ("waited for", "orphan"):
    subprocess.run([sys.executable, sys.argv[1], how], stdout=write, check=True)
    os.read(read, 1)
print("burnt", flush=True)
input()
"""


@linux
def test_cpu_of_children_counts_also_when_they_have_ended(tmp_path):
    (tmp_path / "burn.py").write_text(BURN)
    process = subprocess.Popen(
        [sys.executable, "-c", FAMILY, str(tmp_path / "burn.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(bench_sinks.ROOT)},
    )
    assert process.stdout.readline() == b"burnt\n"
    found = usage.of_tree(process.pid)
    process.communicate(b"\n")
    (orphan,) = usage.alive(found.processes)
    os.kill(orphan, signal.SIGKILL)
    assert found.cpu >= 0.55
    assert len(found.processes) == 2


def test_every_contender_has_a_reader():
    assert {case.reader for case in CASES if case.serializer} == set(data.READERS)


def _report(engine: str) -> dict:
    lines = [{"wall": wall, "cpu": wall, "task_cpu": None, "ended": 0} for wall in (1.0, 2.0, 3.0)]
    cases = {case.name: case for case in CASES if case.engine == engine}
    runs = {(2, case): lines for case in cases.values()}
    runs[2, cases["no sink"]] = [{**line, "cpu": 0.5} for line in lines]
    table = bench_sinks.rows_of(runs, 1_000_000)
    return {"runs": table, "targets": bench_sinks.compared(table)}


def test_ratios_are_those_of_medians():
    found = _report("spark")
    ours = next(run for run in found["runs"] if run["contender"] == "twolane, JSON, safe")
    assert (ours["records_per_second"], ours["cpu_us_per_record"], ours["above_engine_us"]) == (500_000, 2.0, 1.5)
    assert ours["cpu_us_per_record_iqr"] == 0.5
    assert {one["times_cheaper"] for one in found["targets"]} == {1.0}
    # A contender that costs no more than the engine has no ratio.
    table = bench_sinks.rows_of({(2, Case("ray", "no sink")): [{"wall": 1, "cpu": 1, "task_cpu": 0.0, "ended": 0}]}, 10)
    assert bench_sinks.compared(table) == []


def test_pages_get_their_figures(tmp_path, monkeypatch):
    parts = [_report(engine) for engine in ("spark", "ray", "dask")]
    report = {
        "date": "2026-01-01T00:00:00",
        "machine": {"cpus": 2, "cpu": "some", "load_1min": 0.1},
        "versions": {"python": "3.13", "librdkafka": "2.16.0"},
        "settings": {"rows": 1_000_000, "tasks": 8, "rounds": 3, "columns": 5, "partitions": 12, "brokers": 3},
        "engines": {"spark": "4.3.0", "spark-sql-kafka": "4.2.0", "ray": "2.60.0", "dask": "2026.8.0"},
        **{key: [line for part in parts for line in part[key]] for key in ("runs", "targets")},
    }
    (tmp_path / "bench/results/some").mkdir(parents=True)
    (tmp_path / "bench/results/some" / page.NAME).write_text(json.dumps(report))
    (tmp_path / "docs").mkdir()
    for name in page.PAGES:
        (tmp_path / "docs" / name).write_text("# Page\n")
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    for _ in range(2):  # the second time the place is there
        page.write()
        spark, others = ((tmp_path / "docs" / name).read_text() for name in page.PAGES)
        assert spark.count(page.TITLE) == others.count(page.TITLE) == 1
    assert "| twolane, JSON, safe | 2 | 500 000 (67%) | 2.00 (50%) | 1.50 |" in spark
    assert "| twolane, JSON, safe | write_kafka, JSON | 2 | 8.0 | 1.0 | 1.0 |" in others
    assert "**Dask**" in others


@pytest.mark.parametrize("name", page.PAGES)
def test_a_page_shows_the_newest_figures_or_none(name):
    if list(Path(pages.ROOT).glob(f"bench/results/*/{page.NAME}")):
        assert page.text(name) in (pages.ROOT / "docs" / name).read_text(), "run python -m bench.sinks.page"
    else:
        assert not page.has_place(name)
