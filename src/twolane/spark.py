"""Spark into Kafka: a Python data source with Arrow writers, ``df.write.format("twolane")``. Needs ``twolane[spark]``.

What it promises, mode by mode: docs/spark.md.
"""

from __future__ import annotations

import json
import logging
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twolane.errors import ConfigError, TaskError, TwolaneError
from twolane.sinks.key_order import check_keys
from twolane.sinks.options import SinkOptions
from twolane.sinks.reports import JobReport, Task
from twolane.sinks.task import write_task

try:
    from pyspark import TaskContext  # type: ignore[import-not-found, unused-ignore]
    from pyspark.sql.datasource import (  # type: ignore[import-not-found, unused-ignore]
        DataSource,
        DataSourceArrowWriter,
        DataSourceStreamArrowWriter,
        WriterCommitMessage,
    )
except ImportError:  # this module can be imported, register() says what is missing
    TaskContext = WriterCommitMessage = object  # type: ignore[misc, assignment, unused-ignore]
    DataSource = DataSourceArrowWriter = DataSourceStreamArrowWriter = object  # type: ignore[misc, assignment, unused-ignore]

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Metrics", "register"]

FORMAT = "twolane"
# Options that are Spark's own, or this module's.
_NOT_OURS = frozenset({"checkpointlocation", "path", "job", "report"})
# What Spark's engine for streams tells its tasks: the id is kept in the checkpoint, a replayed batch has its number.
QUERY_ID, BATCH_ID = "sql.streaming.queryId", "streaming.sql.batchId"
_COUNTED = ("rows", "written", "refused", "bytes", "tasks", "retried", "maybe_twice", "repeated")

log = logging.getLogger("twolane")


@dataclass(frozen=True)
class Metrics:
    """Spark's accumulators with the sums over all tasks that succeeded since ``register()``; each has ``.value``.

    Made by ``register()``.

    Attributes
    ----------
    rows, written, refused, bytes, tasks, retried, maybe_twice, repeated : pyspark.Accumulator
        As in ``JobReport``.
    """

    rows: Any
    written: Any
    refused: Any
    bytes: Any
    tasks: Any
    retried: Any
    maybe_twice: Any
    repeated: Any

    def _add(self, one: JobReport) -> None:
        for name in _COUNTED:
            getattr(self, name).add(getattr(one, name))


def register(session: Any) -> Metrics:
    """Make the format ``"twolane"`` known to a session.

    Parameters
    ----------
    session : pyspark.sql.SparkSession

    Returns
    -------
    Metrics

    Raises
    ------
    ModuleNotFoundError
        Without pyspark 4.1 or later.
    """
    if DataSource is object:
        raise ModuleNotFoundError("pyspark 4.1 or later is missing: pip install twolane[spark]", name="pyspark")
    metrics = Metrics(*(session.sparkContext.accumulator(0) for _ in _COUNTED))
    # Made here, so that it is sent to the workers with this session's accumulators, not looked up there.
    session.dataSource.register(type("RegisteredDataSource", (KafkaDataSource,), {"metrics": metrics}))
    return metrics


class KafkaDataSource(DataSource):
    """The data source, which only writes. Options: docs/spark.md."""

    metrics: Metrics | None = None

    @classmethod
    def name(cls) -> str:
        """Return what ``format()`` takes."""
        return FORMAT

    def writer(self, schema: Any, overwrite: bool) -> BatchWriter:
        """Return what writes a DataFrame."""
        job = self.options.get("job") or f"batch-{uuid.uuid4().hex}"
        return BatchWriter(self._checked(schema, overwrite), self.metrics, self.options.get("report"), job)

    def streamWriter(self, schema: Any, overwrite: bool) -> StreamWriter:
        """Return what writes the micro-batches of a query."""
        options = self._checked(schema, overwrite)
        if options.mark is None and options.transactional_id is None:
            options = replace(options, mark=True)
        return StreamWriter(options, self.metrics, self.options.get("report"))

    def _checked(self, schema: Any, overwrite: bool) -> SinkOptions:
        if overwrite:
            raise ConfigError("a topic is only appended to: use mode('append')", key="mode")
        given = {key: value for key, value in self.options.items() if key not in _NOT_OURS}
        options = SinkOptions.from_strings(given)
        options.check_columns(schema.fieldNames())
        return options


