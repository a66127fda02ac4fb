"""Dask into Kafka: ``to_kafka(ddf, topic, config, ...)``. Needs the extra ``dask``."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from twolane.sinks.key_order import check_keys
from twolane.sinks.options import HiddenSettings, SinkOptions
from twolane.sinks.reports import JobReport, Task, TaskReport
from twolane.sinks.task import write_task

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["to_kafka"]


def to_kafka(
    ddf: Any,
    topic: str,
    config: Mapping[str, Any],
    *,
    order_by: str | None = None,
    tasks: int | None = None,
    **options: Any,
) -> JobReport:
    """Write a DataFrame, each partition of it as one task, with the scheduler that is current.

    A task whose worker died is begun again by ``distributed``, and writes all its rows again: the report counts them as
    ``maybe_twice``. With a ``transactional.id`` each task is one transaction, and an attempt behind one that was
    committed writes nothing.

    Parameters
    ----------
    ddf : dask.dataframe.DataFrame
        Its index is not written.
    topic : str
    config : mapping
        Settings of the producers, by librdkafka's names. A value ``${env:NAME}`` is read where the task runs.
    order_by : str, optional
        A column that each task's rows are sorted by, with ``order_by_key=True``.
    tasks : int, optional
        With ``order_by_key=True``: into how many partitions the rows are shuffled; by default as many as there are.
    **options
        Those of Spark and Ray, too: `lane`, `serializer`, `key`, `timestamp`, `headers`, `partition`, `without`,
        `registry`, `on_bad_row`, `order_by_key`, `mark`, `chunk` (docs/spark.md). With `order_by_key` all rows of a key
        are brought into one task.

    Returns
    -------
    twolane.sinks.reports.JobReport

    Raises
    ------
    ConfigError
        Names the option. No row was written.
    TaskError
        Of the first task that failed. Others may have written their rows.
    """
    import dask  # type: ignore[import-not-found, import-untyped, unused-ignore]

    made = SinkOptions(topic, HiddenSettings(config), **options)
    made.check_columns([str(name) for name in ddf.columns])
    if made.order_by_key:
        ddf = ddf.shuffle(on=made.key, npartitions=tasks or ddf.npartitions)
    job = uuid.uuid4().hex
    write = dask.delayed(_write, pure=False)
    parts = ddf.to_delayed()
    reports: tuple[TaskReport, ...] = dask.compute(
        *(write(part, made, Task(job, number), order_by) for number, part in enumerate(parts))
    )
    whole = JobReport.of(job, reports)
    check_keys(reports)
    return whole


def _write(part: Any, options: SinkOptions, task: Task, order_by: str | None) -> TaskReport:
    """Write one partition."""
    import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]

    if order_by is not None:
        part = part.sort_values(order_by, kind="stable")
    table = pa.Table.from_pandas(part, preserve_index=False)
    return write_task(options, task._replace(attempt=_attempt()), [table] if table.num_rows else [])


def _attempt() -> int:
    """Return how many workers have died with this task in hand; 0 where the scheduler is none that begins it again."""
    try:
        from distributed import get_client, get_worker  # type: ignore[import-not-found, unused-ignore]

        key = get_worker().get_current_task()
    except (ImportError, ValueError):  # no worker of distributed
        return 0
    return int(get_client().run_on_scheduler(_deaths, key))


def _deaths(key: Any, dask_scheduler: Any = None) -> int:
    """Run by the scheduler, which hands itself over under this name."""
    return int(dask_scheduler.tasks[key].suspicious)
