"""The checkers find no fault where there is none, and each fault by its name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from faults.checkers import check
from faults.history import NOT_WRITTEN, UNKNOWN, WRITTEN
from faults.workload import RoundFacts
from tests.faults.synthetic import NANO, TIMEOUT, Round, make, workload

ROUNDS = st.builds(
    lambda seed, *sizes: make(np.random.default_rng(seed), *sizes),
    st.integers(0, 2**32),
    st.integers(1, 12),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 8),
)


@given(ROUNDS)
def test_sound_rounds_pass(made):
    judgement = made.judged()
    assert judgement.violations == []
    verdicts = made.history.ended["verdict"]
    counts = judgement.counts
    assert counts["records"] == len(verdicts) == sum(counts[name] for name in ("written", "not_written", "unknown"))
    assert counts["logged"] == len(made.log) == counts["written"] + counts["true_unknown"]
    assert counts["unknown"] == counts["true_unknown"] + counts["false_unknown"] == (verdicts == UNKNOWN).sum()


# ---- one mutation each -----------------------------------------------------------------------------------------------
# Each takes a round (its arrays are its own) and a number that chooses where; None where the round has no such place.


def _pick(found, number):
    return found[number % len(found)] if len(found) else None


def _of(made, verdict, number):
    return _pick(np.flatnonzero(made.history.ended["verdict"] == verdict), number)


def _in_log(made, told):
    same = (made.log["producer"] == told["producer"]) & (made.log["sequence"] == told["sequence"])
    return int(np.flatnonzero(same)[0])


def lose_a_record(made, number):
    at = _of(made, WRITTEN, number)
    return None if at is None else made._replace(log=np.delete(made.log, _in_log(made, made.history.ended[at])))


def call_a_record_not_written(made, number):
    at = _of(made, WRITTEN, number)
    if at is None:
        return None
    made.history.ended["verdict"][at] = NOT_WRITTEN
    return made


def call_a_record_written(made, number):
    at = _of(made, NOT_WRITTEN, number)
    if at is None:
        return None
    made.history.ended["verdict"][at] = WRITTEN
    made.history.ended["offset"][at] = 10**6
    return made


def forget_a_verdict(made, number):
    at = _pick(range(len(made.history.ended)), number)
    made.history.ended = np.delete(made.history.ended, at)
    return made


def tell_a_verdict_twice(made, number):
    at = _pick(range(len(made.history.ended)), number)
    made.history.ended = np.append(made.history.ended, made.history.ended[at : at + 1])
    return made


def tell_a_verdict_on_nothing(made, number):
    made.history.ended["sequence"][_pick(range(len(made.history.ended)), number)] = 10**6
    return made


def tell_a_wrong_offset(made, number):
    at = _of(made, WRITTEN, number)
    if at is None:
        return None
    made.history.ended["offset"][at] += 1 + number % 3
    return made


def tell_a_wrong_partition(made, number):
    at = _of(made, WRITTEN, number)
    if at is None:
        return None
    made.history.ended["partition"][at] += 1
    return made


def keep_another_timestamp(made, number):
    at = _of(made, WRITTEN, number)
    if at is None:
        return None
    made.log["timestamp"][_in_log(made, made.history.ended[at])] += 1
    return made


def write_twice(made, number):
    at = _pick(range(len(made.log)), number)
    if at is None:
        return None
    copy = made.log[at : at + 1].copy()
    copy["offset"] = 10**6
    log = np.append(made.log, copy)
    return made._replace(log=log[np.lexsort((log["offset"], log["partition"]))])


def change_a_byte(made, number):
    at = _pick(range(len(made.log)), number)
    if at is None:
        return None
    made.log["intact"][at] = False
    return made


def write_to_another_partition(made, number):
    at = _pick(range(len(made.log)), number)
    if at is None:
        return None
    made.log["sent_to"][at] += 1
    return made


def write_what_nobody_sent(made, number):
    at = _pick(range(len(made.log)), number)
    if at is None:
        return None
    made.log["producer"][at] = 7
    return made


def _neighbours(made):
    """Return places in the log where two written records of one stream and partition follow each other."""
    log = made.log
    written = {(int(one["producer"]), int(one["sequence"])) for one in made.history.ended if one["verdict"] == WRITTEN}
    is_written = np.array([(int(one["producer"]), int(one["sequence"])) in written for one in log], bool)
    same = (log["partition"][1:] == log["partition"][:-1]) & (log["producer"][1:] == log["producer"][:-1])
    return np.flatnonzero(same & is_written[1:] & is_written[:-1])


def exchange_two_records(made, number):
    at = _pick(_neighbours(made), number)
    if at is None:
        return None
    one, other = made.log[at].copy(), made.log[at + 1].copy()
    for name in ("sequence", "timestamp"):
        made.log[name][at], made.log[name][at + 1] = other[name], one[name]
    # With offsets that agree: only the order is wrong.
    for told in made.history.ended:
        if told["producer"] == one["producer"] and told["sequence"] in (one["sequence"], other["sequence"]):
            told["offset"] = one["offset"] if told["sequence"] == other["sequence"] else other["offset"]
    return made


def leave_a_gap(made, number):
    """A record that was written counts as unknown and is not there, though one behind it in its call is."""
    sent = {(int(one["producer"]), int(one["sequence"])): one for one in made.history.invoked}
    places = [
        at
        for at in _neighbours(made)
        if len({int(sent[int(made.log["producer"][i]), int(made.log["sequence"][i])]["call"]) for i in (at, at + 1)})
        == 1
    ]
    at = _pick(places, number)
    if at is None:
        return None
    gone = made.log[at]
    is_it = (made.history.ended["producer"] == gone["producer"]) & (made.history.ended["sequence"] == gone["sequence"])
    made.history.ended["verdict"][is_it] = UNKNOWN
    made.history.ended["offset"][is_it] = -1
    return made._replace(log=np.delete(made.log, at))


def tell_an_offset_of_before(made, number):
    """A record has an offset below one that was acknowledged before it was handed over."""
    ended, sent = made.history.ended, made.history.invoked
    offsets = np.where(ended["verdict"] == WRITTEN, ended["offset"], -1)
    later = [
        i
        for i in np.flatnonzero(ended["verdict"] == WRITTEN)
        if (offsets[(ended["partition"] == ended["partition"][i]) & (ended["at"] < sent["at"][i])] > 0).any()
    ]
    at = _pick(later, number)
    if at is None:
        return None
    ended["offset"][at] = 0
    return made


def answer_late(made, number):
    at = _pick(range(len(made.history.ended)), number)
    made.history.ended["at"][at] = made.history.invoked["at"][at] + int((TIMEOUT + 1.6) * NANO)
    return made


def hand_over_out_of_number(made, number):
    made.history.invoked["sequence"][_pick(range(len(made.history.invoked)), number)] += 10**6
    return made


MUTATIONS = {
    lose_a_record: "lost-write",
    call_a_record_not_written: "G1a",
    call_a_record_written: "lost-write",
    forget_a_verdict: "exactly-one-verdict",
    tell_a_verdict_twice: "exactly-one-verdict",
    tell_a_verdict_on_nothing: "exactly-one-verdict",
    tell_a_wrong_offset: "offset-agrees",
    tell_a_wrong_partition: "offset-agrees",
    keep_another_timestamp: "offset-agrees",
    write_twice: "duplicate",
    change_a_byte: "corrupt",
    write_to_another_partition: "corrupt",
    write_what_nobody_sent: "corrupt",
    exchange_two_records: "order",
    leave_a_gap: "prefix",
    tell_an_offset_of_before: "offsets-increase",
    answer_late: "time-bound",
    hand_over_out_of_number: "history",
}


@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda mutate: mutate.__name__)
@settings(max_examples=20)
@given(made=ROUNDS, number=st.integers(0, 1000))
def test_one_mutation_is_found_by_name(mutate, made, number):
    changed = mutate(made, number)
    assume(changed is not None)
    assert MUTATIONS[mutate] in changed.judged().kinds


# ---- what is allowed, and what a round is told -----------------------------------------------------------------------


def one_round(**changes) -> Round:
    made = make(np.random.default_rng(3), 8, 2, 2, 6)
    return made._replace(workload=replace(made.workload, **changes))


@pytest.mark.parametrize(
    "changes",
    [{"idempotence": False}, {"lane": "throughput"}],
    ids=["without idempotence", "F13 on the throughput lane"],
)
def test_duplicates_that_are_documented_are_counted(changes):
    judgement = write_twice(one_round(**changes), 3).judged()
    assert judgement.kinds <= {"order"} if changes.get("idempotence", True) else judgement.kinds == set()
    assert judgement.counts["duplicates"] == 1


def test_order_is_not_promised_on_the_throughput_lane_without_idempotence():
    made = exchange_two_records(one_round(lane="throughput", idempotence=False), 1)
    assert "order" not in made.judged().kinds


def test_a_killed_client_owes_no_verdict():
    made = forget_a_verdict(one_round(), 5)
    made.history.events.pop()
    assert made.judged().kinds == {"history", "exactly-one-verdict"}
    killed = made._replace(facts=RoundFacts(is_killed=True))
    assert killed.judged().kinds == set()
    assert killed.judged().counts["lost_with_client"] == 1
    made.history.events.append({"event": "ended", "epoch": 0, "at": 0})
    assert killed.judged().kinds == {"exactly-one-verdict"}, "this process came to its end"


def test_a_topic_made_again_has_forgotten_what_was_before():
    made = one_round()
    gone = made._replace(log=made.log[:0])
    assert "lost-write" in gone.judged().kinds
    after = made.history.ended["at"].max() / NANO + 1
    assert gone._replace(facts=RoundFacts(log_gone_before=after)).judged().kinds == set()


def test_recovery_has_ten_seconds():
    made = one_round()
    last = made.history.ended["at"].max()
    heal = (int(last) + NANO) / NANO
    row = made.history.invoked[:1].copy()
    told = made.history.ended[:1].copy()
    row["sequence"], row["call"] = (made.history.invoked["producer"] == row["producer"]).sum(), 10**6
    told["sequence"], told["verdict"], told["offset"] = row["sequence"], NOT_WRITTEN, -1
    facts = RoundFacts(injected_at=heal - 2, healed_at=heal)
    for seconds, kinds in ((9, set()), (11, {"liveness"})):
        row["at"], told["at"] = int((heal + seconds) * NANO), int((heal + seconds) * NANO)
        made.history.events.append({"event": "stopping", "at": int(row["at"][0])})
        history = replace(
            made.history,
            invoked=np.append(made.history.invoked, row),
            ended=np.append(made.history.ended, told),
        )
        assert made._replace(history=history, facts=facts).judged().kinds == kinds


def test_memory_has_a_bound():
    made = one_round(config={"queue_buffering_max_kbytes": 10 * 1024})
    for size, kinds in ((170, set()), (190, {"memory-bound"})):
        seen = [{"event": "rss", "at": 0, "epoch": 0, "bytes": mib << 20} for mib in (100, size)]
        changed = made._replace(history=replace(made.history, events=made.history.events + seen))
        assert changed.judged().kinds == kinds


def test_hold_ups_of_the_machine_are_added_to_the_bound():
    made = answer_late(one_round(), 2)
    made.history.events.append({"event": "stalled", "at": 0, "seconds": 0.5})
    assert made.judged().kinds == set()


def test_an_error_that_nobody_expected_is_one():
    made = one_round()
    made.history.events.append({"event": "unexpected", "at": 0, "error": "RuntimeError()"})
    assert made.judged().kinds == {"history"}


def test_nothing_sent_is_no_fault():
    made = make(np.random.default_rng(1), 1, 1, 1, 1)
    empty = replace(made.history, invoked=made.history.invoked[:0], ended=made.history.ended[:0])
    assert check(empty, made.log[:0], workload(), RoundFacts()).violations == []
