"""The model of many workers: against cases computed by hand, and against what was measured."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING, Any

import pytest

from bench import pages
from bench.scaling import footprint, wire
from bench.scaling.brokers import per_entry
from bench.scaling.model import (
    COORDINATORS,
    PRODUCER_IDS,
    REQUESTS,
    START,
    Cluster,
    Job,
    Prices,
    Replicated,
    Scale,
    cores_of,
    predictions,
    prices_of,
    requests_of,
    scale,
)
from bench.scaling.page import NAME, add_engines, engines, texts
from twolane.cli.advising.costs import Costs

if TYPE_CHECKING:
    from pathlib import Path

PRICES = Prices(
    clients={
        "safe": Costs(request=1e-3, record=1e-6, cpu_request=1e-4, cpu_record=4e-7),
        "throughput": Costs(request=1e-3, record=1e-6, cpu_request=5e-5, cpu_record=2e-7),
    },
    request=Replicated(1e-4, 5e-5),
    record=Replicated(1e-7, 5e-8),
    connection=2e-4,
    producer_id=1e-4,
    metadata=1e-4,
    metadata_partition=1e-6,
    transaction=1e-3,
    transaction_seconds=5e-3,
    entry_bytes=300.0,
)
FAR = Cluster(brokers=3, partitions=12, rtt=0.010)


def use(found: Scale, name: str) -> float:
    return next(bound.use for bound in found.bounds if bound.name == name)


@pytest.mark.parametrize(
    ("job", "partitions", "expected"),
    [
        (Job(1, "safe", 1), 12, 1),
        (Job(1, "safe", 100), 12, 12),
        (Job(1, "safe", 5), 12, 5),
        (Job(1, "safe", 100, spread=False), 12, 1),
        (Job(1, "safe", 6_945, spread=False), 12, 2),
        (Job(1, "throughput", 65_536), 500, 500),
        (Job(1, "throughput", 65_536), 4, 12),  # 16 384 records in each, of which a request takes 6 944
        (Job(1, "throughput", 30_000, spread=False, size=10), 12, 3),
    ],
)
def test_a_request_has_the_records_of_one_partition(job: Job, partitions: int, expected: int) -> None:
    assert requests_of(job, partitions) == expected


def test_a_loop_of_send_is_paced_by_round_trips() -> None:
    found = scale(Job(1, "safe", 1), FAR, PRICES)
    assert found.paced_by == "round trips"
    assert found.of_worker == pytest.approx(1 / (0.010 + 1e-3 + 1e-6))


def test_requests_to_one_broker_wait_for_each_other() -> None:
    # 12 requests of 100 records, four to each of three brokers.
    found = scale(Job(1, "safe", 1_200), FAR, PRICES)
    assert found.records_per_request == 100
    assert found.of_worker == pytest.approx(1_200 / (4 * 0.011 + 1_200e-6))


def test_the_throughput_lane_is_paced_by_its_own_work() -> None:
    found = scale(Job(1, "throughput", 65_536), Cluster(partitions=16), PRICES)
    assert found.paced_by == "own CPU"
    assert found.of_worker == pytest.approx(1 / (5e-5 / 4_096 + 2e-7))
    assert found.client_cores == pytest.approx(1.0)


def test_workers_add_up_until_the_brokers_are_busy() -> None:
    one = scale(Job(1, "safe", 1), FAR, PRICES)
    # A request costs 2e-4 with three replicas, its record 2e-7; the brokers have 3 * 8 * 0.6 cores for them.
    assert use(one, REQUESTS) == pytest.approx(one.of_worker * 2.002e-4 / 14.4)
    hundred = scale(Job(100, "safe", 1), FAR, PRICES)
    assert hundred.records_per_second == pytest.approx(100 * one.of_worker)
    many = scale(Job(10_000, "safe", 1), FAR, PRICES)
    assert many.first.name == REQUESTS
    assert many.records_per_second == pytest.approx(14.4 / 2.002e-4)
    assert many.broker_cores == pytest.approx(14.4)
    assert many.workers_at_first == pytest.approx(1 / use(one, REQUESTS))


def test_replicas_cost_what_their_followers_do() -> None:
    job = Job(1, "throughput", 65_536)
    one, three = (scale(job, replace(FAR, replication=n), PRICES) for n in (1, 3))
    assert three.broker_cores == pytest.approx(2 * one.broker_cores)


def test_a_service_is_paced_by_what_it_has_to_send() -> None:
    found = scale(Job(1_000, "safe", 1, rate=2.0), FAR, PRICES)
    assert found.paced_by == "what it has to send"
    assert found.records_per_second == pytest.approx(2_000)


def test_connections_are_those_to_leaders_and_one_to_a_bootstrap_server() -> None:
    few = replace(FAR, brokers=6, connections=2_000)
    everywhere, one = (scale(Job(1_000, "safe", 1, spread, rate=1.0), few, PRICES) for spread in (True, False))
    assert (everywhere.connections, one.connections) == (6_000, 2_000)
    assert use(everywhere, "connections") == pytest.approx(1_000 / 2_000)


def test_a_start_is_connections_numbers_and_metadata() -> None:
    found = scale(Job(600, "safe", 1, rate=1.0, start_seconds=10), FAR, PRICES)
    each = 3 * 2e-4 + 1e-4 + 2 * (1e-4 + 12e-6)
    assert use(found, START) == pytest.approx(600 * each / 10 / 14.4)


def test_producer_ids_are_kept_in_each_replica_of_each_partition() -> None:
    found = scale(Job(1_000, "safe", 1_000, starts_per_day=24), replace(FAR, partitions=100), PRICES)
    assert use(found, PRODUCER_IDS) == pytest.approx(1_000 * 24 * 100 * 3 / 3 * 300 / (0.25 * 6 * 2**30))
    assert use(scale(Job(9, idempotence=False), FAR, PRICES), PRODUCER_IDS) == 0
    # A transactional id keeps its number over restarts.
    often = Job(1_000, "safe", 1_000, transaction=1_000, starts_per_day=24)
    assert use(scale(often, FAR, PRICES), PRODUCER_IDS) == pytest.approx(1_000 * 12 * 300 / (0.25 * 6 * 2**30))


def test_a_transaction_takes_its_time_and_its_coordinator() -> None:
    job = Job(10, "safe", 100, spread=False, transaction=100)
    found = scale(job, FAR, PRICES)
    assert found.of_worker == pytest.approx(100 / (0.011 + 100e-6 + 5e-3 + 0.020))
    assert use(found, COORDINATORS) == pytest.approx(10 * found.of_worker / 100 * 1e-3 / 14.4)


def test_on_one_machine_workers_and_brokers_share_the_cores() -> None:
    found = scale(Job(4, "throughput", 65_536), Cluster(partitions=16, shared_cores=2), PRICES)
    work, at_brokers = 5e-5 / 4_096 + 2e-7, 2e-4 / 4_096 + 2e-7
    assert found.records_per_second == pytest.approx(2 / (work + at_brokers))
    assert found.client_cores + found.broker_cores == pytest.approx(2)


def row(records: int, rate: float, cpu: float, broker: float, **more: Any) -> dict[str, Any]:
    """Return a row of a report; CPU in seconds of a record."""
    return {
        "share": "processes",
        "workers": 1,
        "lane": "safe",
        "call": records,
        "spread": False,
        "partitions": 12,
        "replication": 3,
        "rtt_ms": 0,
        "round_trip_s": 1e-4,
        "records_per_request": records,
        "records_per_second": rate,
        "client_cpu_us_per_record": cpu * 1e6,
        "broker_cpu_us_per_record": broker * 1e6,
        **more,
    }


def report() -> dict[str, Any]:
    """Return what would be measured where the prices are `PRICES`."""
    rows = []
    for lane, replication in (("safe", 3), ("throughput", 3), ("safe", 1), ("throughput", 1)):
        costs = PRICES.clients[lane]
        for b in (1, 100, 5_000):
            broker = PRICES.request.of(replication) / b + PRICES.record.of(replication)
            cpu, rate = costs.cpu_request / b + costs.cpu_record, b / (costs.request + b * costs.record)
            rows.append(row(b, rate, cpu, broker, lane=lane, replication=replication))
    asked = [("connection", 200.0), ("InitProducerId", 100.0)]
    return {
        "machine": {"cpus": 2},
        "sending": rows,
        "requests": [
            *({"request": name, "broker_cpu_us": cpu} for name, cpu in asked),
            *({"request": f"{n}", "partitions": n, "broker_cpu_us": 100.0 + n} for n in (12, 100, 500)),
        ],
        "transactions": [{"producers": n, "broker_cpu_us": 1e3, "ms_each": 5.0 * n} for n in (1, 4)],
        "producer_ids": [{"bytes_per_entry": 300.0}],
    }


def test_prices_are_found_again() -> None:
    found = prices_of(report())
    for lane, costs in PRICES.clients.items():
        assert found.clients[lane].cpu_request == pytest.approx(costs.cpu_request, rel=1e-3)
        assert found.clients[lane].record == pytest.approx(costs.record, rel=1e-3)
    assert found.request.leader == pytest.approx(1e-4, rel=1e-3)
    assert found.request.follower == pytest.approx(5e-5, rel=1e-3)
    assert found.record.follower == pytest.approx(5e-8, rel=1e-3)
    assert found.metadata == pytest.approx(1e-4)
    assert found.metadata_partition == pytest.approx(1e-6)
    assert (found.transaction, found.transaction_seconds) == (1e-3, 5e-3)


def test_cores_are_what_the_runs_had() -> None:
    measured = report()
    most = max(one["records_per_second"] * _cpu(one) for one in measured["sending"])
    assert cores_of(measured) == pytest.approx(min(2, most))
    assert cores_of({**measured, "machine": {"cpus": 0.01}}) == 0.01


def _cpu(one: dict[str, Any]) -> float:
    return float(one["client_cpu_us_per_record"] + one["broker_cpu_us_per_record"]) / 1e6


def test_a_shared_producer_is_not_predicted() -> None:
    shared = row(1, 1e4, 1e-5, 1e-5, share="threads, one producer")
    measured = report()
    n = len(predictions(measured))
    measured["sending"].append(shared)
    assert len(predictions(measured)) == n


def test_the_model_is_within_a_stated_error_of_what_was_measured() -> None:
    errors = [abs(one.error) for one in predictions(pages.read(pages.newest(NAME)))]
    assert median(errors) < 1  # a factor of two, on a busy machine, too
    assert f"median error {median(errors):.0%}" in (pages.ROOT / "docs" / "scaling.md").read_text()


def test_what_a_producer_adds_is_the_difference_to_the_process_before() -> None:
    stage = dict.fromkeys(("rss", "pss", "private", "malloc"), 2**20)
    before = {**stage, "threads": 1, "descriptors": 5, "connections": 0}
    sent = {**dict.fromkeys(stage, 21 * 2**20), "threads": 71, "descriptors": 105, "connections": 40}
    made = {"lane": "safe", "idempotence": True, "producers": 10, "processes": 1, "before": before, "sent": sent}
    assert footprint.summary(made)["rss"] == 2.0
    assert footprint.summary(made)["threads"] == 7.0
    assert footprint.summary({**made, "producers": 1, "processes": 10})["connections"] == 4.0


def test_an_entry_is_the_objects_that_there_are_more_of_for_each() -> None:
    before = {"Entry": (10, 480), "Node": (1_000, 32_000), "byte[]": (5, 5_000)}
    after = {"Entry": (110, 5_280), "Node": (1_100, 35_200), "byte[]": (25, 900_000), "Deque": (95, 2_280)}
    assert per_entry(before, after, 100) == (4_800 + 3_200 + 2_280) / 100


def test_this_process_has_threads_and_memory() -> None:
    found = footprint.usage()
    assert found["threads"] >= 1
    assert found["rss"] >= found["private"] > 0


def test_requests_are_framed_as_brokers_want_them() -> None:
    asked = wire.metadata("t")
    assert struct.unpack_from(">ihhi", asked) == (len(asked) - 4, 3, 4, 1)
    assert asked.endswith(b"\0\0\0\x01\0\x01t\0")
    assert wire.init_producer_id()[4:8] == b"\0\x16\0\x01"


def test_places_of_the_page_are_those_of_its_tables() -> None:
    page = (pages.ROOT / "docs" / "scaling.md").read_text()
    for place, text in texts().items():
        assert f"<!-- {place} -->\n{text}<!-- /{place} -->" in page, "run python -m bench.scaling.page"


def test_engines_are_shown_with_what_more_workers_bring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(workers: int, rate: float, contender: str = "twolane, JSON, safe") -> dict[str, Any]:
        cpu = {"cpu_us_per_record": 2.5}
        return {"engine": "ray", "contender": contender, "workers": workers, "records_per_second": rate, **cpu}

    folder = tmp_path / "bench" / "results" / "some"
    folder.mkdir(parents=True)
    (folder / NAME).write_text(json.dumps(report()))
    (tmp_path / "sinks.json").write_text(json.dumps({"runs": [run(4, 3e5), run(2, 2e5), run(2, 9.0, "no sink")]}))
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    add_engines(tmp_path / "sinks.json")
    lines = engines(pages.read(pages.newest(NAME)))
    assert lines[2:] == ["| ray | JSON, safe | 2, 4 | 200 000, 300 000 | 1.50 | 2.5, 2.5 |", ""]


@pytest.mark.parametrize(("code", "expected"), [(0, True), (14, False)])
def test_a_broker_without_numbers_asks_to_come_again(code: int, expected: bool) -> None:
    assert wire.is_producer_id(struct.pack(">iih", 1, 0, code)) is expected
    with pytest.raises(ConnectionError, match="error 31"):
        wire.is_producer_id(struct.pack(">iih", 1, 0, 31))
