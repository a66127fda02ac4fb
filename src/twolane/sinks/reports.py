"""What became of one task's rows, and of all tasks' of a job. Can be pickled: tasks send it to the driver."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from twolane.results import BatchMetadata


class Task(NamedTuple):
    """Which attempt of which part of which job.

    Attributes
    ----------
    job : str
        The same for all attempts of all tasks of one write, and for no other write.
    number : int
    attempt : int
        0 for the first.
    id : str
        What no other attempt of the task is called, for engines that may count from 0 again; by default `attempt`.
    """

    job: str
    number: int
    attempt: int = 0
    id: str = ""

    @property
    def mark(self) -> str:
        """What a record's header says of the attempt that wrote it."""
        return f"{self.job}/{self.number}/{self.id or self.attempt}"

    def __str__(self) -> str:
        return f"task {self.number} of {self.job}, attempt {self.attempt}"


class OffsetRange(NamedTuple):
    """What one task wrote to one partition; records of others may stand between."""

    first: int
    last: int
    records: int

    def joined(self, other: OffsetRange) -> OffsetRange:
        """Return the range of both."""
        return OffsetRange(min(self.first, other.first), max(self.last, other.last), self.records + other.records)


Ranges = dict[tuple[str, int], OffsetRange]


def add_ranges(ranges: Ranges, more: Mapping[tuple[str, int], OffsetRange]) -> None:
    """Add ranges to those of the same partitions."""
    for place, found in more.items():
        ranges[place] = found.joined(ranges[place]) if place in ranges else found


def ranges_of(metadata: BatchMetadata) -> Ranges:
    """Return what a call wrote to each partition."""
    written = metadata.offsets >= 0
    partitions, offsets = metadata.partitions[written], metadata.offsets[written]
    if not offsets.size:
        return {}
    counts = np.bincount(partitions)
    # Offsets rise in each partition: of several assignments to one place the last one stays.
    first = np.empty(len(counts), dtype=np.int64)
    last = np.empty(len(counts), dtype=np.int64)
    last[partitions] = offsets
    first[partitions[::-1]] = offsets[::-1]
    return {
        (metadata.topic, int(place)): OffsetRange(int(first[place]), int(last[place]), int(counts[place]))
        for place in np.flatnonzero(counts)
    }


@dataclass(frozen=True)
class TaskReport:
    """What became of the rows of one attempt of one task.

    Attributes
    ----------
    task : Task
    rows : int
        Taken from the engine; ``written + not_written + unknown + refused``, at the end of a task that did not fail.
    written, not_written, unknown : int
        By their verdicts. In a transaction a row counts as written once that is committed.
    refused : int
        Left out with ``on_bad_row="skip"``.
    ranges : mapping of (str, int) to OffsetRange
        Of the rows written, by topic and partition.
    seconds : float
    bytes : int
        Of the rows as Arrow.
    in_transaction : bool
    repeated : bool
        An earlier attempt had committed the task: this one wrote nothing, and `written` is 0.
    keys : numpy.ndarray of uint64, optional
        With ``order_by_key=True`` a hash of each key, in ascending order.
    """

    task: Task
    rows: int = 0
    written: int = 0
    not_written: int = 0
    unknown: int = 0
    refused: int = 0
    ranges: Mapping[tuple[str, int], OffsetRange] = field(default_factory=dict)
    seconds: float = 0.0
    bytes: int = 0
    in_transaction: bool = False
    repeated: bool = False
    keys: NDArray[np.uint64] | None = field(default=None, repr=False, compare=False)

    def counts(self) -> str:
        """Return the counts in words."""
        text = f"{self.written} of {self.rows} rows written, {self.not_written} not written, {self.unknown} unknown"
        return f"{text}, {self.refused} refused" if self.refused else text


@dataclass(frozen=True)
class JobReport:
    """What became of a job whose tasks have all succeeded.

    Attributes
    ----------
    job : str
    tasks : int
    rows, written, refused, bytes : int
        Sums over the tasks.
    ranges : mapping of (str, int) to OffsetRange
    seconds : float
        Of all tasks together.
    retried : int
        Tasks that succeeded at a later attempt than their first.
    maybe_twice : int
        Rows of these, which earlier attempts may have written too; 0 with transactions. An attempt that went on beside
        the one that succeeded, and was ended by the engine, is not known here.
    repeated : int
        Tasks that found themselves committed by an earlier attempt, and wrote nothing.
    shared : tuple of (str, int)
        Partitions that more than one task wrote to.
    """

    job: str
    tasks: int = 0
    rows: int = 0
    written: int = 0
    refused: int = 0
    bytes: int = 0
    ranges: Mapping[tuple[str, int], OffsetRange] = field(default_factory=dict)
    seconds: float = 0.0
    retried: int = 0
    maybe_twice: int = 0
    repeated: int = 0
    shared: tuple[tuple[str, int], ...] = ()

    @classmethod
    def of(cls, job: str, reports: Iterable[TaskReport]) -> JobReport:
        """Sum up the reports of the tasks that count."""
        each = list(reports)
        ranges: Ranges = {}
        for report in each:
            add_ranges(ranges, report.ranges)
        writers = Counter(place for report in each for place in report.ranges)
        again = [report for report in each if report.task.attempt]
        return cls(
            job=job,
            tasks=len(each),
            rows=sum(report.rows for report in each),
            written=sum(report.written for report in each),
            refused=sum(report.refused for report in each),
            bytes=sum(report.bytes for report in each),
            ranges=ranges,
            seconds=sum(report.seconds for report in each),
            retried=len(again),
            maybe_twice=sum(report.rows for report in again if not report.in_transaction),
            repeated=sum(report.repeated for report in each),
            shared=tuple(sorted(place for place, n in writers.items() if n > 1)),
        )

    def __str__(self) -> str:
        text = f"{self.job}: {self.written} of {self.rows} rows written by {self.tasks} tasks"
        if self.refused:
            text += f", {self.refused} refused"
        if self.retried:
            text += f"; {self.retried} tasks were attempted again, {self.maybe_twice} rows may be in the log twice"
        if self.repeated:
            text += f"; {self.repeated} tasks had been committed before and wrote nothing"
        return text
