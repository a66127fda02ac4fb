"""A result that is not what the log holds must not become a figure."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from bench.clusters import EMBEDDED, Kafka, open_cluster
from bench.contender import Task
from bench.lanes import CONTENDERS
from bench.matrix import Case
from bench.measure import FailedError, measure, run
from bench.results import Results, read_notes
from bench.suite import SMOKE, Session
from bench.verify import Log, UnverifiedError
from tests.bench.conftest import cheat

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.contender import Contender


@pytest.fixture(scope="module")
def kafka() -> Iterator[Kafka]:
    with open_cluster(EMBEDDED) as cluster:
        yield cluster


@pytest.fixture
def log(kafka: Kafka) -> Iterator[Log]:
    with Log(kafka.bootstrap_servers) as reader:
        yield reader


def task(kafka: Kafka, values: str, **changes: Any) -> Task:
    given = Task(
        bootstrap_servers=kafka.bootstrap_servers,
        topic=kafka.topic(3, 0),
        partitions=3,
        values=values,
        records=100,
        warmup=3,
        acks="1",
        first_timestamp=int(time.time() * 1000),
    )
    return replace(given, **changes)


def test_an_honest_contender_is_believed(kafka: Kafka, log: Log, values: str) -> None:
    assert measure(cheat("not at all"), task(kafka, values), kafka, log).records == 100


@pytest.mark.parametrize(
    ("how", "complaint"),
    [
        ("loses one", "102 records in the log, 103 were reported"),
        ("sends one twice", "104 records in the log, 103 were reported"),
        ("has a failure", "99 of 100 records acknowledged, 1 failed"),
        ("changes a value", "the value is"),
        ("changes a key", "the key is b'key-none'"),
        ("changes a time", "the timestamp is"),
        ("swaps two", "the value is"),
        ("one partition", "records in the partitions"),
    ],
)
def test_a_cheat_is_refused(kafka: Kafka, log: Log, values: str, how: str, complaint: str) -> None:
    with pytest.raises(UnverifiedError, match=complaint):
        measure(cheat(how), task(kafka, values), kafka, log)


@pytest.mark.parametrize(
    ("how", "complaint"),
    [("crashes", "exit status 1: no such library"), ("prints nothing", "printed no result")],
)
def test_a_contender_that_breaks_off_has_no_result(kafka: Kafka, values: str, how: str, complaint: str) -> None:
    with pytest.raises(FailedError, match=complaint):
        run(cheat(how), task(kafka, values))


def test_a_contender_that_hangs_is_ended(kafka: Kafka, values: str) -> None:
    with pytest.raises(FailedError, match="not finished after 1 s"):
        run(cheat("hangs"), task(kafka, values, timeout=1.0))


def test_what_a_client_lacks_is_not_held_against_it(kafka: Kafka, log: Log, values: str) -> None:
    floor = next(one for one in CONTENDERS if one.name.startswith("C loop"))
    assert measure(floor, task(kafka, values), kafka, log).lacks == ["key", "timestamp"]


@pytest.mark.parametrize("contender", CONTENDERS, ids=lambda one: one.name)
def test_the_lanes_keep_to_the_protocol(kafka: Kafka, log: Log, values: str, contender: Contender) -> None:
    for mode in contender.modes:
        for data in contender.data:
            result = measure(contender, task(kafka, values, mode=mode, data=data, linger_ms=0), kafka, log)
            assert result.records == 100
            assert (mode == "wait") == ("p50" in result.latencies)


def test_the_headline_has_a_value_in_every_round_and_the_others_in_the_first(kafka: Kafka, tmp_path: Path) -> None:
    results = Results(tmp_path / "embedded.json", kafka.facts())
    other, headline = (Case(one.name, acks="1") for one in (cheat("not at all"), cheat("still not")))
    contenders = {case.contender: cheat("not at all") for case in (other, headline)}
    effort = replace(SMOKE, rounds=3, others=1)
    Session(kafka, contenders, results, effort, headline=[headline]).run([headline, other])
    assert [results.values(case) for case in (headline, other)] == [3, 1]


def test_a_refused_result_leaves_no_figure(kafka: Kafka, tmp_path: Path) -> None:
    honest, liar = cheat("not at all"), cheat("loses one")
    gone = replace(cheat("not here"), missing=lambda: "not installed")
    results = Results(tmp_path / "embedded.json", kafka.facts())
    cases = [Case(one.name, acks="1") for one in (liar, honest, gone)]
    Session(kafka, {one.name: one for one in (honest, liar, gone)}, results, SMOKE).run(cases)
    assert [results.values(case) for case in cases] == [0, 1, 0]
    notes = read_notes([results.path])
    assert notes["missing"] == {gone.name: "not installed"}
    assert list(notes["failed"]) == [cases[0].name]
    assert "unverified" in notes["failed"][cases[0].name]
