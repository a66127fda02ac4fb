"""The wrapper of a client process, with a client that only prints."""

from __future__ import annotations

import signal
import sys
from dataclasses import replace

import pytest

from faults.plan import plan
from faults.running_client import RunningClient, StuckClientError
from tests.support.processes import assert_gone

PATIENCE = 30.0
# Acknowledges ten records at once, then on each line of its input, until "stop"; MODE makes it stubborn.
PROGRAM = """\
import json, signal, sys, time
workload = json.loads(sys.argv[1])
base = 100 * workload["epoch"]
print("started", flush=True)
print("acked", 10, time.monotonic(), flush=True)
if workload["behaviour"] == "stubborn":
    import faulthandler
    faulthandler.register(signal.SIGUSR1)
    while True:
        time.sleep(60)
sys.stdin.readline()
print("acked", 20, time.monotonic(), flush=True)
print("ended", flush=True)
"""


@pytest.fixture
def client(tmp_path, monkeypatch):
    (tmp_path / "printing_client.py").write_text(PROGRAM)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    clients = []

    def start(**changes):
        workload = replace(plan(1, ["none"]).workload, **changes)
        clients.append(RunningClient(workload, tmp_path / "log", module="printing_client"))
        return clients[-1]

    yield start
    for one in clients:
        one.kill()


def test_it_is_watched_and_stopped(client):
    one = client()
    one.wait_started(PATIENCE)
    assert one.wait_acked(10, PATIENCE)
    moment = one.last_ack
    assert one.is_running
    one.stop(PATIENCE)
    assert one.exit_code == 0
    assert one.acked == 20
    assert one.wait_ack_after(moment, PATIENCE) == one.last_ack > moment
    assert one.silence(moment) == pytest.approx(one.last_ack - moment)
    assert not one.wait_acked(21, PATIENCE)  # at once: it has ended


def test_a_new_process_goes_on_counting(client):
    one = client()
    one.wait_started(PATIENCE)
    assert one.wait_acked(10, PATIENCE)
    one.signal(signal.SIGKILL)
    one.wait(PATIENCE)
    first = one.pid
    one.restart()
    one.wait_started(PATIENCE)
    assert one.wait_acked(20, PATIENCE)
    assert one.workload.epoch == 1
    assert one.pid != first


def test_one_that_does_not_end_leaves_its_stacks(client, tmp_path):
    one = client(behaviour="stubborn")
    one.wait_started(PATIENCE)
    assert one.wait_acked(10, PATIENCE)
    with pytest.raises(StuckClientError, match="did not end"):
        one.stop(0.1)
    assert not one.is_running
    assert "printing_client.py" in (tmp_path / "log").read_text()


def test_one_that_ends_at_once_did_not_start(client, tmp_path):
    (tmp_path / "printing_client.py").write_text("raise SystemExit(3)\n")
    one = client()
    with pytest.raises(StuckClientError, match="did not start"):
        one.wait_started(PATIENCE)
    one.wait(PATIENCE)
    assert one.exit_code == 3


@pytest.mark.skipif(sys.platform != "linux", reason="setpriv is Linux's")
def test_a_stopped_client_ends_with_its_runner(client, tmp_path):
    """A frozen client does not see that its standard input has ended."""
    import subprocess

    script = tmp_path / "runner.py"
    script.write_text(
        "import os, pathlib, signal, sys\n"
        "from faults.plan import plan\n"
        "from faults.running_client import RunningClient\n"
        "one = RunningClient(plan(1, ['none']).workload, pathlib.Path(sys.argv[1]), module='printing_client')\n"
        "one.wait_started()\n"
        "one.signal(signal.SIGSTOP)\n"
        "print(one.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    paths = f"{tmp_path}:{':'.join(path for path in sys.path if path)}"
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "log")],
        env={"PYTHONPATH": paths, "PATH": "/usr/sbin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    pid = int(done.stdout)
    assert_gone(pid)
