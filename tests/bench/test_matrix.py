"""Nothing void is measured, and nothing that means something is left out of the price list."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from bench import peers
from bench.clusters import EMBEDDED, OWN
from bench.headline import LATENCY, THROUGHPUT, first, headline
from bench.lanes import BATCH, CONTENDERS, SAFE_BATCH, SAFE_SEND
from bench.matrix import (
    ACKS,
    BATCH_RECORDS,
    CODERS,
    COMPRESSION,
    IDEMPOTENCE,
    IN_FLIGHT,
    LANES,
    PIPELINE,
    RTT_MS,
    WAIT,
    Case,
    choose,
    matrix,
    preset,
    void,
)


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (Case(SAFE_SEND, WAIT, acks="1", in_flight=1, batch=1), "the safe lane is acks=all"),
        (Case(SAFE_BATCH, WAIT, in_flight=5), "the safe lane has one request in flight"),
        (Case(SAFE_SEND, WAIT, in_flight=1, batch=100), "send() takes one record"),
        (Case(BATCH, acks="1", idempotence=True, in_flight=5), "idempotence needs acks=all"),
        (Case(BATCH, idempotence=True), "with idempotence the default is 5 in flight"),
        (Case(BATCH, acks="0", rtt_ms=5), "with acks=0 no answer comes"),
        (Case(BATCH, acks="0", in_flight=1), "with acks=0 no answer comes"),
        (Case(BATCH, WAIT, in_flight=5), "a caller who waits"),
    ],
)
def test_a_void_combination_has_its_reason(case: Case, reason: str) -> None:
    assert (void(case, OWN) or "").startswith(reason)


def test_the_price_of_acks_is_not_measured_on_the_mock() -> None:
    for acks in ("0", "all"):
        assert "does not replicate" in (void(Case(BATCH, acks=acks), EMBEDDED) or "")
    assert void(Case(BATCH, acks="1"), EMBEDDED) is None
    assert void(Case(SAFE_BATCH, WAIT, in_flight=1, idempotence=True), EMBEDDED) is None


def test_no_delay_no_round_trips() -> None:
    assert void(Case(BATCH, rtt_ms=5), OWN, has_delay=False)
    assert {case.rtt_ms for case in preset("all", CONTENDERS, OWN, has_delay=False)} == {0}


def test_the_matrix_is_whole() -> None:
    axes = (ACKS, IN_FLIGHT, IDEMPOTENCE, tuple(LANES), RTT_MS, BATCH_RECORDS, COMPRESSION)
    assert len(set(matrix())) == len(list(product(*axes))) == 4320


@pytest.mark.parametrize("kind", [EMBEDDED, OWN])
@pytest.mark.parametrize("name", ["quick", "peers", "price", "all"])
def test_a_preset_holds_nothing_void_and_nothing_twice(kind: str, name: str) -> None:
    cases = preset(name, CONTENDERS, kind)
    assert cases
    assert not [case.name for case in cases if void(case, kind)]
    assert len({case.name for case in cases}) == len(cases)


def test_the_price_list_has_all_that_means_something() -> None:
    price = set(preset("price", CONTENDERS, OWN))
    assert not [case.name for case in matrix(compression="none") if void(case, OWN) is None and case not in price]
    assert {case.compression for case in price} == set(COMPRESSION)
    assert {case.contender for case in price} == {contender.name for contender in CONTENDERS}


def test_what_compresses_and_encrypts_does_both_beside_the_others() -> None:
    everybody = (*CONTENDERS, *peers.CONTENDERS)
    asked = {
        (case.contender, case.compression, case.tls)
        for case in preset("peers", everybody, OWN)
        if case.contender in CODERS and case.mode == PIPELINE and case.data == "bytes"
    }
    ways = [("none", False), ("lz4", False), ("zstd", False), ("none", True)]
    assert asked == {(name, *way) for name in CODERS for way in ways}
    assert not any(case.tls for case in preset("all", everybody, EMBEDDED))


def test_what_a_ratio_compares_runs_one_behind_the_other() -> None:
    cases = first(preset("price", CONTENDERS, OWN), headline(CONTENDERS, OWN))
    assert set(cases) == set(preset("price", CONTENDERS, OWN)), "nothing is added, nothing lost"
    for step, rtt in product((*THROUGHPUT, *LATENCY), RTT_MS):
        before, after = (cases.index(replace(case, rtt_ms=rtt)) for case in (step.before, step.after))
        assert abs(after - before) <= 5, step.name


def test_a_pattern_is_a_part_of_the_name_or_has_wildcards() -> None:
    cases = [Case(BATCH, rtt_ms=rtt) for rtt in (0, 5)]
    assert choose(cases, ["rtt=5ms"]) == choose(cases, ["throughput*rtt=5ms*"]) == cases[1:]
    assert choose(cases, ["rtt=5ms", "lz4"]) == []
    assert choose(cases, []) == cases


def test_the_name_tells_all_axes_apart() -> None:
    case = Case(BATCH)
    others = [
        replace(case, mode=WAIT),
        replace(case, acks="1"),
        replace(case, in_flight=5),
        replace(case, idempotence=True),
        replace(case, rtt_ms=1),
        replace(case, batch=1),
        replace(case, compression="lz4"),
        replace(case, partitions=3),
        replace(case, size=10),
        replace(case, data="avro"),
        replace(case, tls=True),
    ]
    assert case.mode == PIPELINE
    assert len({case.name, *(other.name for other in others)}) == len(others) + 1
