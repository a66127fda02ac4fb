"""The safe lane's ``send_batch()``: slice after slice, until the end or the first failure."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
from confluent_kafka import KafkaError

from twolane.common.batch_metadata import metadata_of
from twolane.errors import ClosedProducerError, TwolaneError, cause_of, from_metadata, from_report
from twolane.reports.call_result import CallResult
from twolane.results import DeliveryReport, Verdict

if TYPE_CHECKING:
    from twolane.common.arguments import ProduceCall
    from twolane.common.failures import Ends
    from twolane.errors import BatchError
    from twolane.produce.record_slice import RecordSlice
    from twolane.reports.reader import ReportReader
    from twolane.results import BatchMetadata
    from twolane.safe.aftermath import Aftermath
    from twolane.safe.in_doubt import InDoubtPartitions
    from twolane.safe.ordered_sender import OrderedSender
    from twolane.safe.topic_monitor import TopicMonitor

# Records that are grouped by partition at a time; bounds the memory of encoded bytes.
SLICE = 65_536


class BatchCall:
    """Sends whole calls, one at a time."""

    def __init__(
        self,
        chunks: OrderedSender,
        delivery: ReportReader,
        doubts: InDoubtPartitions,
        watch: TopicMonitor,
        aftermath: Aftermath,
    ) -> None:
        self._chunks = chunks
        self._delivery = delivery
        self._doubts = doubts
        self._watch = watch
        self._aftermath = aftermath

    def open(self, call: ProduceCall, started: float) -> Batch:
        """Return the call as a Batch of which nothing is sent yet; `started` is its ``time.monotonic()``."""
        return Batch(call, CallResult(self._delivery, call.n), started)

    def send(self, batch: Batch, deadline: float) -> BatchMetadata:
        """Send the batch.

        Raises
        ------
        BatchError
            Some records were not written.
        BaseException
            What a signal handler raised, with its ``note()``.
        """
        try:
            metadata = self._send(batch, deadline)
        except BaseException as error:
            # Here, not in the caller: whose turn comes next must find the partitions in doubt.
            if not isinstance(error, TwolaneError):
                self.note(batch, error)
            raise
        if metadata.failures:
            raise self._error(batch, metadata)
        return metadata

    def _send(self, batch: Batch, deadline: float) -> BatchMetadata:
        call, topic = batch.call, batch.call.topic
        while batch.reached < call.n and not batch.has_failed:
            feed, stop = batch.next_slice()
            doubtful = self._doubts.first_refusal(topic.name, batch.partitions[batch.reached : stop])
            if doubtful is not None:
                batch.reason = str(doubtful.detail)
                break
            batch.start, batch.reached, batch.is_sending = batch.reached, stop, True
            try:
                self._chunks.send(topic, feed, batch.outcome, batch.start, deadline)
            except ClosedProducerError as error:
                if batch.start == 0:
                    raise
                # A signal handler closed the producer between two slices: what went before has its offsets.
                batch.give_back(str(error))
                break
            batch.take_ends()
            interruption = self._chunks.take_interruption()
            if interruption is not None:
                self.note(batch, interruption)
                raise interruption
        return self._end(batch)

    def note(self, batch: Batch, interruption: BaseException) -> None:
        """Leave what became of the batch on the exception of a signal in the middle of its caller's call, once."""
        if hasattr(interruption, "twolane_metadata"):
            return
        batch.take_ends()
        metadata = self._end(batch)
        interruption.add_note(f"twolane: the batch being sent when this came: {metadata!r}")
        interruption.twolane_metadata = metadata  # type: ignore[attr-defined]

    def _end(self, batch: Batch) -> BatchMetadata:
        """Draw the consequences and return the metadata. Does nothing new when called twice."""
        self._aftermath.of(batch.call.topic.name, batch.reports, batch.refused)
        if not batch.watched:
            batch.watched = True
            self._watch_offsets(batch)
        return batch.metadata()

    def _watch_offsets(self, batch: Batch) -> None:
        offsets = batch.outcome.offsets
        written = offsets >= 0
        places, own = batch.partitions[written], offsets[written]
        if not own.size:
            return
        # Of a repeated index numpy keeps the last value: one pass each, however many partitions there are.
        first, last = np.full((2, int(places.max()) + 1), -1, dtype=np.int64)
        first[places[::-1]], last[places] = own[::-1], own
        for partition in np.flatnonzero(last >= 0):
            self._watch.acknowledged(batch.call.topic.name, int(partition), int(first[partition]), int(last[partition]))

    def _error(self, batch: Batch, metadata: BatchMetadata) -> BatchError:
        """Return the error of a batch: the cause is the first failure by itself, the index the first not written."""
        reports = batch.reports
        cause = from_report(metadata.topic, cause_of(reports)) if reports else metadata.failures[0]
        return from_metadata(metadata, cause, self._aftermath.fatal_reason())


