"""Ray Data into Kafka: ``ds.write_datasink(KafkaDatasink(topic, config, ...))``. Needs the extra ``ray``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twolane.errors import TaskError, TwolaneError
from twolane.sinks.key_order import check_keys
from twolane.sinks.options import HiddenSettings, SinkOptions
from twolane.sinks.reports import JobReport, Task, TaskReport
from twolane.sinks.task import write_task

try:
    import ray  # type: ignore[import-not-found, unused-ignore]
    from ray.data.block import BlockAccessor  # type: ignore[import-not-found, unused-ignore]
    from ray.data.datasource import Datasink  # type: ignore[import-not-found, unused-ignore]
except ImportError:  # this module can be imported, a sink says what is missing
    ray, BlockAccessor, Datasink = None, None, object  # type: ignore[misc, assignment, unused-ignore]

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["KafkaDatasink", "by_key"]


class KafkaDatasink(Datasink):
    """Writes the rows of a dataset to a topic.

    Ray starts a task again whose worker died, as often as it takes, and so the rows that the worker had written are
    written again: `report` counts them as ``maybe_twice``. With a ``transactional.id`` each task is one transaction,
    and an attempt behind one that was committed writes nothing. A row that is refused, or not acknowledged, ends the
    write.

    Parameters
    ----------
    topic : str
    config : mapping
        Settings of the producers, by librdkafka's names. A value ``${env:NAME}`` is read where the task runs.
    rows_per_task : int, optional
        Ray puts blocks together until a task has so many rows; by default each block is a task.
    **options
        Those of Spark and Dask, too: `lane`, `serializer`, `key`, `timestamp`, `headers`, `partition`, `without`,
        `registry`, `on_bad_row`, `order_by_key`, `mark`, `chunk` (docs/spark.md).

    Attributes
    ----------
    report : twolane.sinks.reports.JobReport or None
        What became of the rows, once ``write_datasink()`` has returned.
    failure : TaskError or None
        Of the first task that failed, once ``write_datasink()`` has raised.

    Raises
    ------
    ConfigError
        Names the option.
    """

    def __init__(
        self, topic: str, config: Mapping[str, Any], *, rows_per_task: int | None = None, **options: Any
    ) -> None:
        if ray is None:
            raise TwolaneError("Ray is not installed: pip install twolane[ray]")
        self._options = SinkOptions(topic, HiddenSettings(config), **options)
        self._rows_per_task = rows_per_task
        self.report: JobReport | None = None
        self.failure: TaskError | None = None

    def get_name(self) -> str:
        """Return the name of the write's tasks in Ray's own words and pictures."""
        return f"Kafka({self._options.topic})"

    @property
    def min_rows_per_write(self) -> int | None:
        """How many rows a task has, at least."""
        return self._rows_per_task

    def on_write_start(self, schema: Any = None) -> None:
        """Look, before the first task, whether there are the columns that the options name."""
        self.report = self.failure = None
        if schema is not None:
            self._options.check_columns(schema.names)

    def write(self, blocks: Iterable[Any], ctx: Any) -> TaskReport:
        """Write what one task has; called by Ray in its workers."""
        task = Task(ctx.kwargs.get("write_uuid", ctx.op_name), ctx.task_idx, _attempt())
        return write_task(self._options, task, _tables(blocks))

    def on_write_complete(self, write_result: Any) -> None:
        """Sum up what the tasks have reported."""
        returned = [one for one in write_result.write_returns if one is not None]
        self.report = JobReport.of(returned[0].task.job if returned else "", returned)
        check_keys(returned)

    def on_write_failed(self, error: Exception) -> None:
        """Keep the task's error, which Ray has wrapped."""
        found: BaseException | None = error
        while found is not None and not isinstance(found, TaskError):
            found = getattr(found, "cause", None) or found.__cause__
        self.failure = found


def by_key(ds: Any, key: str, *, tasks: int, order_by: str | None = None) -> Any:
    """Put all rows of a key into one block, and so into one task, as ``order_by_key=True`` asks for.

    Parameters
    ----------
    ds : ray.data.Dataset
    key : str
        The column of the keys.
    tasks : int
        How many blocks there will be; as many as the topic has partitions, or a multiple.
    order_by : str, optional
        A column that each block is sorted by. Without it rows of a key come in whatever order Ray's shuffle has them.
    """
    shuffled = ds.repartition(tasks, keys=[key])
    if order_by is None:
        return shuffled

    def in_order(block: Any) -> Any:
        return block.sort_by([(order_by, "ascending")])

    return shuffled.map_batches(in_order, batch_size=None, batch_format="pyarrow")


def _tables(blocks: Iterable[Any]) -> Iterator[Any]:
    for block in blocks:
        table = BlockAccessor.for_block(block).to_arrow()
        if table.num_rows:
            yield table


def _attempt() -> int:
    """Return which attempt of a task this is. Ray's own name for it is not public, and may change."""
    worker: Any = ray._private.worker.global_worker
    try:
        return int(worker.core_worker.get_current_task_attempt_number())
    except AttributeError:
        return 0
