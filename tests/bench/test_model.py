"""The model against costs that are known, and the advice that follows from them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Producer

from bench.lanes import BATCH, SAFE_BATCH
from bench.matrix import PIPELINE, RTT_MS, WAIT, Case
from bench.model import costs_of, predictions, requests_in_flight
from bench.results import load
from tests.support.waiting import hold_answers, stays, until_requests
from twolane.cli.advising.costs import Costs, fit, fitting
from twolane.testing import ApiKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from twolane.testing import EmbeddedCluster

COSTS = Costs(request=1e-3, record=1e-6, cpu_request=1e-4, cpu_record=4e-7)


def wall(batch: int, rtt: float = 0.0) -> float:
    """Seconds per record of a call that waits, computed apart from the model."""
    requests = -(-batch // fitting(100))
    return (requests * (rtt + 1e-3) + batch * 1e-6) / batch


def test_costs_are_found_again() -> None:
    found = fit([(b, wall(b), 1e-4 / b + 4e-7) for b in (1, 100, 5_000)])
    assert found.request == pytest.approx(1e-3)
    assert found.record == pytest.approx(1e-6)
    assert found.cpu_record == pytest.approx(4e-7)


def test_costs_are_never_negative() -> None:
    assert fit([(1, 1e-6, 1e-6), (100, 1e-6, 1e-6), (1000, 1.1e-6, 1e-6)]).request == 0
    assert fit([(1, 1e-3, 1e-3), (100, 0.9e-5, 1e-5)]).record == 0


def test_one_size_of_call_says_nothing() -> None:
    with pytest.raises(ValueError, match="two sizes"):
        fit([(100, 1e-5, 1e-6), (100, 1e-5, 1e-6)])


def test_one_in_flight_is_bound_by_the_round_trip() -> None:
    assert COSTS.rate(1, 0.020) == pytest.approx(1 / 0.021, rel=1e-3)
    assert COSTS.rate(100, 0.020) == pytest.approx(100 / 0.0211, rel=1e-3)


def test_more_in_flight_bring_more_until_the_processor_is_the_limit() -> None:
    assert COSTS.rate(100, 0.020, 5) == pytest.approx(5 * COSTS.rate(100, 0.020))
    work = 1e-4 / 5_000 + 4e-7
    assert COSTS.rate(5_000, 0.0, None) == pytest.approx(1 / work)
    assert COSTS.rate(5_000, 0.0, 1_000) == pytest.approx(1 / work)


def test_a_call_that_does_not_fit_a_request_takes_two_round_trips() -> None:
    assert fitting(100) == 6_944
    assert COSTS.call(6_944, 0.020) == pytest.approx(0.021 + 6_944e-6)
    assert COSTS.call(6_945, 0.020) == pytest.approx(0.042 + 6_945e-6)


@pytest.mark.parametrize("rate", [10, 900, 50_000, 600_000])
def test_the_batch_for_a_rate_is_the_smallest(rate: float) -> None:
    batch = COSTS.batch_for(rate)
    assert batch is not None
    assert COSTS.rate(batch, 0.0) >= rate
    assert batch == 1 or COSTS.rate(batch - 1, 0.0) < rate


def test_no_batch_for_more_than_the_processor_can() -> None:
    assert COSTS.batch_for(1e8) is None


def test_predictions_come_from_the_runs_without_delay_only(recorded: Callable[..., Path]) -> None:
    rows = []
    for rtt in RTT_MS:
        for batch in (1, 100, 10_000):
            case = Case(SAFE_BATCH, WAIT, in_flight=1, idempotence=True, rtt_ms=rtt, batch=batch)
            # What was measured with a delay is twice as slow as it should be.
            seconds = wall(batch, rtt / 1000) * (2 if rtt else 1)
            rows.append((case, [seconds], 1e-4 / batch + 4e-7, 1e-3))
    found = predictions(load(recorded("model", rows) / "brokers.json"))
    assert len(found) == 9
    assert all(one.error == pytest.approx(1.0, abs=0.01) for one in found)


def test_costs_are_not_mixed_between_guarantees(recorded: Callable[..., Path]) -> None:
    rows = [
        (Case(SAFE_BATCH, WAIT, in_flight=1, idempotence=idempotent, batch=batch), [factor * wall(batch)], 1e-6, 1e-3)
        for idempotent, factor in ((False, 1), (True, 3))
        for batch in (1, 100)
    ]
    costs = costs_of(load(recorded("two", rows) / "brokers.json"))
    assert sorted(round(one.request, 6) for one in costs.values()) == [1e-3, 3e-3]


@pytest.mark.parametrize(("idempotence", "batch", "expected"), [(False, 10, 5), (True, 10, 1), (True, 1, 5)])
def test_librdkafka_has_as_many_requests_in_flight_as_the_model_says(
    embedded_cluster: EmbeddedCluster, topic: Callable[..., str], idempotence: bool, batch: int, expected: int
) -> None:
    case = Case(BATCH, PIPELINE, in_flight=5, idempotence=idempotence, batch=batch)
    assert requests_in_flight(case) == expected
    settings = {
        "bootstrap.servers": embedded_cluster.bootstrap_servers,
        "enable.idempotence": idempotence,
        "max.in.flight": 5,
        "log_level": 0,
        "batch.num.messages": batch,
    }
    name = topic(embedded_cluster)
    producer = Producer(settings)
    producer.produce(name, b"connect", partition=0)
    assert producer.flush(10) == 0
    hold_answers(embedded_cluster)
    embedded_cluster.start_tracking()
    embedded_cluster.clear_requests()
    for _ in range(10 * batch):
        producer.produce(name, b"v", partition=0)
    until_requests(embedded_cluster, expected)
    assert stays(lambda: len(embedded_cluster.requests(ApiKey.PRODUCE)) == expected)
    producer.purge()
    producer.flush(10)
