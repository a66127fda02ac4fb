"""A round's seed says all of it."""

from __future__ import annotations

import random

from faults.injections import KINDS
from faults.plan import choose, plan

NAMES = list(KINDS)


def test_a_seed_is_always_the_same_round():
    for seed in range(200):
        one, same = plan(seed, NAMES), plan(seed, NAMES)
        assert one == same
        assert one.random.random() == same.random.random()  # what the fault draws, too


def test_a_round_is_replayed_by_its_seed_and_kind():
    """Whatever kinds there were to choose from."""
    for seed in range(200):
        one = plan(seed, NAMES)
        again = plan(seed, [one.fault])
        assert again == one
        assert again.random.getstate() == one.random.getstate()


def test_without_long_forms_all_the_rest_is_the_same():
    for seed in range(400):
        one, short = plan(seed, NAMES), plan(seed, NAMES, allow_long=False)
        assert one.workload == short.workload
        assert short.seconds <= KINDS[short.fault].seconds[1]
        assert one.random.getstate() == short.random.getstate()


def test_consecutive_seeds_take_each_kind_in_turn():
    turn = [choose(seed, NAMES) for seed in range(len(NAMES))]
    assert sorted(turn) == sorted(NAMES)
    assert turn != [choose(seed, NAMES) for seed in range(len(NAMES), 2 * len(NAMES))]


def test_the_order_of_the_kinds_does_not_matter():
    mixed = random.Random(1).sample(NAMES, len(NAMES))
    assert [choose(seed, mixed) for seed in range(100)] == [choose(seed, NAMES) for seed in range(100)]


def test_many_seeds_have_every_combination():
    found = {
        (one.lane, one.front, one.idempotence, one.transactional, one.batch == 1)
        for one in (plan(seed, NAMES).workload for seed in range(600))
    }
    settings = [(False, False), (True, False), (True, True)]
    wanted = {
        (lane, front, *setting, is_single)
        for lane in ("safe", "throughput")
        for front in ("sync", "asyncio")
        for setting in settings
        for is_single in (False, True)
    }
    assert wanted == found


def test_long_forms_are_taken_now_and_then():
    lengths = [plan(seed, ["sigstop"]).seconds for seed in range(300)]
    long = [one for one in lengths if one > 10]
    assert 10 < len(long) < 60
