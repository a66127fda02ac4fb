"""Group commit: ``send()`` calls that wait together go together, and each hears only of its own record."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError

from twolane.errors import attach_result, from_report, refused
from twolane.reports.call_result import CallResult
from twolane.results import DeliveryReport, Verdict
from twolane.safe._group import begun, by_topic, set_metadata, slice_of
from twolane.verdicts import RECORD_AT_FAULT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twolane.common.fair_lock import FairLock, Waiter
    from twolane.common.group_member import GroupMember
    from twolane.common.record import Record
    from twolane.errors import DeliveryError
    from twolane.reports.reader import ReportReader
    from twolane.results import Unacknowledged
    from twolane.safe.in_doubt import InDoubtPartitions
    from twolane.safe.ordered_sender import OrderedSender
    from twolane.safe.topic_monitor import TopicMonitor

# Callers that share requests at most, and how far apart their deadlines may lie.
GROUP, GROUP_SPREAD = 1_000, 0.25


class GroupSender:
    """Sends the record whose turn it is, and those of the callers waiting right behind it."""

    def __init__(
        self,
        turns: FairLock,
        chunks: OrderedSender,
        delivery: ReportReader,
        doubts: InDoubtPartitions,
        watch: TopicMonitor,
    ) -> None:
        self._fair_lock = turns
        self._ordered_sender = chunks
        self._reader = delivery
        self._in_doubt = doubts
        self._topic_monitor = watch
        self._interruption: BaseException | None = None

    def send_group(self, turn: Waiter) -> None:
        """Send for the group. Members without an ``outcome`` after this were left behind by a signal."""
        self.send([turn, *self._fair_lock.take_followers(turn, GROUP - 1, GROUP_SPREAD)])

    def send(self, group: Sequence[GroupMember]) -> None:
        """Send the records of a group, in the turn of the calling thread; each member has its ``outcome`` then."""
        try:
            deadline = max([member.deadline for member in group])
            for members in by_topic(group):
                self._send_together(members, deadline)
        except Exception as error:
            if error is self._interruption:
                raise
            # Whatever it is, every caller of the group must hear of it.
            for member in group:
                if member.outcome is None:
                    member.outcome = error
        finally:
            self._interruption = None

    def attach_result_to(self, turn: Waiter, interruption: BaseException) -> None:
        """Leave the record's end on the exception of a signal that came in the middle of its caller's ``send()``."""
        outcome = turn.outcome  # once: another caller that is sending the record may set it now
        if type(outcome) is tuple:
            outcome = turn.outcome = self.error_from_ends(turn.job, outcome)
        elif outcome is None:
            outcome = turn.outcome = self.unresolved_error(turn)
        attach_result(interruption, outcome, f"the record being sent: {outcome}")

    def error_from_ends(self, record: Record, ends: Unacknowledged) -> DeliveryError:
        """Return the error of a record that was sent alone and not acknowledged; also draws the consequences."""
        reports, _, code = ends
        self._in_doubt.add_failures(record.topic.name, reports, code)
        if code and not reports:
            reports = [DeliveryReport(0, code, Verdict.NOT_WRITTEN, record.partition)]
        if reports:
            return from_report(record.topic.name, reports[0], fatal=self._in_doubt.fatal_reason())
        return _too_late(record)

    def unresolved_error(self, turn: Waiter) -> DeliveryError:
        """Return the error of a record of which no report came: a signal interrupted its caller or its sender."""
        record: Record = turn.job
        is_over = turn.mine or turn.done
        # Another caller that has taken it may be about to send it.
        if not turn.sent and (is_over or not turn.job_taken):
            return refused(
                record.topic.name, KafkaError._FAIL, "not sent: interrupted before", partition=record.partition
            )
        report = DeliveryReport(0, KafkaError._FAIL, Verdict.UNKNOWN, record.partition)
        if is_over:
            # Otherwise the caller that sends it will know.
            self._in_doubt.add_failures(record.topic.name, [report])
        return from_report(record.topic.name, report, detail="interrupted before its report came")

    def _send_together(self, members: list[GroupMember], deadline: float) -> None:
        """Send records of one topic in order."""
        one_by_one = False
        while members:
            batch, rest = (members[:1], members[1:]) if one_by_one else (members, [])
            batch = begun(self._without_doubtful(batch))
            if batch:
                again, at_fault = self._send_batch(batch, deadline)
                # Where nothing of it was tried, time is over or the producer closes.
                is_over = again == batch or time.monotonic() >= deadline
                if at_fault and len(batch) > 1:
                    # A record was refused for what it is. Alone, it fails alone.
                    one_by_one = True
                    for member in at_fault:
                        member.outcome, member.sent = None, False
                    again = [member for member in batch if member.outcome is None]
                rest = again + rest
                if is_over:
                    for member in rest:
                        member.outcome = _too_late(member.job)
                    return
            members = rest

    def _without_doubtful(self, members: list[GroupMember]) -> list[GroupMember]:
        if not self._in_doubt:
            return members
        allowed = []
        for member in members:
            error = self._in_doubt.refusal(member.job.topic.name, member.job.partition)
            if error is None:
                allowed.append(member)
            else:
                member.outcome = error
        return allowed

    def _send_batch(self, batch: list[GroupMember], deadline: float) -> tuple[list[GroupMember], list[GroupMember]]:
        """Send once. Returns the members that were never sent, and those refused for what their records are."""
        outcome = CallResult(self._reader, len(batch))
        try:
            self._ordered_sender.send(batch[0].job.topic, slice_of(batch), outcome, 0, deadline)
            rest = self._set_outcomes(batch, outcome)
        except BaseException:
            # A signal, just after the records were on their way: each has its end all the same.
            self._set_outcomes(batch, outcome)
            raise
        self._interruption = self._ordered_sender.take_interruption()
        if self._interruption is not None:
            raise self._interruption
        return rest

    def _set_outcomes(
        self, batch: list[GroupMember], outcome: CallResult
    ) -> tuple[list[GroupMember], list[GroupMember]]:
        """Set the outcome of every member that was sent, unless it has one."""
        if outcome.unacknowledged is None:
            return [], []
        reports, not_sent, code = outcome.unacknowledged
        topic = batch[0].job.topic.name
        self._in_doubt.add_failures(topic, reports, code)
        fatal = self._in_doubt.fatal_reason() if reports or code else None
        failed = {report.index: report for report in reports}
        if code:
            failed |= {i: DeliveryReport(i, code, Verdict.NOT_WRITTEN, batch[i].job.partition) for i in not_sent}
            not_sent = []
        for index in not_sent:
            batch[index].sent = False
        for index, report in failed.items():
            if batch[index].sent and batch[index].outcome is None:
                batch[index].outcome = from_report(topic, report._replace(index=0), fatal=fatal)
        spans = set_metadata(batch, outcome)
        # Once each has its own: this may log, and a signal handler may come in between.
        for partition, (first, last) in spans.items():
            self._topic_monitor.acknowledged(topic, partition, first, last)
        at_fault = [
            batch[i]
            for i, report in failed.items()
            if report.error in RECORD_AT_FAULT and report.verdict is Verdict.NOT_WRITTEN
        ]
        return [batch[index] for index in not_sent], [] if code else at_fault


def _too_late(record: Record) -> DeliveryError:
    return refused(
        record.topic.name, KafkaError._TIMED_OUT_QUEUE, "timed out before it was sent", partition=record.partition
    )
