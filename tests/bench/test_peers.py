"""Every peer sends what it was asked to, or says what it lacks; who is not installed is named."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from bench import peers
from bench.clusters import Embedded, Real
from bench.contender import Task, write_values
from bench.lanes import CONTENDERS as LANES
from bench.lanes import SAFE_BATCH
from bench.matrix import CODERS
from bench.measure import FailedError, measure, run
from bench.peers import golang, harness, jvm
from bench.tls import TlsListener
from bench.verify import Log, UnverifiedError
from twolane.testing import ClusterUnavailableError, KafkaCluster

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.contender import Contender

PARTITIONS = 2
BY_NAME = {contender.name: contender for contender in peers.CONTENDERS}
ON_EMBEDDED = [contender for contender in peers.CONTENDERS if contender.on_embedded]
NAMES = [(contender, mode) for contender in peers.CONTENDERS for mode in contender.modes]


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("values") / "values"
    write_values(path, 50)
    return path


def task(values: Path, topic: str, contender: Contender, mode: str = "pipeline", **other: object) -> Task:
    asked = Task(
        bootstrap_servers="",
        topic=topic,
        partitions=PARTITIONS,
        values=str(values),
        records=20 if mode == "wait" else 1_000,
        warmup=100,
        call=1 if mode == "wait" else 100,
        mode=mode,
        data=contender.data[0],
        acks="1",
    )
    return replace(asked, **other)


def check(contender: Contender, asked: Task, kafka: Embedded | Real) -> None:
    """Run a contender and compare what the log holds with what it said."""
    with Log(kafka.bootstrap_servers) as log:
        result = measure(contender, asked, kafka, log)
    assert (result.records, result.failed) == (asked.records, 0)
    assert 0 < result.cpu < 60 and 0 < result.wall < 60
    assert set(result.lacks) == set(contender.lacks)
    assert result.versions and not any("127.0.0.1" in str(value) for value in result.settings.values())
    assert bool(result.latencies) == (asked.mode == "wait")
    if result.latencies:
        assert 0 < result.latencies["p50"] <= result.latencies["p99"] <= result.latencies["max"] <= result.wall


def available(contender: Contender) -> None:
    reason = contender.missing()
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture
def embedded(embedded_cluster) -> Embedded:
    return Embedded(embedded_cluster)


@pytest.fixture(scope="module")
def brokers(kafka_cluster) -> Iterator[Real]:
    kafka = Real(kafka_cluster.bootstrap_servers)
    yield kafka
    kafka.delete_topics()


@pytest.mark.parametrize(
    ("contender", "mode"),
    [(contender, mode) for contender, mode in NAMES if contender.on_embedded],
    ids=lambda part: getattr(part, "name", part),
)
def test_it_sends_what_it_was_asked_to(contender, mode, values, embedded):
    available(contender)
    check(contender, task(values, embedded.topic(PARTITIONS, 0), contender, mode), embedded)


@pytest.mark.parametrize(
    ("contender", "mode"),
    [(contender, mode) for contender, mode in NAMES if not contender.on_embedded],
    ids=lambda part: getattr(part, "name", part),
)
def test_it_sends_what_it_was_asked_to_to_real_brokers(contender, mode, values, brokers, kafka_cluster):
    available(contender)
    check(contender, task(values, brokers.topic(PARTITIONS, 10**6), contender, mode, acks="all"), brokers)


@pytest.mark.parametrize("name", [peers.GO, peers.JAVA, peers.KAFKA_PYTHON])
def test_clients_beyond_librdkafka_take_the_guarantees(name, values, brokers, kafka_cluster):
    contender = BY_NAME[name]
    available(contender)
    asked = task(values, brokers.topic(PARTITIONS, 10**6), contender, acks="all", idempotence=True, in_flight=5, keys=0)
    check(contender, replace(asked, compression="gzip"), brokers)


@pytest.fixture(scope="module")
def tls_brokers(tmp_path_factory):
    """A broker with a listener for TLS, as the suite makes its own."""
    tls = TlsListener.made_in(tmp_path_factory.mktemp("tls"))
    try:
        cluster = KafkaCluster(1, **tls.arguments)
    except ClusterUnavailableError as error:
        pytest.skip(str(error))
    with cluster:
        kafka = Real(cluster.bootstrap_servers)
        kafka.tls_bootstrap_servers, kafka.ca = cluster.address_of(tls.NAME), tls.ca
        yield kafka


@pytest.mark.cluster
@pytest.mark.parametrize("name", [*CODERS, SAFE_BATCH])
def test_what_is_measured_with_tls_takes_it(name, values, tls_brokers):
    contender = {**BY_NAME, **{lane.name: lane for lane in LANES}}[name]
    available(contender)
    asked = task(values, tls_brokers.topic(PARTITIONS, 10**6), contender, contender.modes[0], acks="all", in_flight=1)
    check(contender, replace(asked, ca=tls_brokers.ca), tls_brokers)
    with pytest.raises(FailedError), Log(tls_brokers.bootstrap_servers) as log:
        measure(contender, replace(asked, ca=asked.values), tls_brokers, log)  # no certificate


@pytest.mark.parametrize("name", [peers.PRODUCE, peers.AIOKAFKA])
def test_records_without_keys(name, values, embedded):
    contender = BY_NAME[name]
    available(contender)
    check(contender, task(values, embedded.topic(PARTITIONS, 0), contender, keys=0), embedded)


def test_names_are_told_apart():
    names = [contender.name for contender in (*LANES, *peers.CONTENDERS)]
    assert len(names) == len(set(names))


def test_a_client_that_claims_more_than_it_does_has_no_figure(values, embedded):
    honest = BY_NAME[peers.BATCH]
    name = "says nothing of its missing timestamps"
    program = ["import json, subprocess, sys"]
    program += [f"done = subprocess.run({honest.command()!r} + sys.argv[1:], capture_output=True, text=True)"]
    program += [
        "result = json.loads(done.stdout.splitlines()[-1])",
        "result['lacks'] = []",
        "print(json.dumps(result))",
    ]
    liar = replace(honest, name=name, command=lambda: [honest.command()[0], "-c", "\n".join(program)])
    asked = task(values, embedded.topic(PARTITIONS, 0), liar)
    with Log(embedded.bootstrap_servers) as log, pytest.raises(UnverifiedError, match="timestamp"):
        measure(liar, asked, embedded, log)


# ---- who is not there ------------------------------------------------------------------------------------------------


def test_whoever_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(harness, "find_spec", lambda name: None)
    reasons = {contender.name: contender.missing() for contender in ON_EMBEDDED}
    assert reasons[peers.AIOKAFKA] == "aiokafka is not installed"
    assert reasons[peers.ARROW] == "arrow_kafka_pyo3 is not installed"
    assert reasons[peers.PRODUCE] is None, "confluent-kafka comes with twolane"


def test_without_go_and_java_the_reason_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    assert BY_NAME[peers.GO].missing() == "Go is not installed (1.24 or newer)"
    assert BY_NAME[peers.JAVA].missing() == "no Java (java is not installed)"


@pytest.mark.skipif(golang.missing() is not None, reason=str(golang.missing()))
def test_what_go_says_is_passed_on(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "go.mod").write_text("module broken.invalid\n\ngo 1.24\n")
    (folder / "main.go").write_text("package main\n\nfunc main() { undefinedName() }\n")
    with pytest.raises(golang.BuildError, match="undefinedName"):
        golang.build(folder)
    (folder / "main.go").write_text("package main\n\nfunc main() {}\n")
    program = golang.build(folder)
    assert program.exists() and golang.build(folder) == program


@pytest.mark.skipif(jvm.missing() is not None, reason=str(jvm.missing()))
def test_what_javac_says_is_passed_on(monkeypatch, tmp_path):
    source = tmp_path / "Contender.java"
    source.write_text("final class Contender { int n = undefinedName; }")
    monkeypatch.setattr(jvm, "SOURCE", source)
    with pytest.raises(RuntimeError, match="undefinedName"):
        jvm.build()


@pytest.mark.parametrize("name", [peers.AIOKAFKA, peers.GO])
def test_settings_that_a_client_cannot_read_are_refused(name, values, tmp_path):
    contender = BY_NAME[name]
    available(contender)
    settings = tmp_path / "settings"
    settings.write_text("security.protocol=ssl\n")
    with pytest.raises(FailedError, match="takes no further settings"):
        run(contender, task(values, "nowhere", contender, properties=str(settings)))


def test_the_programs_are_on_this_machine_or_the_reason_is(capsys):
    reasons = {contender.name: contender.missing() for contender in peers.CONTENDERS}
    assert all(reason is None or reason.strip() for reason in reasons.values())
    assert (reasons[peers.GO] is None) == (shutil.which("go") is not None)