class Batch:
    """What became of one call so far.

    A signal may come between any two steps of the code around it: at every moment this says truly what is known.

    Attributes
    ----------
    call : ProduceCall
    outcome : CallResult
        The offsets.
    partitions : ndarray of int32, shape (n,)
        -1 where none is chosen yet.
    start, reached : int
        The slice sent last, or being sent.
    is_sending : bool
        The slice may have records in librdkafka; what became of them is not taken over yet.
    reports : list of DeliveryReport
        Failures.
    not_sent : list of int
        Records of that slice that never entered librdkafka.
    refused : int
        librdkafka's reason for refusing a record that it was given.
    reason : str
        Why those, and all behind them, were not sent.
    watched : bool
        Its offsets were compared with those before.
    """

    def __init__(self, call: ProduceCall, outcome: CallResult, started: float) -> None:
        self.call = call
        self.outcome = outcome
        self.partitions = np.full(call.n, -1, dtype=np.int32)
        self.start = self.reached = 0
        self._rows = call.slice_rows(SLICE)
        self.is_sending = self.watched = False
        self.reports: list[DeliveryReport] = []
        self.not_sent: list[int] = []
        self.refused = 0
        self.reason = "not sent: a record before it was not written"
        self._code = int(KafkaError._PURGE_QUEUE)
        self._started = started

    @property
    def has_failed(self) -> bool:
        """Whether a record was not acknowledged, so that no more slices may go."""
        return bool(self.reports or self.not_sent)

    def next_slice(self) -> tuple[RecordSlice, int]:
        """Return the slice behind `reached`, and its end."""
        stop = min(self.call.n, self.reached + self._rows)
        feed, self.partitions[self.reached : stop] = self.call.feed(self.reached, stop)
        return feed, stop

    def take_ends(self) -> None:
        """Take over what became of the slice being sent. Does nothing new when called twice."""
        if not self.is_sending:
            return
        self.reports, self.not_sent, self.refused = self.outcome.unacknowledged or self._open_ends()
        if self.refused:
            self.reason, self._code = "refused by librdkafka", self.refused
        elif self.not_sent and not self.reports:
            self.reason, self._code = "timed out before it was sent", KafkaError._TIMED_OUT_QUEUE
        self.is_sending, self.outcome.unacknowledged = False, None

    def give_back(self, reason: str) -> None:
        """Take back the slice that was to be sent next: nothing of it was enqueued."""
        self.reached, self.is_sending, self.reason = self.start, False, reason

    def _open_ends(self) -> Ends:
        """Return the ends of a slice whose sending was broken off (no memory): whatever has no offset is open."""
        offsets = self.outcome.offsets
        return (
            [
                DeliveryReport(index, KafkaError._FAIL, Verdict.UNKNOWN, int(self.partitions[index]))
                for index in range(self.start, self.reached)
                if offsets[index] < 0
            ],
            [],
            0,
        )

    def metadata(self) -> BatchMetadata:
        """Return what is known of every record."""
        behind = [*self.not_sent, *range(self.reached, self.call.n)]
        return metadata_of(
            self.call.topic.name,
            self.outcome,
            self.partitions,
            written=int(np.count_nonzero(self.outcome.offsets >= 0)),
            reports=self.reports,
            behind=behind,
            reason=self.reason,
            code=self._code,
            latency=time.monotonic() - self._started,
            skipped=self.call.skipped,
            opaque=self.call.opaque,
        )
