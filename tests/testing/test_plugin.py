"""The fixtures in a user's suite: what runs, what is skipped and with which words."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.description import describe_build
from twolane.testing import ClusterError, ClusterUnavailableError, java

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run_suite(tmp_path):
    """Run pytest on the text of one test module, in a folder and process of its own."""

    def run(text, *arguments, **environment):
        (tmp_path / "test_theirs.py").write_text(text)
        (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -ra --strict-markers -p no:cacheprovider\n")
        command = [sys.executable, "-m", "pytest", "-p", "twolane.testing.plugin", *arguments]
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("TWOLANE_", "PYTEST_"))}
        # Autoload off: in an environment where twolane is installed the plugin would come twice.
        settings = {"PYTHONPATH": str(ROOT / "src"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env={**inherited, **settings, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout + done.stderr

    return run


EMBEDDED = """
seen = []

def test_first(twolane_embedded_cluster, twolane_topic):
    twolane_embedded_cluster.push_errors(0, [7])
    twolane_embedded_cluster.stop_broker(1)
    name = twolane_topic(twolane_embedded_cluster, partitions=2)
    seen.append((twolane_embedded_cluster.pid, twolane_embedded_cluster.bootstrap_servers, name))

def test_second(twolane_embedded_cluster, twolane_topic):
    pid, bootstrap, name = seen[0]
    assert twolane_embedded_cluster.pid == pid
    assert twolane_embedded_cluster.bootstrap_servers != bootstrap
    assert twolane_topic(twolane_embedded_cluster) != twolane_topic(twolane_embedded_cluster)
    assert twolane_embedded_cluster.requests() == []
    twolane_embedded_cluster.create_topic(name)
"""


def test_embedded_cluster_is_new_for_each_test(run_suite):
    assert "2 passed" in run_suite(EMBEDDED)


REAL = """
def test_writes(twolane_kafka_cluster):
    assert twolane_kafka_cluster.bootstrap_servers

def test_kills(twolane_kafka_cluster):
    twolane_kafka_cluster.kill_broker(1)

def test_other():
    pass
"""


def test_without_java_the_brokers_tests_are_skipped(run_suite, tmp_path):
    output = run_suite(REAL, PATH=str(tmp_path), JAVA_HOME="")
    assert "1 passed, 2 skipped" in output
    assert "real brokers need 'java', which is not installed" in output or "need 'mvn'" in output


def test_with_another_cluster_only_control_of_brokers_is_skipped(run_suite):
    output = run_suite(REAL, TWOLANE_TEST_BOOTSTRAP="127.0.0.1:1")
    assert "2 passed, 1 skipped" in output
    assert "kill_broker needs brokers of the tests' own, 127.0.0.1:1 is not" in output


def test_brokers_tests_are_marked(run_suite):
    assert "1 passed, 2 deselected" in run_suite(REAL, "-m", "not twolane_cluster")


LEFT_OPEN = """
import gc
from twolane import SafeProducer
from twolane.testing import FakeThroughputProducer

def test_fails():
    producers = SafeProducer(bootstrap_servers="127.0.0.1:1"), FakeThroughputProducer()
    producers[1].itself = producers[1]
    assert not producers, "this one"

def test_is_innocent():
    gc.collect()
"""


def test_what_a_failed_test_left_open_fails_no_other(run_suite):
    said = run_suite(LEFT_OPEN, "-p", "tests.support.leaks", "-W", "error", PYTHONPATH=f"{ROOT / 'src'}:{ROOT}")
    assert "1 failed, 1 passed" in said, said
    assert "this one" in said


def test_header_says_what_is_tested(monkeypatch):
    monkeypatch.setenv("TWOLANE_TEST_BOOTSTRAP", "somewhere:9092")
    line = describe_build()
    assert line.startswith("twolane ")
    assert f"Python {sys.version_info.major}.{sys.version_info.minor}" in line
    assert "librdkafka 2." in line
    assert "librdkafka-" in line
    assert line.endswith("Kafka at somewhere:9092")


def test_missing_maven_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(ClusterUnavailableError, match="'mvn'"):
        java.kafka_jars()


FAKE_MAVEN = """#!/bin/sh
for argument; do case $argument in -DoutputDirectory=*) folder=${argument#*=};; esac; done
echo called >> "$FAKE_CALLS"
%s
"""


@pytest.fixture
def fake_maven(monkeypatch, tmp_path):
    """Put a script in Maven's place; return the file that counts its calls."""

    def make(action):
        script = tmp_path / "bin" / "mvn"
        script.parent.mkdir()
        script.write_text(FAKE_MAVEN % action)
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.setenv("FAKE_CALLS", str(tmp_path / "calls"))
        return tmp_path / "calls"

    return make


def test_two_runs_fetch_once(fake_maven):
    calls = fake_maven('sleep 0.5; mkdir -p "$folder"; touch "$folder/a.jar"')
    code = "from twolane.testing.java import kafka_jars; print(kafka_jars())"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    runs = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    folders = {run.communicate()[0].strip() for run in runs}
    assert len(folders) == 1
    assert [path.name for path in Path(folders.pop()).iterdir()] == ["a.jar"]
    assert calls.read_text() == "called\n"


def test_failed_fetch_says_what_maven_said_and_leaves_nothing(fake_maven):
    fake_maven('mkdir -p "$folder"; echo "Could not resolve"; exit 1')
    with pytest.raises(ClusterError, match="Could not resolve"):
        java.kafka_jars()
    assert not java.kafka_jars_folder().exists()
    assert [path.suffix for path in java.cache_folder().iterdir()] == [".lock"]
