"""Ray Data: a materialized dataset, whose blocks are in shared memory, into a sink."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import ray
from ray.data._internal.datasource.kafka_datasink import KafkaDatasink as RaysDatasink
from ray.data.datasource import Datasink

from bench.sinks import data
from twolane.ray import KafkaDatasink

if TYPE_CHECKING:
    from pathlib import Path

    from bench.sinks.cases import Case


class _Timed(Datasink):
    """Add up the CPU seconds of the workers while they are in ``write()``; a worker has one task at a time."""

    task_cpu = 0.0

    def write(self, blocks: Any, ctx: Any) -> Any:
        started = time.process_time()
        written = super().write(blocks, ctx)
        return written, time.process_time() - started

    def on_write_complete(self, write_result: Any) -> None:
        self.task_cpu = sum(cpu for _, cpu in write_result.write_returns)
        super().on_write_complete(
            replace(write_result, write_returns=[written for written, _ in write_result.write_returns])
        )


class _NoSink(Datasink):
    def write(self, blocks: Any, ctx: Any) -> int:
        return sum(block.num_rows for block in blocks)


class TimedNoSink(_Timed, _NoSink):
    """Drops the rows."""


class TimedOurs(_Timed, KafkaDatasink):
    """twolane's."""


class TimedRays(_Timed, RaysDatasink):
    """What ``Dataset.write_kafka()`` makes and hands to ``write_datasink()``."""


class Ray:
    """See `bench.sinks.session.Engine`."""

    def __init__(self, workers: int, folder: Path) -> None:
        self.versions = {"ray": ray.__version__}
        self._protobuf = f"protobuf:{folder / data.PROTOBUF}"
        ray.init(num_cpus=workers, include_dashboard=False, object_store_memory=500_000_000, log_to_driver=False)
        ray.data.DataContext.get_current().enable_progress_bars = False
        self._rows = ray.data.from_arrow(data.tables(folder)).materialize()

    def write(self, case: Case, bootstrap: str, topic: str) -> float | None:
        """See `bench.sinks.session.Engine`."""
        sink: Any
        if case.lane:
            serializer = self._protobuf if case.serializer == "protobuf" else case.serializer
            config = {"bootstrap.servers": bootstrap}
            sink = TimedOurs(topic, config, lane=case.lane, serializer=serializer, key=data.KEY)
        elif case.serializer:
            sink = TimedRays(topic, bootstrap, key_field=data.KEY)
        else:
            sink = TimedNoSink()
        self._rows.write_datasink(sink)
        return float(sink.task_cpu)

    def close(self) -> None:
        """See `bench.sinks.session.Engine`."""
        ray.shutdown()


def start(workers: int, folder: Path) -> Ray:
    """Start Ray."""
    return Ray(workers, folder)
