"""Failures of a batch: kept as numbers, made into exceptions only when somebody looks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from confluent_kafka import KafkaError

from twolane.errors import DeliveryError, cause_of, from_report
from twolane.results import DeliveryReport, Verdict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# ``CallResult.unacknowledged``: failures, indices of what was never sent, librdkafka's reason for a refusal.
Ends = tuple[list[DeliveryReport], list[int], int]


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
