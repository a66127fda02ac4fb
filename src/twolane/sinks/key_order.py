"""``order_by_key=True``: whether the rows of each key were in one task, and in the log in the task's order.

A task notes a hash of each of its keys, and the driver looks whether two tasks have one in common. The log's order is
looked at in the tasks: in each partition offsets have to rise from row to row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from twolane.errors import TwolaneError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from twolane.results import BatchMetadata
    from twolane.sinks.reports import TaskReport


class KeyOrder:
    """The keys and the offsets of one attempt of a task."""

    def __init__(self) -> None:
        self._keys: list[NDArray[np.uint64]] = []
        # Of each chunk: its first row, its partitions, and the first and the last offset in each.
        self._chunks: list[tuple[int, NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]] = []
        self._broken: int | None = None

    def add_keys(self, keys: Any) -> None:
        """Note the keys of some rows, as Arrow; rows without a key have no order."""
        import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
        from pandas.util import hash_array  # type: ignore[import-untyped, unused-ignore]

        if keys.type in (pa.string_view(), pa.binary_view()):  # which drop_null() does not take
            keys = keys.cast(pa.large_binary())
        values = keys.drop_null().unique()
        if values.type.num_buffers > 2:  # text or bytes
            values = values.to_numpy(zero_copy_only=False)
        self._keys.append(hash_array(np.asarray(values), categorize=False))

    def add_offsets(self, start: int, metadata: BatchMetadata) -> None:
        """Note where the rows from `start` on are in the log."""
        written = metadata.offsets >= 0
        partitions, offsets = metadata.partitions[written], metadata.offsets[written]
        if not offsets.size:
            return
        by_partition = np.argsort(partitions, kind="stable")
        partitions, offsets = partitions[by_partition], offsets[by_partition]
        begins = np.flatnonzero(np.diff(partitions, prepend=-1))
        same = np.ones(len(offsets), dtype=bool)
        same[begins] = False
        if np.any(np.diff(offsets, prepend=0)[same] <= 0):
            self._broken = start
        self._chunks.append(
            (start, partitions[begins], offsets[begins], offsets[np.append(begins[1:], len(offsets)) - 1])
        )

    def keys(self) -> NDArray[np.uint64]:
        """Return the hashes of the keys, each once, in ascending order."""
        return np.unique(np.concatenate(self._keys)) if self._keys else np.empty(0, dtype=np.uint64)

    def check(self) -> None:
        """Raise where rows of a partition are not in the order in which they were sent.

        Raises
        ------
        TwolaneError
        """
        last: dict[int, int] = {}
        for start, partitions, firsts, lasts in sorted(self._chunks, key=lambda chunk: chunk[0]):
            for place, first, end in zip(partitions.tolist(), firsts.tolist(), lasts.tolist(), strict=True):
                if self._broken == start or first <= last.get(place, -1):
                    raise TwolaneError(
                        f"order_by_key: behind row {start} of the task, partition {place} has rows in another order "
                        "than they were sent in; the setting enable.idempotence=true keeps it"
                    )
                last[place] = end


def check_keys(reports: Iterable[TaskReport]) -> None:
    """Raise where rows of one key were in more than one task: their order in the log is left to chance.

    Raises
    ------
    TwolaneError
        Names two tasks that have keys in common. Their rows are written.
    """
    each = [(report.task.number, report.keys) for report in reports if report.keys is not None]
    if not each:
        return
    keys = np.concatenate([found for _, found in each])
    tasks = np.repeat([number for number, _ in each], [len(found) for _, found in each])
    order = np.argsort(keys, kind="stable")
    keys, tasks = keys[order], tasks[order]
    (shared,) = np.nonzero(keys[1:] == keys[:-1])
    if shared.size:
        one, other = tasks[shared[0]], tasks[shared[0] + 1]
        raise TwolaneError(
            f"order_by_key: {len(np.unique(keys[shared]))} keys have rows in more than one task, such as tasks {one} "
            f"and {other}; all rows are written, those of a key in no certain order. Put the rows of a key into one "
            "part of the data before they are written"
        )
