"""Streams of records: what one thread or task sends, in order."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from faults.history import ENDED, INVOKED, rows_of
from faults.records import HEADER, pack

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from faults.workload import Workload

# Above any topic's max.message.bytes that a campaign sets, below message.max.bytes.
OVERSIZE = 900_000
# Seconds that a record may wait on the throughput lane: its default of message.timeout.ms.
MESSAGE_TIMEOUT_MS = 30_000


@dataclass
class Block:
    """Records that are handed over together, or one after the other.

    Attributes
    ----------
    rows : ndarray of INVOKED, shape (n,)
    values : list of bytes
    keys, headers : list of bytes, or None
        `headers` are the values of each record's one header.
    """

    rows: NDArray[Any]
    values: list[bytes]
    keys: list[bytes] | None
    headers: list[bytes] | None

    def __len__(self) -> int:
        return len(self.rows)

    def one(self, row: int) -> Block:
        """Return one of the records, as a call of its own that begins now."""
        rows = self.rows[row : row + 1]
        rows["at"], rows["call"] = time.monotonic_ns(), rows["sequence"]
        keys, headers = self.keys, self.headers
        return Block(rows, [self.values[row]], keys and [keys[row]], headers and [headers[row]])

    def single(self) -> dict[str, Any]:
        """Return the arguments of ``send()`` for the only record."""
        row = self.rows[0]
        arguments = {"value": self.values[0], "partition": int(row["partition"]), "timestamp": int(row["timestamp"])}
        if self.keys:
            arguments["key"] = self.keys[0]
        if self.headers:
            arguments["headers"] = {HEADER: self.headers[0]}
        return arguments

    def many(self) -> dict[str, Any]:
        """Return the arguments of ``send_batch()``."""
        rows = self.rows
        arguments = {
            "values": self.values,
            "partitions": rows["partition"].copy(),
            "timestamps": rows["timestamp"].copy(),
        }
        if self.keys:
            arguments["keys"] = self.keys
        if self.headers:
            arguments["headers"] = {HEADER: self.headers}
        return arguments

    def ended(self, **told: Any) -> NDArray[Any]:
        """Return ENDED rows of the records, now, without offset or time unless told."""
        rows = self.rows
        told = {"offset": -1, "timestamp": -1, "partition": -1, **told}
        same = {name: rows[name] for name in ("producer", "epoch", "sequence")}
        return rows_of(ENDED, len(rows), at=time.monotonic_ns(), **same, **told)


class Stream:
    """Records of one order, numbered from 0 in each epoch."""

    def __init__(self, workload: Workload, number: int) -> None:
        self._workload = workload
        self._random = np.random.default_rng([workload.seed, workload.epoch, number])
        # The same in every process of a round, so that a restarted client goes on as another epoch of the same.
        self.producer = int(np.random.default_rng([workload.seed, number]).integers(1 << 63))
        self._epoch = -1
        self._sequence = self._blocks = 0
        waits = 0.0
        if workload.lane == "throughput":
            waits = float(workload.config.get("message_timeout_ms", MESSAGE_TIMEOUT_MS)) / 1000
        self._timeout = workload.timeout + waits

    def block(self, n: int, epoch: int, transaction: int = 0) -> Block:
        """Return the next n records, as one call that begins now."""
        workload = self._workload
        if epoch != self._epoch:
            self._epoch, self._sequence = epoch, 0
        sequences = np.arange(self._sequence, self._sequence + n)
        rows = rows_of(
            INVOKED,
            n,
            at=time.monotonic_ns(),
            producer=self.producer,
            epoch=epoch,
            partition=self._random.integers(workload.partitions, size=n),
            sequence=sequences,
            call=self._sequence,
            timestamp=time.time_ns() // 1_000_000,
            transaction=transaction,
            timeout=self._timeout,
        )
        self._sequence += n
        self._blocks += 1
        values, keys, headers = pack(self.producer, epoch, rows["partition"], sequences, workload.size)
        if workload.oversize_every and self._blocks % workload.oversize_every == 0:
            at = int(self._random.integers(n))
            values[at] = (values[at] * (OVERSIZE // workload.size + 1))[:OVERSIZE]
        return Block(rows, values, keys if workload.keys else None, headers if workload.headers else None)
