"""``twolane advise``: what follows from known costs, and a real survey."""

from __future__ import annotations

import json

import pytest

from tests.support.waiting import wait_until
from twolane.cli.advise import KEEP_FREED, hints_on
from twolane.cli.advising.advice import Measured, Survey, Wish, advise
from twolane.cli.advising.costs import Costs, fitting
from twolane.cli.exits import Exit
from twolane.cli.loading.tail import LogTail

COSTS = Costs(request=1e-3, record=1e-6, cpu_request=1e-4, cpu_record=4e-7)


def waited(batch: int) -> Measured:
    """A call on a cluster whose answers take a millisecond; its tail is twice as long."""
    seconds = COSTS.call(batch, 0.0)
    return Measured(batch, seconds / batch, 1e-4 / batch + 4e-7, seconds, 2 * seconds)


@pytest.fixture
def survey() -> Survey:
    pipelines = {True: Measured(10_000, 1 / 500_000, 5e-7), False: Measured(10_000, 1 / 900_000, 5e-7)}
    calls = tuple(waited(batch) for batch in (1, 100, fitting(100)))
    return Survey(0.0005, 100, waited(1), calls, waited(100), pipelines)


def chosen(survey: Survey, rate: float | None, p99: float | None, partitions: int = 1) -> str:
    option = advise(survey, Wish(rate, p99, partitions)).chosen
    return option.how if option else "nothing"


def test_costs_are_found_again(survey):
    costs = survey.costs
    assert (costs.request, costs.record) == pytest.approx((COSTS.request, COSTS.record))
    assert survey.tail == pytest.approx(2)


def test_the_safest_that_does_is_advised(survey):
    assert chosen(survey, 500, None) == "SafeProducer.send()"
    assert chosen(survey, 50_000, None).startswith("SafeProducer.send_batch()")
    assert chosen(survey, 650_000, None) == "SafeProducer.send_batch() of 4 330"
    assert chosen(survey, 1e9, None) == "nothing"


def test_a_p99_bounds_the_batch(survey):
    wish = Wish(None, 0.020)
    batches = advise(survey, wish).options[1]
    assert batches.misses(wish) is None
    assert batches.p99 == pytest.approx(0.020, rel=0.01)
    assert chosen(survey, 50_000, 0.001) == "nothing"


def test_a_p99_bounds_the_linger(survey):
    def linger(p99: float | None) -> str:
        return advise(survey, Wish(None, p99)).options[-1].how

    assert linger(None) == linger(1.0) == "ThroughputProducer(enable_idempotence=False, linger_ms=5).send_batch()"
    # A call takes 2.2 ms at its tail.
    assert linger(0.005) == "ThroughputProducer(enable_idempotence=False, linger_ms=2.8).send_batch()"
    assert linger(0.001) == "ThroughputProducer(enable_idempotence=False, linger_ms=0).send_batch()"


def test_partitions_multiply_what_the_safe_lane_can(survey):
    one = advise(survey, Wish(600_000, None, 1)).options[1]
    four = advise(survey, Wish(600_000, None, 4)).options[1]
    assert int(four.how.rpartition(" ")[2]) < int(one.how.split("of ")[1].replace(" ", ""))
    assert four.rate >= 600_000


def test_the_advice_names_its_reasons(survey):
    text = advise(survey, Wish(50_000, 0.010)).text()
    assert "SafeProducer.send(): no: 799 records/s at most" in text
    assert "SafeProducer.send_batch() of " in text
    assert "CHOSEN" in text
    assert "an acknowledged request takes 1 ms" in text
    assert "Nothing meets it" in advise(survey, Wish(1e9, None)).text()


@pytest.mark.parametrize("protocol", ["plaintext", "SASL_PLAINTEXT", "ssl", "SASL_SSL"])
@pytest.mark.parametrize("libc", ["glibc", ""])
@pytest.mark.parametrize("is_set", [False, True])
def test_what_glibc_can_be_told_is_named_with_tls(monkeypatch, protocol, libc, is_set):
    monkeypatch.setattr("platform.libc_ver", lambda: (libc, ""))
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)
    if is_set:
        monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1")
    is_of_use = protocol.lower().endswith("ssl") and bool(libc) and not is_set
    assert hints_on({"security.protocol": protocol}) == [KEEP_FREED] * is_of_use
    assert hints_on({}) == []


# ---- the command -----------------------------------------------------------------------------------------------------


def test_a_survey_of_a_topic(run, embedded_cluster):
    embedded_cluster.create_topic("t")
    where = ["-b", embedded_cluster.bootstrap_servers, "-t", "t", "--seconds", 0, "--size", 1000]
    result = run("advise", *where, "--rate", 1)
    assert result.exit_code == Exit.OK, result.output
    assert "SafeProducer.send(): CHOSEN" in result.stdout
    assert result.stderr.count("measuring ") == 14
    result = run("advise", *where, "--rate", 1e12, "--json")
    assert result.exit_code == Exit.FOUND
    found = json.loads(result.stdout)
    assert found["chosen"] is None
    assert len(found["options"]) == 4
    assert found["hints"] == []
    assert all("at most" in option["misses"] and option["rate"] > 0 for option in found["options"])
    assert result.stderr == ""


def test_a_log_that_is_too_short_is_no_figure(run, embedded_cluster, monkeypatch):
    embedded_cluster.create_topic("t")
    monkeypatch.setattr(LogTail, "ends", lambda self, topic, partitions: {"0": 0})
    result = run("advise", "-b", embedded_cluster.bootstrap_servers, "-t", "t", "--seconds", 0, "-q")
    assert result.exit_code == Exit.FOUND
    assert "10 records were acknowledged, the log grew by 0" in result.stderr
    assert result.stdout == ""


@pytest.mark.cluster
def test_a_topic_is_made_and_deleted(run, kafka_cluster):
    result = run("advise", "-b", kafka_cluster.bootstrap_servers, "--rate", 10, "--seconds", 0.05)
    assert result.exit_code == Exit.OK, result.output
    assert "CHOSEN" in result.stdout
    # Brokers forget a topic some time after they have said that it is deleted.
    wait_until(lambda: not [name for name in kafka_cluster.admin.list_topics(timeout=10).topics if "-advise-" in name])
