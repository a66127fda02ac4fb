"""``twolane cluster``: brokers until Ctrl-C."""

from __future__ import annotations

import json
import signal

import pytest

from twolane.cli.exits import Exit
from twolane.testing import ClusterUnavailableError


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_runs_until_a_signal(run, start, number):
    with start("cluster", "-t", "audit:2", "-t", "events", "--json") as process:
        servers = json.loads(process.stdout.readline())["bootstrap_servers"]
        assert len(servers.split(",")) == 3
        assert run("send", "-b", servers, "-t", "audit", "-p", 1, input=b"a\n").exit_code == 0
        assert run("check", "-b", servers, "-t", "audit", "-t", "events").exit_code == 0
        process.send_signal(number)
        assert process.wait(60) == 0
        assert process.stderr.read() == b"twolane: 3 brokers run; Ctrl-C ends them\n"


def test_without_java(run, monkeypatch):
    def unavailable(brokers: int) -> None:
        raise ClusterUnavailableError("no java on PATH")

    monkeypatch.setattr("twolane.cli.cluster.KafkaCluster", unavailable)
    result = run("cluster", "--real")
    assert result.exit_code == Exit.UNAVAILABLE
    assert result.stderr == "twolane: no java on PATH\n"


@pytest.mark.parametrize("arguments", [["-t", ":3"], ["-t", "a:x"], ["-t", "a:0"], ["--real", "--rtt", 5]])
def test_wrong_usage(run, arguments):
    assert run("cluster", *arguments).exit_code == Exit.USAGE
