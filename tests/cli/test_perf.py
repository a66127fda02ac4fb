"""``twolane perf``: what it prints, and that it was sent."""

from __future__ import annotations

import json
import re
import signal

import pytest

from twolane.cli import perf
from twolane.cli.exits import Exit
from twolane.cli.perf import Figures, Payloads
from twolane.stats import LatencyHistogram
from twolane.testing import ApiKey

LANES = pytest.mark.parametrize("lane", ["safe", "throughput"])
# What scripts look for in kafka-producer-perf-test's output.
WINDOW = r"\d+ records sent, \d+\.\d records/sec \(\d+\.\d\d MB/sec\), \d+\.\d ms avg latency, \d+\.\d ms max latency\."
SUMMARY = (
    r"(\d+) records sent, (\d+\.\d{6}) records/sec \((\d+\.\d\d) MB/sec\), (\d+\.\d\d) ms avg latency, "
    r"(\d+\.\d\d) ms max latency, (\d+) ms 50th, (\d+) ms 95th, (\d+) ms 99th, (\d+) ms 99\.9th\."
)


@LANES
def test_the_summary_line(run, embedded_cluster, lane):
    embedded_cluster.create_topic("t", 2)
    properties = [f"bootstrap.servers={embedded_cluster.bootstrap_servers}", "acks=all", "client.id=me"]
    result = run(
        "perf",
        "--producer-props",
        *properties,
        "--topic",
        "t",
        "--num-records",
        3000,
        "--record-size",
        50,
        "--throughput",
        -1,
        "--lane",
        lane,
        "--warmup-records",
        100,
    )
    assert result.exit_code == 0, result.output
    warm, line = result.stdout.splitlines()
    assert warm == "100 warmup records sent."
    found = re.fullmatch(SUMMARY, line)
    assert found
    records, rate, megabytes = (float(text) for text in found.groups()[:3])
    assert records == 3000
    assert megabytes == pytest.approx(rate * 50 / 2**20, abs=0.006)
    log = embedded_cluster.records("t")
    assert len(log) == 3100
    assert all(re.fullmatch(rb"[A-Z]{50}", one.value) for one in log)


@LANES
@pytest.mark.parametrize("flags", [["--transaction-duration-ms", 1], ["--transactional-id", "perf"]], ids=str)
def test_transactions(run, embedded_cluster, lane, flags):
    """Each lasts as long as is said, 1 ms or three seconds: sixty thousand records take longer than the one."""
    embedded_cluster.create_topic("t", 2)
    embedded_cluster.clear_requests()
    where = ["-b", embedded_cluster.bootstrap_servers, "-t", "t", "--lane", lane]
    result = run("perf", *where, "--num-records", 60_000, "--record-size", 10, "--json", *flags)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["records"] == 60_000
    ends = len(embedded_cluster.requests(ApiKey.END_TXN))
    assert ends > 1 if 1 in flags else ends > 0


def test_json_and_java_spellings(run, embedded_cluster, tmp_path):
    embedded_cluster.create_topic("t")
    (tmp_path / "lines").write_bytes(b"one;two;;")
    (tmp_path / "config").write_text("linger.ms=0\n")
    result = run(
        "perf",
        f"--bootstrap-server={embedded_cluster.bootstrap_servers}",
        "--producer.config",
        tmp_path / "config",
        "--json",
        "--topic",
        "t",
        "--num-records",
        10,
        "--payload-file",
        tmp_path / "lines",
        "--payload-delimiter",
        ";",
        "--command-property=client.id=me",
    )
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["records"], found["log_growth"], found["not_written"], found["unknown"]) == (10, 10, 0, 0)
    assert found["avg_ms"] > 0
    assert {one.value for one in embedded_cluster.records("t")} <= {b"one", b"two"}