class _Writer:
    """What both writers do: ``_write`` in the tasks, ``_finish`` at the driver. Sent to the tasks by pickle."""

    def __init__(self, options: SinkOptions, metrics: Metrics | None, report: str | None) -> None:
        self._options = options
        self._metrics = metrics
        self._report = report

    def _write(self, iterator: Iterator[Any], job: str) -> Any:
        context: Any = TaskContext.get()
        # A stage that is run again counts attempts from 0 again, but not these.
        task = Task(job, context.partitionId(), context.attemptNumber(), str(context.taskAttemptId()))
        try:
            report = write_task(self._options, task, iterator)
        except TaskError as error:
            # Its text has the first failure; Spark's error would show the tracebacks of all behind it.
            error.__cause__ = None
            raise error from None
        if self._metrics is not None:
            self._metrics._add(JobReport.of(job, [report]))
        message: Any = WriterCommitMessage()
        message.report = report
        return message

    def _finish(self, messages: Iterable[Any], *, failed: bool = False) -> None:
        reports = [message.report for message in messages if message is not None]
        whole = JobReport.of(reports[0].task.job if reports else "", reports)
        if failed:
            log.warning("%s; the job failed: these rows stay", whole)
        else:
            log.log(logging.WARNING if whole.retried or whole.repeated else logging.INFO, "%s", whole)
        if self._report is not None:
            Path(self._report).write_text(json.dumps({**_as_json(whole), "failed": failed}) + "\n")
        if not failed:
            check_keys(reports)


class BatchWriter(_Writer, DataSourceArrowWriter):
    """Writes a DataFrame."""

    def __init__(self, options: SinkOptions, metrics: Metrics | None, report: str | None, job: str) -> None:
        super().__init__(options, metrics, report)
        self._job = job

    def write(self, iterator: Iterator[Any]) -> Any:
        """Write what one task has."""
        return self._write(iterator, self._job)

    def commit(self, messages: list[Any]) -> None:
        """Sum up what the tasks have reported, once all have succeeded."""
        self._finish(messages)

    def abort(self, messages: list[Any]) -> None:
        """Sum up what the tasks have reported that had succeeded when another one failed for good."""
        self._finish(messages, failed=True)


class StreamWriter(_Writer, DataSourceStreamArrowWriter):
    """Writes micro-batches: the job of each is the query's id and the batch's number, the same when it is replayed."""

    def write(self, iterator: Iterator[Any]) -> Any:
        """Write what one task has of a micro-batch."""
        context: Any = TaskContext.get()
        query, batch = context.getLocalProperty(QUERY_ID), context.getLocalProperty(BATCH_ID)
        if query is None or batch is None:
            raise TwolaneError(f"this version of Spark does not tell its tasks {QUERY_ID} and {BATCH_ID}")
        return self._write(iterator, f"{query}/{batch}")

    def commit(self, messages: list[Any], batchId: int) -> None:
        """Sum up what the tasks have reported of a micro-batch."""
        self._finish(messages)

    def abort(self, messages: list[Any], batchId: int) -> None:
        """Sum up what the tasks have reported that had succeeded when another one failed for good."""
        self._finish(messages, failed=True)


def _as_json(report: JobReport) -> dict[str, Any]:
    counts = {name: getattr(report, name) for name in ("job", "seconds", *_COUNTED)}
    ranges = [
        {"topic": topic, "partition": partition, **found._asdict()}
        for (topic, partition), found in sorted(report.ranges.items())
    ]
    return {**counts, "ranges": ranges}
