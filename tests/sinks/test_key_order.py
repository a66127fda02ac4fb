"""Whether the rows of a key were in one task, and in the log in its order: what is found, and what is let pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
import pytest

from tests.support.readers import read_all
from twolane import TaskError, TwolaneError
from twolane.sinks import process, task
from twolane.sinks.key_order import KeyOrder, check_keys
from twolane.sinks.options import SinkOptions
from twolane.sinks.reports import Task, TaskReport
from twolane.sinks.task import write_task

if TYPE_CHECKING:
    from twolane.results import BatchMetadata
    from twolane.testing import EmbeddedCluster


class Metadata:
    """Where rows are, as far as it matters here."""

    def __init__(self, places: list[tuple[int, int]]) -> None:
        self.partitions = np.array([partition for partition, _ in places], dtype=np.int32)
        self.offsets = np.array([offset for _, offset in places], dtype=np.int64)


def order_of(*chunks: tuple[int, list[tuple[int, int]]]) -> KeyOrder:
    made = KeyOrder()
    for start, places in chunks:
        made.add_offsets(start, cast("BatchMetadata", Metadata(places)))
    return made


def report(number: int, keys: Any) -> TaskReport:
    order = KeyOrder()
    order.add_keys(pa.array(keys))
    return TaskReport(Task("job", number), keys=order.keys())


def test_offsets_that_rise_pass_whatever_the_chunks_order() -> None:
    order_of().check()
    order_of((0, [(0, -1), (1, -1)])).check()
    order_of((3, [(1, 9), (0, 8)]), (0, [(0, 5), (1, 4), (0, 7), (2, -1)])).check()


@pytest.mark.parametrize(
    "chunks",
    [
        [(0, [(0, 5), (1, 1), (0, 4)])],
        [(0, [(0, 5), (1, 1)]), (2, [(1, 2), (0, 3)])],
        [(0, [(0, 5)]), (1, [(0, 5)])],
    ],
)
def test_offsets_that_fall_do_not_pass(chunks: list[tuple[int, list[tuple[int, int]]]]) -> None:
    with pytest.raises(TwolaneError, match=r"order_by_key: .* partition 0 has rows in another order"):
        order_of(*chunks).check()


@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.large_string(), pa.binary(), pa.string_view(), pa.int64(), pa.dictionary(pa.int8(), pa.string())],
)
def test_a_key_of_two_tasks_is_found(kind: pa.DataType) -> None:
    def keys(*numbers: int | None) -> pa.Array:
        if pa.types.is_integer(kind):
            return pa.array(numbers, kind)
        return pa.array([None if n is None else str(n) for n in numbers]).cast(kind)

    check_keys([report(0, keys(1, 2, 1, None)), report(1, keys(3, None))])
    with pytest.raises(TwolaneError, match="1 keys have rows in more than one task, such as tasks 4 and 7;"):
        check_keys([report(4, keys(1, 2, 1)), report(7, keys(3, 2))])


def test_tasks_without_rows_or_keys_pass() -> None:
    check_keys([])
    check_keys([TaskReport(Task("job", 0)), TaskReport(Task("job", 1), keys=KeyOrder().keys())])


@pytest.mark.parametrize("lane", ["safe", "throughput"])
def test_a_task_looks_at_its_own_order(
    embedded_cluster: EmbeddedCluster, lane: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded_cluster.create_topic("t", partitions=3)
    config = {"bootstrap.servers": embedded_cluster.bootstrap_servers}
    options = SinkOptions("t", config, lane=lane, key="id", order_by_key=True, chunk=100)  # type: ignore[arg-type]
    rows = pa.table({"id": [f"key {i % 7}" for i in range(1000)]})
    done = write_task(options, Task("job", 0), [rows])
    assert (done.written, done.keys is not None and len(done.keys)) == (1000, 7)

    class Reversed(KeyOrder):
        def add_offsets(self, start: int, metadata: Any) -> None:
            super().add_offsets(-start, metadata)

    monkeypatch.setattr(task, "KeyOrder", Reversed)
    with pytest.raises(TaskError, match=r"1000 of 1000 rows written.*order_by_key"):
        write_task(options, Task("job", 1), [rows])
    assert len(read_all(embedded_cluster.bootstrap_servers, "t")) == 2000
    process._close_all()
