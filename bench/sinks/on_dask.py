"""Dask: a DataFrame that the workers of ``distributed`` hold, each of them a process with one thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dask
import dask.dataframe as dd
import distributed

from bench.sinks import data
from twolane.dask import to_kafka

if TYPE_CHECKING:
    from pathlib import Path

    from bench.sinks.cases import Case


class Dask:
    """See `bench.sinks.session.Engine`."""

    def __init__(self, workers: int, folder: Path) -> None:
        self.versions = {"dask": dask.__version__, "distributed": distributed.__version__}
        self._cluster = distributed.LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None
        )
        self._client = distributed.Client(self._cluster)
        files = [str(path) for path in sorted(folder.glob("*.parquet"))]
        self._frame = dd.read_parquet(files, split_row_groups=False, aggregate_files=False).persist()
        distributed.wait(self._frame)

    def write(self, case: Case, bootstrap: str, topic: str) -> float | None:
        """See `bench.sinks.session.Engine`."""
        if case.lane:
            config = {"bootstrap.servers": bootstrap}
            to_kafka(self._frame, topic, config, lane=case.lane, serializer=case.serializer, key=data.KEY)
        else:
            count = dask.delayed(len, pure=False)
            dask.compute(*map(count, self._frame.to_delayed()))
        return None

    def close(self) -> None:
        """See `bench.sinks.session.Engine`."""
        self._client.close()
        self._cluster.close()


def start(workers: int, folder: Path) -> Dask:
    """Start the workers."""
    return Dask(workers, folder)
