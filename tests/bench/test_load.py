"""The comparison of loads runs; its figures are `make figures`' business."""

from __future__ import annotations

import json
import sys

import fastavro
import pytest

from bench.load import __main__ as bench_load
from bench.load import stream
from bench.load.files import flights_table, synthetic_table, write
from bench.load.pandas_avro import schema_of


def test_contenders_run_once(tmp_path, monkeypatch, capsys):
    path = tmp_path / "load.json"
    words = [
        "no rows",
        "Parquet to Avro",
        "kcat, JSON",
        "pandas",
        "--embedded",
        "--rows",
        "500",
        "--rounds",
        "1",
        "--json",
        str(path),
    ]
    monkeypatch.setattr(sys, "argv", ["bench.load", *words])
    bench_load.main()
    found = json.loads(path.read_text())
    ours = [row for row in found["runs"] if row["contender"].startswith("twolane")]
    assert len(ours) == 3
    assert all(row["cpu_us_per_record"] > 0 for row in found["runs"])
    assert [row["peer"] for row in found["targets"]][-1] == bench_load.PANDAS
    assert "times_cheaper" in capsys.readouterr().out


def test_a_log_without_the_rows_is_no_figure(embedded_cluster):
    embedded_cluster.create_topic("t", bench_load.PARTITIONS)
    log = bench_load.LogTail({"bootstrap.servers": embedded_cluster.bootstrap_servers})
    with pytest.raises(SystemExit, match="nobody: 0 records in the log, of 3: no figures"):
        bench_load.run("nobody", ["true"], log, "t", 3)
    with pytest.raises(SystemExit, match="nobody ended with 1"):
        bench_load.run("nobody", ["false"], log, "t", 0)
    log.close()


@pytest.mark.parametrize("pieces", [lambda: flights_table(20), lambda: synthetic_table(20)])
def test_both_files_have_the_same_rows(tmp_path, pieces):
    files = write(tmp_path, pieces())
    lines = [json.loads(line) for line in files.jsonl.read_text().splitlines()]
    assert files.rows == len(lines) == 20
    schema = fastavro.parse_schema(json.loads(schema_of(str(files.parquet))))
    assert [field["name"] for field in schema["fields"]] == list(lines[0])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("lane", list(stream.LANES))
def test_a_long_stream_is_measured_and_counted(lane):
    line = stream.run(lane, 200_000)
    assert line["written"] == 200_000
    # The kernel counts pages for each thread and adds them up later: even a peak may be read some tenths lower again.
    assert -1 <= line["risen_in_second_half_mib"] <= line["risen_mib"] + 1
    assert line["risen_mib"] <= line["bound_mib"]
