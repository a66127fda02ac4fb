"""A round undoes what it did, whatever happens in it; and what it found is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults import campaign, results
from faults.checkers import Judgement, Violation
from faults.injections import KINDS
from faults.injections.fault import Fault
from faults.plan import plan
from faults.running_client import StuckClientError
from twolane.testing import ClusterError


class Cluster:
    """Notes what is asked of it."""

    bootstrap_servers = "localhost:1"
    profile, network = "fast", None

    def __init__(self):
        self.calls = []

    def create_topic(self, name, partitions):
        self.calls.append("create")

    def delete_topic(self, name):
        self.calls.append("delete")

    def heal(self):
        self.calls.append("heal")

    def rest(self):
        self.calls.append("rest")

    def logs(self, lines):
        return "the brokers' logs"


class Client:
    """Acknowledges whatever is waited for."""

    acks = True

    def __init__(self, workload, log, python="", before=()):
        self.workload, self.acked = workload, 0
        self.is_killed = False
        Path(workload.history_path).write_text("history")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.is_killed = True

    def wait_started(self):
        pass

    def wait_acked(self, count, timeout):
        return True

    def wait_ack_after(self, moment, timeout):
        return moment + 0.25 if self.acks else None

    def silence(self, since):
        return 0.5

    def stop(self, timeout):
        pass


@pytest.fixture
def cluster(monkeypatch):
    monkeypatch.setattr(campaign, "RunningClient", Client)
    monkeypatch.setattr(campaign, "_judge", lambda cluster, client, facts: Judgement([], {"records": 7}))
    return Cluster()


@pytest.fixture
def fault(monkeypatch):
    """Put a fault of the test's own beside the others."""

    def add(at, error):
        class Broken(Fault):
            name, about, seconds = "broken", "raises", (0.0, 0.001)
            ended = False

            def inject(self, cluster, client, random):
                if at == "inject":
                    raise error

            def heal(self, cluster, client):
                if at == "heal":
                    raise error
                super().heal(cluster, client)

            def finish(self):
                Broken.ended = True

        monkeypatch.setitem(KINDS, "broken", Broken)
        return Broken

    return add


def test_a_round_in_order(cluster, fault, tmp_path):
    kind = fault("nowhere", None)
    found = campaign.run_round(cluster, plan(1, ["broken"]), tmp_path / "files")
    assert cluster.calls == ["create", "heal", "rest", "heal", "delete"]
    assert kind.ended
    assert (found.violations, found.void, found.recovery_seconds) == ([], "", 0.25)
    line = found.line(cluster, {})
    assert (line["seed"], line["fault"], line["counts"]) == (1, "broken", {"records": 7})
    assert line["replay"] == "make faults ROUNDS=1 SEED=1 FAULT=broken"


@pytest.mark.parametrize("at", ["inject", "heal"])
@pytest.mark.parametrize("error", [ClusterError("no broker"), StuckClientError("stuck"), KeyboardInterrupt()])
def test_whatever_happens_it_is_healed(cluster, fault, tmp_path, at, error):
    kind = fault(at, error)
    if isinstance(error, KeyboardInterrupt):
        with pytest.raises(KeyboardInterrupt):
            campaign.run_round(cluster, plan(1, ["broken"]), tmp_path / "files")
    else:
        found = campaign.run_round(cluster, plan(1, ["broken"]), tmp_path / "files")
        is_void = isinstance(error, ClusterError)
        assert found.void == ("ClusterError: no broker" if is_void else "")
        assert [one.kind for one in found.violations] == ([] if is_void else ["stuck"])
    assert cluster.calls[-2:] == ["heal", "delete"]
    assert kind.ended


def test_a_client_that_stays_silent_is_a_violation(cluster, fault, tmp_path, monkeypatch):
    fault("nowhere", None)
    monkeypatch.setattr(Client, "acks", False)
    found = campaign.run_round(cluster, plan(1, ["broken"]), tmp_path / "files")
    assert [one.kind for one in found.violations] == ["stuck"]


def test_only_what_was_found_is_kept(cluster, fault, tmp_path, monkeypatch):
    fault("nowhere", None)
    judgements = [Judgement([], {}), Judgement([Violation("lost-write", 1, "it is gone")], {}), Judgement([], {})]
    monkeypatch.setattr(campaign, "_judge", lambda cluster, client, facts: judgements.pop(0))
    found = list(campaign.run(cluster, ["broken"], 5, 3, tmp_path))
    assert [bool(one.violations) for one in found] == [False, True, False]
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["round-6-broken"]
    rounds = results.read([tmp_path / "results.jsonl"])
    assert [one["seed"] for one in rounds] == [5, 6, 7]
    assert rounds[1]["violations"] == [{"kind": "lost-write", "count": 1, "detail": "it is gone"}]


def test_a_busy_machine_breaks_no_promise_where_that_is_asked_for(cluster, fault, tmp_path, monkeypatch):
    fault("nowhere", None)
    found = [Violation(kind, 1, "") for kind in ("liveness", "lost-write", "time-bound", "memory-bound")]
    monkeypatch.setattr(campaign, "_judge", lambda cluster, client, facts: Judgement(found, {}))
    (strict,) = campaign.run(cluster, ["broken"], 1, 1, tmp_path)
    (lenient,) = campaign.run(cluster, ["broken"], 1, 1, tmp_path, is_lenient=True)
    assert strict.violations == found
    assert [one.kind for one in lenient.violations] == ["lost-write"]
    assert len(lenient.remarks) == 3


def test_a_cluster_that_cannot_be_healed_ends_the_campaign(cluster, fault, tmp_path):
    fault("heal", ClusterError("no broker"))
    with pytest.raises(ClusterError, match="3 rounds in a row"):
        list(campaign.run(cluster, ["broken"], 1, 10, tmp_path))
    assert len(results.read([tmp_path / "results.jsonl"])) == 3


def test_no_round_begins_after_the_deadline(cluster, fault, tmp_path):
    fault("nowhere", None)
    assert list(campaign.run(cluster, ["broken"], 1, 10, tmp_path, deadline=0.0)) == []


def test_campaigns_in_parts_are_joined(tmp_path):
    one, two = tmp_path / "one.jsonl", tmp_path / "new" / "two.jsonl"
    results.append(one, {"seed": 1})
    results.append(two, {"seed": 2})
    results.append(two, {"seed": 3})
    with two.open("a") as file:
        file.write('{"seed": 4, "fau')  # its runner was killed
    assert [found["seed"] for found in results.read([one, two])] == [1, 2, 3]
