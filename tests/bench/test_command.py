"""``python -m bench`` as it is typed; every script once, with one value."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pyperf
import pytest
from click.testing import CliRunner

from bench import clusters
from bench.__main__ import main
from bench.clusters import TOPIC_BYTES, Real
from bench.encoding import bench_avro, bench_json, bench_layouts, bench_protobuf
from bench.results import load
from bench.verify import Log
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from types import ModuleType

    from twolane.testing import KafkaCluster

ROOT = Path(__file__).parents[2]


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "bench", *map(str, arguments)]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]), "COLUMNS": "200"}


def bench(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, check=False, cwd=ROOT, env=environment(), timeout=120
    )


def test_help_names_the_commands_and_their_options() -> None:
    assert all(word in bench("--help").stdout for word in ("run", "report", "compare"))
    said = bench("run", "--help").stdout
    assert all(word in said for word in ("--bootstrap-servers", "--fast", "--rigorous", "--output", "--list"))


def test_the_list_says_what_is_void_and_why() -> None:
    said = bench("run", "--list", "--cluster", "own", "SafeProducer.send_batch", "rtt=20ms").stdout
    assert "SafeProducer.send_batch (wait) acks=all in-flight=1 idempotence=on rtt=20ms batch=100" in said
    assert "idempotence needs acks=all" in said
    assert "rtt=0ms" not in said


@pytest.mark.slow
def test_one_value_of_everybody(tmp_path: Path) -> None:
    """The peers' part of the suite: each contender that works on the embedded cluster, the report at the end."""
    done = bench("run", "--preset", "peers", "--smoke", "--output", tmp_path)
    assert done.returncode == 0, done.stderr
    rows = load(tmp_path / "embedded.json")
    assert {"SafeProducer.send", "ThroughputProducer.send_batch"} <= {row.case.contender for row in rows}
    assert all(row.is_unstable("wall") for row in rows), "one value is never trusted"
    assert "Peers: 100 ready bytes" in done.stdout
    assert pyperf.BenchmarkSuite.load(str(tmp_path / "embedded.json")).get_benchmarks()


def test_ctrl_c_keeps_what_was_measured(tmp_path: Path) -> None:
    process = subprocess.Popen(
        command("run", "SafeProducer", "--output", tmp_path, "--rounds", "50"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment(),
        # As from a terminal; a background job of a shell would ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    )
    path = tmp_path / "embedded.json"
    wait_until(path.exists)
    process.send_signal(signal.SIGINT)
    said, complaint = process.communicate(timeout=60)
    assert process.returncode == 130, complaint
    assert f"Interrupted; what was measured is in {path}" in said
    assert load(path)
    assert json.loads((tmp_path / "embedded.notes.json").read_text())["ended"] == {"interrupted": "Ctrl-C"}


def test_nobody_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "REACH_SECONDS", 0.5)
    done = CliRunner().invoke(main, ["run", "--smoke", "--bootstrap-servers", "127.0.0.1:1"])
    assert done.exit_code == 1
    assert "Error: 127.0.0.1:1: no broker answered" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_pattern_that_matches_nothing_is_an_error(tmp_path: Path) -> None:
    done = bench("run", "no such lane", "--output", tmp_path)
    assert done.returncode == 2
    assert "no case matches no such lane" in done.stderr


def script(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=environment(),
        timeout=120,
    )


def test_a_script_of_pyperf_runs_once() -> None:
    done = script("bench.encoding.bench_timestamps", "--debug-single-value", "--inherit-environ=PYTHONPATH")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "module", [bench_avro, bench_protobuf, bench_json, bench_layouts], ids=lambda module: module.__name__
)
def test_every_case_of_a_script_is_made_and_checked(module: ModuleType) -> None:
    # As scripts they are a process for each case.
    assert module.CASES
    for case in module.CASES.values():
        case()


def test_the_floor_runs_once() -> None:
    done = script("bench.floor", "--records", "2000", "--waiting-records", "20", "--rounds", "1")
    assert done.returncode == 0, done.stderr
    assert "cpu_to_floor" in done.stdout


def test_the_curve_runs_once() -> None:
    done = script("bench.floor.curve", "--records", "10000", "--rounds", "1", "--curves", "partitions")
    assert done.returncode == 0, done.stderr
    assert "over partitions: the dearest" in done.stdout


def test_the_stream_runs_once() -> None:
    done = script("bench.floor.stream", "--calls", "5", "--rounds", "1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("records_per_request") == 6


def test_the_calls_run_once() -> None:
    done = script("bench.floor.calls", "--records", "3000", "--rounds", "1")
    assert done.returncode == 0, done.stderr
    assert [done.stdout.count(f"'call': {size},") for size in (100, 1_000, 3_000)] == [2, 2, 2]


@pytest.mark.cluster
def test_real_brokers_are_measured(kafka_cluster: KafkaCluster, tmp_path: Path) -> None:
    servers = kafka_cluster.bootstrap_servers
    done = bench(
        "run", "--smoke", "--bootstrap-servers", servers, "SafeProducer", "batch=100 ", "rtt=0ms", "--output", tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert {row.case.idempotence for row in load(tmp_path / "brokers.json")} == {False, True}


@pytest.mark.cluster
def test_the_next_topic_is_known_when_the_last_is_full(kafka_cluster: KafkaCluster) -> None:
    kafka = Real(kafka_cluster.bootstrap_servers)
    topics = set()
    with Log(kafka.bootstrap_servers) as log:
        for _ in range(4):
            topic = kafka.topic(1, TOPIC_BYTES)
            topics.add(topic)
            assert log.ends(topic, 1) == [0]
    kafka.delete_topics()
    assert len(topics) == 4
