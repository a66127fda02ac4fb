"""The recipes of docs/processes.md: one producer for each process, in pools, under gunicorn, under Celery."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packaging.sources import ROOT
from tests.support.readers import read_all
from tests.support.waiting import wait_until

EXAMPLES = ROOT / "examples" / "processes"
SECONDS = 180  # only ends a hang


@pytest.fixture
def environment(embedded_cluster, tmp_path):
    for topic in ("orders", "clicks"):
        embedded_cluster.create_topic(topic, partitions=2)
    return {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": embedded_cluster.bootstrap_servers,
        "PYTHONPATH": str(ROOT / "src"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "CELERY_BROKER": "filesystem://",
        "CELERY_FOLDER": str(tmp_path),
    }


def values(cluster, topic):
    return sorted(int(record.value) for record in read_all(cluster.bootstrap_servers, topic))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_pools(embedded_cluster, environment, method):
    command = [sys.executable, "pools.py", method]
    done = subprocess.run(command, cwd=EXAMPLES, env=environment, capture_output=True, text=True, timeout=SECONDS)
    assert done.stdout.split() == ["50", "50"], done.stderr
    assert values(embedded_cluster, "orders") == list(range(100))


def _port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def post(port, path, number):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request("POST", path, str(number))
        return connection.getresponse().status
    finally:
        connection.close()


def test_gunicorn_with_preload(embedded_cluster, environment):
    pytest.importorskip("gunicorn", reason="gunicorn is not installed")
    port = _port()
    command = [sys.executable, "-m", "gunicorn", "--workers", "2", "--preload", "--bind", f"127.0.0.1:{port}"]
    process = subprocess.Popen([*command, "web:application"], cwd=EXAMPLES, env=environment, stderr=subprocess.DEVNULL)
    try:

        def answers():
            with socket.socket() as asked:
                return asked.connect_ex(("127.0.0.1", port)) == 0

        wait_until(answers)
        assert [post(port, "/orders", i) for i in range(30)] == [201] * 30
        assert [post(port, "/clicks", i) for i in range(30)] == [202] * 30
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(SECONDS)
    assert values(embedded_cluster, "orders") == list(range(30))
    assert values(embedded_cluster, "clicks") == list(range(30))


def test_celery_prefork(embedded_cluster, environment):
    pytest.importorskip("celery", reason="celery is not installed")
    code = "import tasks\nfor i in range(30): tasks.order.delay(i); tasks.click.delay(i)"
    subprocess.run([sys.executable, "-c", code], cwd=EXAMPLES, env=environment, check=True, timeout=SECONDS)
    command = [sys.executable, "-m", "celery", "--app", "tasks", "worker", "--pool", "prefork", "--concurrency", "2"]
    process = subprocess.Popen(
        command, cwd=EXAMPLES, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: not any(Path(environment["CELERY_FOLDER"]).glob("*.msg")))
    finally:
        process.send_signal(signal.SIGTERM)  # a warm end: tasks that were begun are done
        process.wait(SECONDS)
    assert values(embedded_cluster, "orders") == list(range(30))
    assert values(embedded_cluster, "clicks") == list(range(30))
