"""BatchDelivery: what ``ThroughputProducer.send_batch()`` returns before the brokers have answered."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from twolane.common.batch_metadata import metadata_of
from twolane.errors import cause_of, from_metadata
from twolane.results import DeliveryReport, RefusedRows, Verdict
from twolane.throughput.delivery import Delivery, Elsewhere

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from twolane.common.skipping import Skipped
    from twolane.reports.call_result import CallResult
    from twolane.results import BatchMetadata
    from twolane.throughput.problems import Problems

# librdkafka's _DESTROY: of a record whose report never came because the client was ended.
_DESTROYED = -197
REFUSED = "never enqueued: librdkafka refused a record of the call"


class BatchDelivery(Delivery["BatchMetadata"]):
    """The records of one call on their way.

    A future of the whole batch: ask it (``done()``, ``result()``), await it, make a task of it, or give it a callback.
    Made by ``ThroughputProducer.send_batch()`` only. A pickled one knows in another process what was known by then.
    """

    def __init__(
        self,
        topic: str,
        result: CallResult,
        partitions: NDArray[np.int32],
        started: float,
        problems: Problems,
        skipped: Skipped | None = None,
        opaque: Any = None,
    ) -> None:
        super().__init__(problems)
        self.topic = topic
        self.opaque = opaque
        self._skipped = skipped
        self._result = result
        self._partitions = partitions
        self._started = started
        self._metadata: BatchMetadata | None = None
        self._fatal: str | None = None  # why librdkafka gave the producer up, where that ended records

    @property
    def id(self) -> int:
        """Id of the tracker that counts its reports."""
        return self._result.id

    @property
    def accepted(self) -> int:
        """Records enqueued: all of the call, but where ``send_batch()`` raised."""
        return self._result.expected

    @property
    def reported(self) -> int:
        """Records whose report has come."""
        return self._result.done

    @property
    def refused(self) -> RefusedRows:
        """Of rows that ``on_bad_row="skip"`` left out the errors, by row: known at once."""
        return RefusedRows() if self._skipped is None else self._skipped.refused

    def __len__(self) -> int:
        return len(self._partitions) if self._skipped is None else self._skipped.n

    def _row(self, record: int) -> int:
        """Return the caller's number of a record."""
        return record if self._skipped is None else self._skipped.row(record)

    def _take(self) -> BatchMetadata:
        assert self._metadata is not None
        if self._metadata.failures:
            raise from_metadata(self._metadata, self._fatal)
        return self._metadata

    def __reduce__(self) -> tuple[Any, ...]:
        known = (self.topic, self._partitions, self.accepted, self.reported, self._metadata)
        return _elsewhere, (*known, self._skipped, self.opaque, self._fatal)

    def _finish(self) -> None:
        """Take the reports from the compiled side, then run the callbacks. Called once, by the DeliveryThread."""
        result = self._result
        result.detach()
        # Records are enqueued by partition: those that a refusal left unsent are among those that were sent.
        _, unsent, code = result.unacknowledged or ([], [], 0)
        n = result.expected + len(unsent)
        reports = result.failures() if result.written < result.expected else []
        if result.done < result.expected:
            reports += self._lost(n, [report.index for report in reports] + unsent)
        self._metadata = metadata_of(
            self.topic,
            result,
            self._partitions[:n],
            written=result.written,
            reports=reports,
            behind=unsent,
            reason=REFUSED,
            code=code,
            latency=time.monotonic() - self._started,
            skipped=self._skipped,
            opaque=self.opaque,
        )
        if reports:
            self._fatal = self._problems.fatal_reason(cause_of(reports).error)
        self._tell()

    def _lost(self, n: int, known: list[int]) -> list[DeliveryReport]:
        """Return a report for each record whose own never came because the client was ended."""
        silent = self._result.offsets[:n] == -1
        silent[known] = False
        return [
            DeliveryReport(int(i), _DESTROYED, Verdict.UNKNOWN, int(self._partitions[i]))
            for i in np.flatnonzero(silent)
        ]

    def __del__(self) -> None:
        metadata = getattr(self, "_metadata", None)
        if globals().get("from_metadata") is None:
            return  # the interpreter's end has taken the module apart; free-threaded Python lets objects live that long
        if metadata is None or not metadata.failures or self._seen or self._started < self._problems.void_before:
            return
        if self._problems.is_forked:
            return  # the parent's batch, and its threads' locks
        self._keep_unseen(from_metadata(metadata, self._fatal), "a batch with failures")

    def __repr__(self) -> str:
        state = "done" if self.done() else f"{self.reported} reported"
        return f"<BatchDelivery of {self.accepted} records to {self.topic!r}, {state}>"


class _Elsewhere(Elsewhere):
    """In place of the result, too, of a batch that another process sent."""

    id = -1

    def __init__(self, expected: int, done: int) -> None:
        self.expected, self.done = expected, done


def _elsewhere(
    topic: str,
    partitions: NDArray[np.int32],
    accepted: int,
    reported: int,
    metadata: BatchMetadata | None,
    skipped: Skipped | None = None,
    opaque: Any = None,
    fatal: str | None = None,
) -> BatchDelivery:
    """Return a BatchDelivery as it was when it was pickled: its result where there was one, else none ever."""
    elsewhere: Any = _Elsewhere(accepted, reported)
    batch = BatchDelivery(topic, elsewhere, partitions, 0.0, elsewhere, skipped, opaque)
    batch._seen, batch._fatal = True, fatal
    if metadata is not None:
        batch._metadata = metadata
        batch._is_done = True
    return batch
