"""The checkers find what they are for, and nothing else."""

from __future__ import annotations

import pytest

from tests.support import checkers
from tests.support.checkers import Sent, assert_kept_its_word
from tests.support.readers import ReadRecord
from twolane.errors import Verdict

W, N, U = Verdict.WRITTEN, Verdict.NOT_WRITTEN, Verdict.UNKNOWN


def log_of(*partitions):
    return [
        ReadRecord(partition, offset, None, bytes([value]), [], (1, 0))
        for partition, values in enumerate(partitions)
        for offset, value in enumerate(values)
    ]


def sent_as(verdicts, partition=0, first=0):
    """Records A, B, C ... with these verdicts; those written at their place among the written."""
    offset, sent = first, []
    for i, verdict in enumerate(verdicts):
        sent.append(Sent(partition, bytes([65 + i]), verdict, offset if verdict is W else None))
        offset += verdict is W
    return sent


@pytest.mark.parametrize(
    ("verdicts", "log"),
    [
        ([W, W, W], b"ABC"),
        ([W, W, N, N], b"AB"),
        ([W, U, N], b"AB"),
        ([W, U, N], b"A"),
        ([], b""),
    ],
)
def test_sound_histories_pass(verdicts, log):
    assert_kept_its_word(sent_as(verdicts), log_of(log), once=True, prefix=True)


@pytest.mark.parametrize(
    ("check", "verdicts", "log", "words"),
    [
        (checkers.lost_writes, [W, W], b"A", "lost write"),
        (checkers.lost_writes, [W, W], b"BA", "not at its offset"),
        (checkers.phantom_writes, [W, N], b"AB", "called not written"),
        (checkers.phantom_writes, [W], b"AZ", "never sent"),
        (checkers.disorder, [W, W, W], b"ACB", "b'C' is before b'B'"),
        (checkers.duplicates, [W, W], b"ABA", "2 times"),
        (checkers.gaps, [W, U, W], b"AC", "b'B' is missing before b'C'"),
        (checkers.gaps, [N, N, U], b"C", "b'A' is missing"),
    ],
)
def test_each_damage_is_found_by_its_check(check, verdicts, log, words):
    problems = check(sent_as(verdicts), log_of(log))
    assert any(words in problem for problem in problems), problems
    with pytest.raises(AssertionError, match="broken promises"):
        assert_kept_its_word(sent_as(verdicts), log_of(log), once=True, prefix=True)


def test_a_late_duplicate_is_not_disorder():
    assert checkers.disorder(sent_as([W, W, W]), log_of(b"ABCA")) == []


def test_partitions_do_not_mix():
    sent = [*sent_as([W, W]), *sent_as([W, W], partition=1)]
    assert_kept_its_word(sent, log_of(b"AB", b"AB"), once=True, prefix=True)
    with pytest.raises(AssertionError, match="lost write"):
        assert_kept_its_word(sent, log_of(b"AB", b"A"))
    with pytest.raises(AssertionError, match="partition 1"):
        assert_kept_its_word(sent, log_of(b"AB", b"BA"))


def test_offsets_that_were_not_told_are_not_checked():
    assert_kept_its_word([Sent(0, b"A", W, None)], log_of(b"A"))
