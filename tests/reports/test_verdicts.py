"""The verdict table: code by code, and the compiled side beside the readable one."""

from __future__ import annotations

import itertools

import pytest
from confluent_kafka import KafkaError

from twolane import Verdict
from twolane.reports.classify import verdict_number
from twolane.verdicts import (
    GIVEN_UP_LOCALLY,
    IN_DOUBT,
    OF_NO_RECORD,
    REFUSED_BEFORE_APPEND,
    RETRIED_BY_COUNT,
    verdict,
)

CODES = range(-256, 768)
# Of Kafka's Errors (4.3.1), which have no gaps.
FIRST_OF_KAFKA, LAST_OF_KAFKA = -1, 133
ONE_ATTEMPT = {
    "possibly_persisted": False,
    "attempts": 1,
    "retries": 3,
    "one_broker": True,
    "offset": -1,
    "acks_none": False,
}


def test_the_compiled_table_is_the_readable_one():
    for code in [*CODES, -(2**31), 2**31 - 1, -257, 768, 5_000]:
        for possibly, attempts, retries, one_broker, offset, acks_none in itertools.product(
            (False, True), (0, 1, 2, 4, 5, 10**12), (0, 3, 2**31 - 1), (False, True), (-1001, -1, 0, 7), (False, True)
        ):
            expected = verdict(
                code,
                possibly_persisted=possibly,
                attempts=attempts,
                retries=retries,
                one_broker=one_broker,
                offset=offset,
                acks_none=acks_none,
            )
            number = verdict_number(code, possibly, attempts, retries, one_broker, offset, acks_none)
            assert number is expected, (code, possibly, attempts, retries, one_broker, offset, acks_none)


def test_what_may_have_been_appended_is_never_called_not_written():
    in_doubt = {
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.KAFKA_STORAGE_ERROR,
        KafkaError.UNKNOWN,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER,
        KafkaError.DUPLICATE_SEQUENCE_NUMBER,
        KafkaError._TRANSPORT,
        KafkaError._TIMED_OUT,
        KafkaError._PURGE_INFLIGHT,
    }
    assert not in_doubt & (REFUSED_BEFORE_APPEND | GIVEN_UP_LOCALLY)
    for code in in_doubt:
        assert verdict(code, **ONE_ATTEMPT) is Verdict.UNKNOWN


@pytest.mark.parametrize("code", sorted(REFUSED_BEFORE_APPEND))
def test_a_refusal_before_append_proves_it(code):
    assert verdict(code, **ONE_ATTEMPT) is Verdict.NOT_WRITTEN
    # One that is not retried tells nothing of an attempt before it, which may have been answered after an append.
    after_retries = Verdict.NOT_WRITTEN if code in RETRIED_BY_COUNT else Verdict.UNKNOWN
    assert verdict(code, **{**ONE_ATTEMPT, "attempts": 4}) is after_retries
    # Uncounted retries: one of them may have been answered after an append.
    assert verdict(code, **{**ONE_ATTEMPT, "attempts": 5}) is Verdict.UNKNOWN
    assert verdict(code, **{**ONE_ATTEMPT, "attempts": 2, "one_broker": False}) is Verdict.UNKNOWN
    assert verdict(code, **{**ONE_ATTEMPT, "possibly_persisted": True}) is Verdict.UNKNOWN


@pytest.mark.parametrize("code", sorted(GIVEN_UP_LOCALLY))
def test_what_librdkafka_gave_up_itself_is_proof_only_if_nothing_ever_left(code):
    assert verdict(code, **{**ONE_ATTEMPT, "attempts": 0}) is Verdict.NOT_WRITTEN
    assert verdict(code, **ONE_ATTEMPT) is Verdict.UNKNOWN


def test_a_success_without_an_offset_is_not_one():
    for offset in (-1, -1001, -1000):
        assert verdict(0, **{**ONE_ATTEMPT, "offset": offset}) is Verdict.UNKNOWN
        assert verdict(0, **{**ONE_ATTEMPT, "offset": offset, "acks_none": True}) is Verdict.WRITTEN
    assert verdict(0, **{**ONE_ATTEMPT, "offset": 0}) is Verdict.WRITTEN


def librdkafkas_codes():
    named = [getattr(KafkaError, name) for name in dir(KafkaError) if name == name.upper()]
    return {code for code in named if isinstance(code, int)}


def test_every_code_of_kafka_and_of_librdkafka_has_one_rule():
    """One that a newer version brings is entered first: what it proves is looked up in the broker's source."""
    rules = [REFUSED_BEFORE_APPEND, GIVEN_UP_LOCALLY, IN_DOUBT, OF_NO_RECORD]
    known = (librdkafkas_codes() | set(range(FIRST_OF_KAFKA, LAST_OF_KAFKA + 1))) - {0}
    assert max(known) == LAST_OF_KAFKA
    assert {code: sum(code in rule for rule in rules) for code in known} == dict.fromkeys(known, 1)
    assert frozenset().union(*rules) == known
    assert RETRIED_BY_COUNT < REFUSED_BEFORE_APPEND


@pytest.mark.parametrize("codes", [IN_DOUBT, OF_NO_RECORD], ids=["in doubt", "of no record"])
@pytest.mark.parametrize("attempts", [0, 1, 4])
def test_what_proves_nothing_is_unknown_after_however_many_attempts(codes, attempts):
    assert {verdict(code, **{**ONE_ATTEMPT, "attempts": attempts}) for code in codes} == {Verdict.UNKNOWN}
