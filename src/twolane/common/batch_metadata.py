"""BatchMetadata from what the compiled side returns: by the caller's rows, also where some of them were refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from confluent_kafka import KafkaError

from twolane.errors import DeliveryError, cause_of, from_report
from twolane.results import BatchMetadata, DeliveryReport, RefusedRows, TimestampType, Verdict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from twolane.common.skipping import Skipped
    from twolane.reports.call_result import CallResult

NONE = RefusedRows()


def numbered(reports: list[DeliveryReport], rows: NDArray[np.int64]) -> list[DeliveryReport]:
    """Return reports by the caller's rows, of which the records are some."""
    return [report._replace(index=int(rows[report.index])) for report in reports]


class Failures(Sequence[DeliveryError]):
    """A read-only sequence of :class:`DeliveryError`, one per record without an acknowledgement, by index.

    Attributes
    ----------
    indices : list of int
        The records' rows in their call.
    """

    def __init__(
        self,
        topic: str,
        reports: list[DeliveryReport],
        behind: list[tuple[int, int]],
        reason: str = "",
        code: int = KafkaError._PURGE_QUEUE,
        opaque: Any = None,
    ) -> None:
        self._topic = topic
        self._opaque = opaque
        self._reason = reason
        # Records that never entered librdkafka: not written, because of the failure before them.
        rest = [DeliveryReport(index, code, Verdict.NOT_WRITTEN, partition) for index, partition in behind]
        self._reports = sorted(reports + rest)
        self._behind = {index for index, _ in behind}

    @property
    def indices(self) -> list[int]:
        """Rows of the records, rising."""
        return [report.index for report in self._reports]

    @property
    def cause(self) -> DeliveryError:
        """The first failure that is no consequence of another one."""
        return self._make(cause_of(self._reports))

    def verdicts(self) -> list[tuple[int, Verdict]]:
        """Return ``(index, verdict)`` of every failure without making an exception of each."""
        return [(report.index, report.verdict) for report in self._reports]

    def _make(self, report: DeliveryReport) -> DeliveryError:
        error = from_report(self._topic, report, detail=self._reason if report.index in self._behind else None)
        if self._opaque is not None:
            error.opaque = self._opaque
        return error

    def __len__(self) -> int:
        return len(self._reports)

    @overload
    def __getitem__(self, index: int) -> DeliveryError: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[DeliveryError]: ...
    def __getitem__(self, index: int | slice) -> DeliveryError | Sequence[DeliveryError]:
        if isinstance(index, slice):
            return [self._make(report) for report in self._reports[index]]
        return self._make(self._reports[index])

    def __iter__(self) -> Iterator[DeliveryError]:
        return map(self._make, self._reports)

    def __repr__(self) -> str:
        return f"<{len(self)} failures>"


def metadata_of(
    topic: str,
    result: CallResult,
    partitions: NDArray[np.int32],
    *,
    written: int,
    reports: list[DeliveryReport],
    behind: list[int],
    reason: str,
    code: int,
    latency: float,
    skipped: Skipped | None,
    opaque: Any,
) -> BatchMetadata:
    """Return what is known of every row of a call.

    Parameters
    ----------
    result : CallResult
    partitions : ndarray of int32, shape (n,)
        Of the records of the call, or of the first of them that were gone into.
    reports : list of DeliveryReport
        Of records that were enqueued and not acknowledged.
    behind : list of int
        Records that never entered librdkafka, for `reason` and with `code`.
    skipped : Skipped or None
        Which of the caller's rows the records are.
    """
    n = len(partitions)
    offsets = result.offsets[:n]
    kind = result.timestamp_type
    times = result.append_times() if kind is TimestampType.LOG_APPEND_TIME else None
    places = [(index, int(partitions[index])) for index in behind] if behind else []
    refused = NONE
    if skipped is not None:
        skipped = skipped.upto(n)
        reports = numbered(reports, skipped.rows)
        places = [(int(skipped.rows[index]), place) for index, place in places]
        partitions, offsets = skipped.spread(partitions), skipped.spread(offsets)
        times = None if times is None else skipped.spread(times[:n])
        refused = skipped.refused
    failures: Failures | tuple[()] = ()
    if reports or places:
        failures = Failures(topic, reports, places, reason, code, opaque)
    return BatchMetadata(
        topic=topic,
        partitions=partitions,
        offsets=offsets,
        written=written,
        failures=failures,
        latency=latency,
        timestamp_type=kind,
        log_append_times=times,
        refused=refused,
        opaque=opaque,
    )
