"""The safe lane's ``send_batch()``: slice after slice, until the end or the first failure."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
from confluent_kafka import KafkaError

from twolane.common.batch_metadata import metadata_of
from twolane.errors import (
    REFUSED,
    ClosedProducerError,
    TwolaneError,
    attach_result,
    from_metadata,
)
from twolane.reports.call_result import CallResult
from twolane.results import DeliveryReport, Verdict

if TYPE_CHECKING:
    from twolane.common.arguments import ProduceCall
    from twolane.reports.reader import ReportReader
    from twolane.results import BatchMetadata
    from twolane.safe.in_doubt import InDoubtPartitions
    from twolane.safe.ordered_sender import OrderedSender
    from twolane.safe.topic_monitor import TopicMonitor

# Records that are grouped by partition at a time; bounds the memory of encoded bytes.
SLICE = 65_536


class BatchCall:
    """One call, and what is known of its records so far.

    A signal may come between any two steps: at every moment the attributes say truly what is known.

    Attributes
    ----------
    call : ProduceCall
    result : CallResult
        The offsets.
    partitions : ndarray of int32, shape (n,)
        -1 where none is chosen yet.
    start, reached : int
        The slice sent last, or being sent.
    is_sending : bool
        The slice may have records in librdkafka, and their reports are not in the attributes yet.
    reports : list of DeliveryReport
        Failures.
    not_sent : list of int
        Records of the slices so far that never entered librdkafka.
    code : int
        librdkafka's reason for refusing a record that it was given, or 0.
    reason : str
        Why those records, and all behind them, were not sent.
    """

    def __init__(
        self,
        call: ProduceCall,
        started: float,
        sender: OrderedSender,
        reader: ReportReader,
        in_doubt: InDoubtPartitions,
        monitor: TopicMonitor,
    ) -> None:
        self.call = call
        self.result = CallResult(reader, call.n)
        self.partitions = np.full(call.n, -1, dtype=np.int32)
        self.start = self.reached = 0
        self.is_sending = False
        self.reports: list[DeliveryReport] = []
        self.not_sent: list[int] = []
        self.code = 0
        self.reason = "not sent: a record before it was not written"
        self._code_behind = int(KafkaError._PURGE_QUEUE)
        self._rows = call.slice_rows(SLICE)
        self._started = started  # time.monotonic()
        self._sender = sender
        self._in_doubt = in_doubt
        self._monitor = monitor
        self._is_monitored = False
        self._stopped: set[int] = set()  # partitions where a record has failed
        self._attached_to = 0  # id() of the exception

    def send(self, deadline: float) -> BatchMetadata:
        """Send the records, in the turn of the calling thread.

        Raises
        ------
        BatchError
            Some records were not written.
        BaseException
            What a signal handler raised, with the metadata attached.
        """
        try:
            self._send_slices(deadline)
            metadata = self._finish()
        except BaseException as error:
            # Here, not in the caller: the next call in turn must find the partitions in doubt.
            if not isinstance(error, TwolaneError):
                self.attach_to(error)
            raise
        if metadata.failures:
            raise from_metadata(metadata, self._in_doubt.fatal_reason())
        return metadata

    def attach_to(self, interruption: BaseException) -> None:
        """Attach the metadata to the exception of a signal in the middle of the call, once."""
        if self._attached_to != id(interruption):
            self._take_reports()
            metadata = self._finish()
            attach_result(interruption, metadata, f"the batch being sent when this came: {metadata!r}")
            self._attached_to = id(interruption)

    def _send_slices(self, deadline: float) -> None:
        call, topic = self.call, self.call.topic
        may_go = True
        while self.reached < call.n and may_go:
            stop = min(call.n, self.reached + self._rows)
            records, partitions = call.record_slice(self.reached, stop)
            self.partitions[self.reached : stop] = partitions
            if self._in_doubt.causes and (
                refused := self._in_doubt.first_refusal(topic.name, self.partitions[self.reached : stop])
            ):
                self.reason = str(refused.detail)
                return
            self.start, self.reached, self.is_sending = self.reached, stop, True
            try:
                may_go = self._sender.send(topic, records, self.result, self.start, deadline, self._stopped)
            except ClosedProducerError as error:
                if self.start == 0:
                    raise
                # A signal handler closed the producer between two slices: nothing of this one was enqueued.
                self.reached, self.is_sending, self.reason = self.start, False, str(error)
                return
            self._take_reports()
            interruption = self._sender.take_interruption()
            if interruption is not None:
                self.attach_to(interruption)
                raise interruption

    def _take_reports(self) -> None:
        """Take over what became of the slice being sent. Does nothing new when called twice."""
        if not self.is_sending:
            return
        reports, not_sent, self.code = self.result.unacknowledged or (self._unknown(), [], 0)
        self.reports += reports
        self.not_sent += not_sent
        self._stopped |= {report.partition for report in reports}
        if self.code:
            self.reason, self._code_behind = REFUSED, self.code
        elif self.not_sent and not self.reports:
            self.reason, self._code_behind = "timed out before it was sent", int(KafkaError._TIMED_OUT_QUEUE)
        self.is_sending, self.result.unacknowledged = False, None

    def _unknown(self) -> list[DeliveryReport]:
        """Return reports of a slice whose sending was broken off (no memory): all without an offset are unknown."""
        missing = np.flatnonzero(self.result.offsets[self.start : self.reached] < 0) + self.start
        return [
            DeliveryReport(index, KafkaError._FAIL, Verdict.UNKNOWN, int(self.partitions[index]))
            for index in missing.tolist()
        ]

    def _finish(self) -> BatchMetadata:
        """Mark partitions in doubt, compare offsets, and return what is known of every record."""
        if self.reports or self.code:
            self._in_doubt.add_failures(self.call.topic.name, self.reports, self.code)
        if not self._is_monitored:
            self._is_monitored = True
            self._compare_offsets()
        return metadata_of(
            self.call.topic.name,
            self.result,
            self.partitions,
            written=int(np.count_nonzero(self.result.offsets >= 0)),
            reports=self.reports,
            behind=[*self.not_sent, *range(self.reached, self.call.n)],
            reason=self.reason,
            code=self._code_behind,
            latency=time.monotonic() - self._started,
            skipped=self.call.skipped,
            opaque=self.call.opaque,
        )

    def _compare_offsets(self) -> None:
        written = self.result.offsets >= 0
        partitions, offsets = self.partitions[written], self.result.offsets[written]
        if not offsets.size:
            return
        # Of a repeated index numpy keeps the last value: one pass each, however many partitions there are.
        first, last = np.full((2, int(partitions.max()) + 1), -1, dtype=np.int64)
        first[partitions[::-1]], last[partitions] = offsets[::-1], offsets
        for partition in np.flatnonzero(last >= 0):
            self._monitor.acknowledged(
                self.call.topic.name, int(partition), int(first[partition]), int(last[partition])
            )