def test_a_rate_windows_and_numbers(run, embedded_cluster):
    embedded_cluster.create_topic("t")
    result = run(
        "perf",
        "-b",
        embedded_cluster.bootstrap_servers,
        "-t",
        "t",
        "--num-records",
        60,
        "--payload-monotonic",
        "--throughput",
        200,
        "--reporting-interval",
        50,
        "--print-metrics",
    )
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    windows = [line for line in lines if re.fullmatch(WINDOW, line)]
    assert windows
    (summary,) = [found for line in lines if (found := re.fullmatch(SUMMARY, line))]
    assert float(summary[2]) < 60 / 0.289  # the last call goes at 0.29 s
    assert any(line.startswith("written ") and line.endswith(": 60.000") for line in lines)
    assert [one.value for one in embedded_cluster.records("t")] == [b"%d" % number for number in range(60)]


def test_records_that_fail(run, embedded_cluster):
    embedded_cluster.create_topic("t")
    embedded_cluster.push_errors(ApiKey.PRODUCE, ["TOPIC_AUTHORIZATION_FAILED"])
    where = ["-b", embedded_cluster.bootstrap_servers, "-t", "t", "--num-records", 10, "--record-size", 10]
    result = run("perf", *where)
    assert result.exit_code == Exit.NOT_WRITTEN
    assert "10 not written, 0 unknown" in result.stderr
    assert result.stdout.startswith("0 records sent")


def test_a_log_that_is_too_short_is_said(run, embedded_cluster, monkeypatch):
    embedded_cluster.create_topic("t")
    monkeypatch.setattr(perf.LogTail, "ends", lambda self, topic, partitions: {"0": 0})
    where = ["-b", embedded_cluster.bootstrap_servers, "-t", "t", "--num-records", 10, "--record-size", 10]
    result = run("perf", *where)
    assert result.exit_code == Exit.FOUND
    assert result.stderr == "twolane: 10 records were acknowledged, the log grew by 0: no figures\n"
    assert result.stdout == ""


def test_ctrl_c_leaves_a_summary(start, embedded_cluster):
    embedded_cluster.create_topic("t")
    where = ["-b", embedded_cluster.bootstrap_servers, "-t", "t", "--num-records", 10**9, "--record-size", 10]
    with start("perf", *where, "--throughput", 1000, "--reporting-interval", 1) as process:
        assert re.match(rb"\d+ records sent, ", process.stdout.readline())
        process.send_signal(signal.SIGINT)
        said, complaint = process.communicate(timeout=60)
    assert process.returncode == Exit.INTERRUPTED
    assert re.fullmatch(SUMMARY, said.decode().splitlines()[-1])
    assert b"Traceback" not in complaint


@pytest.mark.parametrize(
    "arguments",
    [
        ["--num-records", 1],
        ["--num-records", 1, "--record-size", 1, "--payload-monotonic"],
        ["--num-records", 0, "--record-size", 1],
        ["--num-records", 1, "--payload-file", "no-such-file"],
        ["--num-records", 1, "--payload-file", __file__, "--payload-delimiter", ""],
        ["--num-records", 1, "--record-size", 1, "--producer-props", "nothing"],
    ],
)
def test_wrong_usage(run, arguments):
    assert run("perf", "-b", "127.0.0.1:1", "-t", "t", *arguments).exit_code == Exit.USAGE


def test_figures_of_a_part():
    class Moment:
        def __init__(self, written: int, counts: tuple[int, ...], total: float) -> None:
            self.written = self.accepted = written
            self.accepted_bytes = written * 2**20
            bounds = (0.001, 0.002, 0.004)[: len(counts)]
            self.latency = LatencyHistogram(counts, bounds, total, 0.0035)

    figures = Figures.between(Moment(10, (10,), 0.005), Moment(30, (10, 19, 1), 0.045), 2.0)
    assert (figures.records, figures.records_per_second, figures.mb_per_second) == (20, 10, 10)
    assert (figures.avg_ms, figures.max_ms, figures.p50_ms, figures.p999_ms) == pytest.approx((2.0, 3.5, 2.0, 3.5))


def test_payloads_are_bounded():
    payloads = Payloads(10**9, 1_000_000, None)
    assert payloads.call == 16
    assert Payloads(10**9, None, [b"x" * 1_000_000, b"y"]).call == 16
    assert len(Payloads(5, 10, None).take(5)) == 5
