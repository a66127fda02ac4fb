"""``twolane check``: what it finds and what it ends with."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from twolane.cli import brokers, check
from twolane.cli.exits import Exit
from twolane.common.topic_rules import of_availability, of_content, of_durability, of_producer, of_replicas
from twolane.config.policy import SAFE, THROUGHPUT

SECRET = "correct-horse-battery"


def test_a_cluster_and_its_topics(run, embedded_cluster):
    embedded_cluster.create_topic("audit", 2)
    result = run("check", "-b", embedded_cluster.bootstrap_servers)
    assert result.exit_code == Exit.OK, result.output
    assert result.stdout.startswith("3 brokers over plaintext\n")
    assert "audit  2 partitions, 3 replicas  ok" in result.stdout


def test_json(run, embedded_cluster):
    embedded_cluster.create_topic("audit")
    result = run("check", "--json", "-b", embedded_cluster.bootstrap_servers, "-t", "audit", "-t", "nothing")
    assert result.exit_code == Exit.FOUND
    found = json.loads(result.stdout)
    assert [broker["id"] for broker in found["brokers"]] == [1, 2, 3]
    assert all(broker["connect_ms"] >= 0 for broker in found["brokers"])
    audit, nothing = found["topics"]
    assert (audit["partitions"], audit["replicas"], audit["findings"]) == (1, 3, [])
    assert nothing["findings"][0]["text"] == "topic 'nothing': does not exist"
    assert "--create --topic nothing" in nothing["findings"][0]["cure"]


def test_few_brokers_and_the_producers_own_settings(run, embedded_cluster):
    where = ["-b", embedded_cluster.bootstrap_servers, "--lane", "throughput", "-X", "acks=1"]
    embedded_cluster.stop_broker(2)
    result = run("check", "--json", *where)
    assert result.exit_code == Exit.FOUND
    broker, acks, idempotence = json.loads(result.stdout)["findings"]
    assert broker["text"].startswith("2 brokers: with fewer than 3")
    assert (acks["level"], acks["cure"]) == ("problem", "-X acks=all")
    assert idempotence["level"] == "note"


def test_a_broker_at_an_address_that_leads_nowhere():
    broker = check._connected(SimpleNamespace(id=7, host="127.0.0.1", port=1))
    (finding, *_) = check._of_brokers([broker] * 3)
    assert broker.connect_ms is None
    assert "broker 7 cannot be connected to at 127.0.0.1:1" in finding.text
    assert "advertised.listeners" in finding.cure


def test_no_cluster(run, monkeypatch):
    monkeypatch.setattr(brokers, "TIMEOUT", 0.0)
    result = run("check", "-b", "127.0.0.1:1")
    assert result.exit_code == Exit.UNAVAILABLE
    assert "no broker answered, bootstrap.servers=127.0.0.1:1:" in result.stderr
    assert "Connection refused" in result.stderr


def test_a_login_that_cannot_be(run, embedded_cluster, monkeypatch):
    monkeypatch.setattr(brokers, "TIMEOUT", 0.0)
    login = ["-X", "security.protocol=SASL_PLAINTEXT", "-X", "sasl.mechanism=SCRAM-SHA-256", "-X", "sasl.username=ann"]
    result = run("check", "-b", embedded_cluster.bootstrap_servers, *login, "-X", f"sasl.password={SECRET}", "-vv")
    assert result.exit_code == Exit.UNAVAILABLE
    assert SECRET not in result.output


@pytest.mark.cluster
def test_real_topics(run, kafka_cluster, topic):
    weak = topic(kafka_cluster, 2, config={"min.insync.replicas": 1, "max.message.bytes": 10_000})
    good = topic(kafka_cluster, 2)
    found = json.loads(run("check", "--json", "-b", kafka_cluster.bootstrap_servers, "-t", weak, "-t", good).stdout)
    texts = [finding["text"] for finding in found["topics"][0]["findings"]]
    assert len(texts) == 3
    assert "min.insync.replicas=1" in texts[0]
    assert all("max.message.bytes=10000" in text for text in texts[1:])
    assert found["topics"][1]["findings"] == []


def kinds(findings) -> list[str]:
    return [f"{finding.level}: {finding.text}" for finding in findings]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({}, []),
        ({"max.message.bytes": "1048588", "cleanup.policy": "delete", "retention.ms": "604800000"}, []),
        ({"max.message.bytes": "999"}, ["problem: *message.max.bytes=", "problem: *batch.size="]),
        ({"message.timestamp.type": "LogAppendTime"}, ["note: *replace the times"]),
        ({"cleanup.policy": "compact,delete"}, ["note: *without a key are refused"]),
        ({"retention.ms": "60000"}, ["note: *last 60 s by their own time"]),
        ({"retention.ms": "-1"}, []),
        ({"compression.type": "zstd"}, ["note: *compress again"]),
        ({"compression.type": "producer"}, []),
    ],
)
def test_rules_of_content(found, words):
    texts = kinds(of_content("t", found, SAFE.defaults))
    assert len(texts) == len(words)
    for text, word in zip(texts, words, strict=True):
        level, _, part = word.partition("*")
        assert text.startswith(level)
        assert part in text


def test_rules_of_durability():
    assert kinds(of_replicas("t", 3)) == []
    assert len(kinds(of_replicas("t", 2))) == 1
    assert kinds(of_durability("t", {"min.insync.replicas": "2", "unclean.leader.election.enable": "false"})) == []
    assert len(kinds(of_durability("t", {"min.insync.replicas": "1", "unclean.leader.election.enable": "true"}))) == 2
    assert kinds(of_availability("t", {"min.insync.replicas": "2"}, 3)) == []
    assert kinds(of_availability("t", {"min.insync.replicas": "3"}, 3))[0].startswith("note")
    assert kinds(of_availability("t", {"min.insync.replicas": "3"}, 2))[0].startswith("problem")
    assert kinds(of_producer(SAFE.defaults)) == []
    assert [text[:4] for text in kinds(of_producer(THROUGHPUT.defaults))] == ["note"]


def test_partitions_in_trouble():
    def partition(number: int, leader: int, in_sync: int) -> SimpleNamespace:
        return SimpleNamespace(id=number, leader=leader, replicas=[1, 2, 3], isrs=[1, 2, 3][:in_sync])

    partitions = {one.id: one for one in (partition(0, 1, 3), partition(1, -1, 1), partition(2, 2, 2))}
    state = check._state("t", SimpleNamespace(error=None, partitions=partitions))
    assert [finding.text for finding in state.findings] == [
        "topic 't' has partitions without a leader: nothing can be written: 1",
        "topic 't' has partitions with replicas behind: 1, 2",
    ]
