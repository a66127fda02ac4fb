"""Negative controls: clients and clusters that break a promise on purpose. Silent checkers are broken.

Those that only real brokers show are in `test_broker_controls.py`. What plain librdkafka does here,
`tests/hazards/test_negative_controls.py` shows by itself.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from faults.checkers import check
from faults.readers import read_log
from faults.running_client import RunningClient
from faults.workload import RoundFacts, Workload
from twolane.testing import ApiKey

PATIENCE = 60.0
# Milliseconds: long enough for a client to build its next request.
HELD = 2_000


@pytest.fixture
def judged(embedded_cluster, topic, tmp_path):
    """Run a client to the end of its records, and return what the checkers say."""

    def run(*, before=lambda name: None, **changes):
        name = topic(embedded_cluster)
        embedded_cluster.set_leader(name, 0, 1)
        before(name)
        workload = Workload(
            lane="safe",
            front="sync",
            idempotence=True,
            transactional=False,
            batch=10,
            partitions=1,
            topic=name,
            bootstrap=embedded_cluster.bootstrap_servers,
            seed=1,
            history_path=str(tmp_path / "history"),
            records=100,
        )
        workload = replace(workload, **changes)
        with RunningClient(workload, tmp_path / "log") as client:
            client.wait(PATIENCE)
            assert client.exit_code == 0, (tmp_path / "log").read_text()
        log = read_log(embedded_cluster.bootstrap_servers, name)
        return check(workload.history_path, log, workload, RoundFacts())

    return run


@pytest.mark.parametrize(
    ("lane", "front", "batch", "call"),
    [
        ("safe", "sync", 1, "send"),
        ("safe", "asyncio", 7, "send_batch"),
        ("throughput", "sync", 7, "send_batch"),
        ("throughput", "sync", 1, "send"),
        ("throughput", "asyncio", 1, "submit"),
    ],
)
def test_without_a_fault_nothing_is_found(judged, lane, front, batch, call):
    judgement = judged(lane=lane, front=front, batch=batch, call=call, streams=2, keys=True, headers=True)
    assert judgement.violations == []
    assert judgement.counts["written"] == judgement.counts["records"] >= 90


def refuse_once(cluster):
    return lambda name: cluster.push_broker_errors(1, ApiKey.PRODUCE, [(0, 0), ("INVALID_RECORD", 0)])


@pytest.mark.parametrize(
    ("mutant", "kinds"),
    [
        ("", set()),
        ("swap", {"lost-write", "G1a", "prefix"}),
        ("lose", {"exactly-one-verdict"}),
        ("offset", {"offset-agrees", "offsets-increase"}),
    ],
)
def test_a_client_that_lies_is_caught(judged, embedded_cluster, mutant, kinds):
    """The second request is refused, so that there is a verdict of each kind to swap."""
    assert judged(mutant=mutant, before=refuse_once(embedded_cluster)).kinds == kinds


def test_f1_on_raw_librdkafka_is_disorder(judged, embedded_cluster):
    """The first record is refused late, when the second is built already and overtakes its retry."""

    def before(name):
        embedded_cluster.push_broker_errors(1, ApiKey.PRODUCE, [("NOT_ENOUGH_REPLICAS", HELD)])

    config = {"enable_idempotence": False, "batch_num_messages": 1}
    judgement = judged(peer="confluent", before=before, config=config, records=10)
    assert "order" in judgement.kinds
    assert judgement.counts["written"] == 10


def test_a_retry_without_idempotence_is_a_duplicate(judged, embedded_cluster):
    """What was appended is answered later than the client waits, sent again, and acknowledged."""

    def before(name):
        embedded_cluster.push_broker_errors(1, ApiKey.PRODUCE, [(0, HELD)])

    config = {"enable_idempotence": False, "socket_timeout_ms": 500}
    judgement = judged(peer="confluent", before=before, config=config)
    assert "duplicate" in judgement.kinds
    assert judgement.counts["written"] == 100
