"""Negative controls on real brokers: plain librdkafka with settings that lose and double records, and the checkers.

Nothing is left to chance: followers stand still while records are acknowledged without them, or cannot be.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from faults.checkers import check
from faults.readers import read_log
from faults.running_client import RunningClient
from faults.workload import RoundFacts, Workload
from tests.support.waiting import wait_until

PATIENCE = 60.0


def is_stopped(pid):
    """Return whether a SIGSTOP has reached every thread of a process."""
    states = [path.read_text().rpartition(")")[2].split()[0] for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    return set(states) == {"T"}


@pytest.fixture
def alone(kafka_cluster, topic):
    """Make a topic and pause all brokers but the leader: return its name, the leader and the others.

    Two of three brokers are the majority of the controllers, too: nothing can change the replicas in sync.
    """
    name = topic(kafka_cluster, config={"unclean.leader.election.enable": "true"})
    leader = kafka_cluster.leader(name)
    others = [broker for broker in kafka_cluster.broker_ids if broker != leader]
    try:
        for broker in others:
            kafka_cluster.pause_broker(broker)
        wait_until(lambda: all(is_stopped(kafka_cluster.pid(broker)) for broker in others))
        yield name, leader, others
    finally:
        kafka_cluster.heal()


@pytest.fixture
def sent(kafka_cluster, tmp_path):
    """Run a client of confluent-kafka to the end of its records, through one broker, and return its workload."""

    def run(name, broker, records, **config):
        workload = Workload(
            lane="safe",
            front="sync",
            idempotence=True,  # what it is held to
            transactional=False,
            batch=1,
            partitions=1,
            topic=name,
            bootstrap=kafka_cluster.bootstrap_servers.split(",")[broker - 1],
            seed=1,
            history_path=str(tmp_path / "history"),
            records=records,
            peer="confluent",
            config={"enable_idempotence": False, **config},
        )
        with RunningClient(workload, tmp_path / "log") as client:
            client.wait(PATIENCE)
            assert client.exit_code == 0, (tmp_path / "log").read_text()
        return workload

    return run


def test_acks_1_and_a_leader_that_dies_before_its_followers_fetch_is_a_lost_write(kafka_cluster, alone, sent):
    """All records are acknowledged; then the leader is gone, and the followers go on with what they had."""
    name, leader, others = alone
    workload = sent(name, leader, 20, acks=1)
    kafka_cluster.kill_broker(leader)
    # What waits in the sockets of the paused ones goes with them.
    for broker in others:
        kafka_cluster.kill_broker(broker)
        kafka_cluster.start_broker(broker, wait=False)
    kafka_cluster.wait_ready()
    wait_until(lambda: kafka_cluster.leader(name) in others)
    log = read_log(kafka_cluster.bootstrap_servers, name)
    judgement = check(workload.history_path, log, workload, RoundFacts())
    assert judgement.counts["written"] == 20
    assert [(one.kind, one.count) for one in judgement.violations] == [("lost-write", 20)]


def test_request_timeout_1_ms_without_idempotence_is_a_duplicate(kafka_cluster, alone, sent):
    """Each attempt is appended and waits for the followers for its millisecond: REQUEST_TIMED_OUT, and the next one."""
    name, leader, _ = alone
    workload = sent(name, leader, 5, request_timeout_ms=1, retries=3, retry_backoff_ms=10, retry_backoff_max_ms=10)
    kafka_cluster.heal()
    kafka_cluster.wait_in_sync(name)
    log = read_log(kafka_cluster.bootstrap_servers, name)
    judgement = check(workload.history_path, log, workload, RoundFacts())
    assert len(log) == 5 * (1 + 3)
    assert [(one.kind, one.count) for one in judgement.violations] == [("duplicate", 5)]
