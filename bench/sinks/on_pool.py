"""No engine: a ProcessPoolExecutor, as docs/ray-dask.md has it. Each part of the data is sent to its task."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any

from bench.sinks import data
from twolane.sinks.options import HiddenSettings, SinkOptions
from twolane.sinks.reports import Task
from twolane.sinks.task import write_task

if TYPE_CHECKING:
    from pathlib import Path

    from bench.sinks.cases import Case


def _write(table: Any, options: SinkOptions | None, task: Task) -> tuple[int, float]:
    started = time.process_time()
    written = table.num_rows if options is None else write_task(options, task, [table]).written
    return written, time.process_time() - started


class Pool:
    """See `bench.sinks.session.Engine`."""

    versions: dict[str, str] = {}  # noqa: RUF012

    def __init__(self, workers: int, folder: Path) -> None:
        self._tables = data.tables(folder)
        self._pool = ProcessPoolExecutor(workers)

    def write(self, case: Case, bootstrap: str, topic: str) -> float | None:
        """See `bench.sinks.session.Engine`."""
        options, job = None, uuid.uuid4().hex
        if case.lane:
            config = HiddenSettings({"bootstrap.servers": bootstrap})
            options = SinkOptions(topic, config, lane=case.lane, serializer=case.serializer, key=data.KEY)
        asked = [
            self._pool.submit(_write, table, options, Task(job, number, 0)) for number, table in enumerate(self._tables)
        ]
        return sum(future.result()[1] for future in asked)

    def close(self) -> None:
        """See `bench.sinks.session.Engine`."""
        self._pool.shutdown()


def start(workers: int, folder: Path) -> Pool:
    """Start the workers."""
    return Pool(workers, folder)
