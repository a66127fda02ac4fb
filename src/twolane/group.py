"""Group commit: ``send()`` calls that wait together go together, and each hears only of its own record."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from confluent_kafka import KafkaError

from twolane.batch import EncodedBatch
from twolane.calls import refusal
from twolane.client.feed import Feed
from twolane.client.outcome import Outcome
from twolane.failures import Report, delivery_error
from twolane.records import RecordMetadata, TimestampType
from twolane.verdicts import NOT_WRITTEN, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable

    from twolane.client.chunks import ChunkSender
    from twolane.client.delivery import Delivery
    from twolane.client.handle import Topic
    from twolane.doubt import Doubts
    from twolane.headers import Header
    from twolane.turns import Turn, Turns
    from twolane.watch import Watch

# Callers that share requests at most, and how far apart their deadlines may lie.
GROUP, GROUP_SPREAD = 1_000, 0.25
# Refusals that concern a record, not the partition: the neighbours in its MessageSet are sent again without it.
_RECORD_AT_FAULT = frozenset(
    {
        KafkaError.INVALID_MSG,
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.INVALID_RECORD,
    }
)


class Single(NamedTuple):
    """One checked record of ``send()``."""

    topic: Topic
    value: bytes | None
    key: bytes | None
    headers: tuple[Header, ...]
    partition: int
    timestamp: int


class GroupSender:
    """Sends the record whose turn it is, and those of the callers waiting right behind it.

    Parameters
    ----------
    fatal_reason : callable
        Returns librdkafka's reason for ending the producer, or None.
    after : callable
        Told of the reports of failures, per topic.
    """

    def __init__(
        self,
        turns: Turns,
        chunks: ChunkSender,
        delivery: Delivery,
        doubts: Doubts,
        watch: Watch,
        fatal_reason: Callable[[], str | None],
        after: Callable[[str, list[Report]], None],
    ) -> None:
        self._turns = turns
        self._chunks = chunks
        self._delivery = delivery
        self._doubts = doubts
        self._watch = watch
        self._fatal_reason = fatal_reason
        self._after = after

    def lead(self, turn: Turn) -> None:
        """Send for the group; every member's ``outcome`` is set when this returns or raises."""
        others = self._turns.neighbours(turn, GROUP - 1, GROUP_SPREAD)
        group = [turn, *others]
        try:
            deadline = max(member.deadline for member in group)
            for members in _by_topic(group) if others else [group]:
                self._send_together(members, deadline)
        except Exception as error:
            # Whatever it is, every caller of the group must hear of it.
            for member in group:
                if member.outcome is None:
                    member.outcome = error
        finally:
            for member in others:
                if member.outcome is None:
                    member.outcome = self._interrupted(member)
                member.done = True
                member.wake()

    def _interrupted(self, member: Turn) -> BaseException:
        """Return the error of a caller whose neighbour, who was to send its record, got a signal in between."""
        job: Single = member.job
        if not member.sent:
            return refusal(job.topic.name, KafkaError._FAIL, "not sent: its sender was interrupted")
        report: Report = (0, KafkaError._FAIL, UNKNOWN, job.partition, -1, -1, 0)
        self._after(job.topic.name, [report])
        return delivery_error(job.topic.name, report, detail="the call that sent it was interrupted")

    def _send_together(self, members: list[Turn], deadline: float) -> None:
        """Send records of one topic in order."""
        one_by_one = False
        while members:
            batch, rest = (members[:1], members[1:]) if one_by_one else (members, [])
            batch = self._without_doubtful(batch)
            if batch:
                again, refused = self._attempt(batch, deadline)
                if refused and len(batch) > 1:
                    # Somebody's record was refused for what it is. Alone, it fails alone.
                    one_by_one = True
                    for member in refused:
                        member.outcome, member.sent = None, False
                    again = [member for member in batch if member.outcome is None]
                rest = again + rest
                if rest and time.monotonic() >= deadline:
                    for member in rest:
                        member.outcome = refusal(
                            member.job.topic.name, KafkaError._TIMED_OUT_QUEUE, "timed out before it was sent"
                        )
                    return
            members = rest

    def _without_doubtful(self, members: list[Turn]) -> list[Turn]:
        if not self._doubts:
            return members
        allowed = []
        for member in members:
            error = self._doubts.refusal(member.job.topic.name, member.job.partition)
            if error is None:
                allowed.append(member)
            else:
                member.outcome = error
        return allowed

    def _written(self, job: Single, outcome: Outcome, index: int) -> RecordMetadata:
        """Return the metadata of an acknowledged record."""
        name, offset = job.topic.name, outcome.offset_of(index)
        self._watch.acknowledged(name, job.partition, offset, offset)
        append_time = outcome.append_time_of(index)
        stamp = job.timestamp if append_time is None else append_time
        return RecordMetadata(name, job.partition, offset, stamp, _TYPES[outcome.timestamp_type])

    def _attempt(self, batch: list[Turn], deadline: float) -> tuple[list[Turn], list[Turn]]:
        """Send once. Returns the members that were never sent, and those refused for what their records are."""
        jobs: list[Single] = [member.job for member in batch]
        topic = jobs[0].topic
        outcome = Outcome(self._delivery, len(jobs))
        interruption: BaseException | None = None
        for member in batch:
            member.sent = True
        try:
            reports, not_sent, refused = self._chunks.send(topic, _feed_of(jobs), outcome, 0, deadline)
        except BaseException as error:
            ends = getattr(error, "twolane_ends", None)
            if ends is None:
                raise
            interruption = error
            reports, not_sent, refused = ends
        if reports:
            self._after(topic.name, reports)
        elif len(batch) == 1 and interruption is None and not not_sent:
            # The ordinary send(): nobody waited behind it and it is written.
            batch[0].outcome = self._written(jobs[0], outcome, 0)
            return [], []
        for index in not_sent:
            batch[index].sent = False
        failed: dict[int, Report] = {report[0]: report for report in reports}
        unsent = set(not_sent)
        fatal = self._fatal_reason() if failed or refused else None
        for index, (member, job) in enumerate(zip(batch, jobs, strict=True)):
            if index in failed:
                member.outcome = delivery_error(topic.name, (0, *failed[index][1:]), fatal=fatal)
            elif index not in unsent:
                member.outcome = self._written(job, outcome, index)
        if interruption is not None:
            mine = batch[0].outcome
            interruption.add_note(
                f"twolane: the record being sent: {'not written: not sent yet' if mine is None else mine}"
            )
            raise interruption
        if refused:
            for index in unsent:
                batch[index].outcome = delivery_error(
                    topic.name, (0, refused, NOT_WRITTEN, jobs[index].partition, -1, -1, 0), fatal=fatal
                )
            return [], []
        at_fault = [
            batch[i] for i, report in failed.items() if report[1] in _RECORD_AT_FAULT and report[2] == NOT_WRITTEN
        ]
        return [batch[index] for index in not_sent], at_fault


_TYPES = {kind.value: kind for kind in TimestampType}


def _by_topic(group: list[Turn]) -> list[list[Turn]]:
    """Split a group by topic, keeping the order within each."""
    topics: dict[str, list[Turn]] = {}
    for member in group:
        topics.setdefault(member.job.topic.name, []).append(member)
    return list(topics.values())


def _feed_of(jobs: list[Single]) -> Feed:
    """Return the Feed of single records of one topic."""
    if len(jobs) == 1:
        job = jobs[0]
        keys = None if job.key is None else EncodedBatch.constant(job.key)
        return Feed(EncodedBatch.constant(job.value), keys, job.timestamp, job.partition, job.headers, 1)
    return Feed(
        EncodedBatch.borrowed([job.value for job in jobs]),
        None if all(job.key is None for job in jobs) else EncodedBatch.borrowed([job.key for job in jobs]),
        np.array([job.timestamp for job in jobs], dtype=np.int64),
        np.array([job.partition for job in jobs], dtype=np.int32),
        [job.headers for job in jobs] if any(job.headers for job in jobs) else (),
        len(jobs),
    )
