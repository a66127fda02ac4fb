"""What a client did and was told, appended to a file that survives the client's death.

The file is a row of blocks: a kind, a length, a CRC32, and JSON or an array. A block is one ``write()``, so it is there
once the call has returned, whatever ends the process then; a thread has the disk follow once a second. What a killed
client left half written at the end is ignored.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
import threading
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

# `at`: nanoseconds of time.monotonic(). `call`: sequence of the call's first record. `timeout`: seconds to the verdict.
INVOKED = np.dtype(
    [
        ("at", np.int64),
        ("producer", np.uint64),
        ("epoch", np.uint32),
        ("partition", np.int32),
        ("sequence", np.int64),
        ("call", np.int64),
        ("timestamp", np.int64),
        ("transaction", np.int32),
        ("timeout", np.float32),
    ]
)
# `verdict`: twolane.Verdict; `code`: of the KafkaError, 0 for none; offset and timestamp -1 where none was told.
ENDED = np.dtype(
    [
        ("at", np.int64),
        ("producer", np.uint64),
        ("epoch", np.uint32),
        ("sequence", np.int64),
        ("verdict", np.int8),
        ("code", np.int16),
        ("partition", np.int32),
        ("offset", np.int64),
        ("timestamp", np.int64),
        ("timestamp_type", np.int8),
    ]
)
WRITTEN, NOT_WRITTEN, UNKNOWN = 0, 1, 2
_HEAD = struct.Struct("<4sBxxxII")
_MAGIC = b"hist"
_EVENT, _INVOKED, _ENDED = range(3)
FSYNC_SECONDS, FLUSH_SECONDS, FLUSH_ROWS = 1.0, 0.05, 512


class HistoryWriter:
    """Append to a history; any thread may.

    Parameters
    ----------
    path : Path
        Made, or gone on with behind its last whole block.
    change : callable, optional
        Takes what is about to be written of ENDED rows and returns what is written instead: for mutants.
    """

    def __init__(self, path: Path, change: Callable[[NDArray[Any]], NDArray[Any]] = lambda rows: rows) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        os.ftruncate(self._file, sum(size for *_, size in _blocks(path)))
        self._change = change
        self._lock = threading.Lock()
        self._waiting: list[tuple[Any, ...]] = []
        # How many verdicts say "written", and the time of the newest.
        self.written = (0, 0)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="history", daemon=True)
        self._thread.start()

    def event(self, kind: str, **facts: Any) -> None:
        """Note something that is no record's verdict."""
        text = json.dumps({"event": kind, "at": time.monotonic_ns(), **facts}, default=repr)
        self._write(_EVENT, text.encode())

    def invoked(self, rows: NDArray[Any]) -> None:
        """Note records that are about to be handed over."""
        self._write(_INVOKED, rows.tobytes())

    def ended(self, rows: NDArray[Any]) -> None:
        """Note verdicts."""
        with self._lock:
            written = rows["at"][rows["verdict"] == WRITTEN]
            if len(written):
                self.written = (self.written[0] + len(written), max(self.written[1], int(written.max())))
            rows = self._change(rows)
        if len(rows):
            self._write(_ENDED, rows.tobytes())

    def ended_one(self, row: tuple[Any, ...]) -> None:
        """Note one verdict, a tuple of ENDED's fields; it is written with those that come soon."""
        with self._lock:
            self._waiting.append(row)
            if len(self._waiting) < FLUSH_ROWS:
                return
        self.flush()

    def flush(self) -> None:
        """Write the verdicts that wait."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        if waiting:
            self.ended(np.array(waiting, dtype=ENDED))

    def _write(self, kind: int, data: bytes) -> None:
        os.write(self._file, _HEAD.pack(_MAGIC, kind, len(data), zlib.crc32(data)) + data)

    def _follow(self) -> None:
        synced = time.monotonic()
        while not self._closing.wait(FLUSH_SECONDS):
            self.flush()
            if time.monotonic() - synced >= FSYNC_SECONDS:
                os.fsync(self._file)
                synced = time.monotonic()

    def close(self) -> None:
        """Write what waits, and have it on the disk."""
        self._closing.set()
        self._thread.join()
        self.flush()
        os.fsync(self._file)
        os.close(self._file)


@dataclass
class History:
    """A history in memory.

    Attributes
    ----------
    invoked, ended : ndarray of INVOKED, of ENDED
        In the order of the file.
    events : list of dict
        Each with its ``event`` and ``at``.
    """

    invoked: NDArray[Any] = field(default_factory=lambda: np.empty(0, INVOKED))
    ended: NDArray[Any] = field(default_factory=lambda: np.empty(0, ENDED))
    events: list[dict[str, Any]] = field(default_factory=list)

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return the events of a kind."""
        return [one for one in self.events if one["event"] == kind]


def read(*paths: Path | str) -> History:
    """Read the histories of one round, up to the last whole block of each."""
    events: list[dict[str, Any]] = []
    rows: dict[int, list[NDArray[Any]]] = {_INVOKED: [np.empty(0, INVOKED)], _ENDED: [np.empty(0, ENDED)]}
    for path in paths:
        for kind, data, _ in _blocks(Path(path)):
            if kind == _EVENT:
                events.append(json.loads(data))
            else:
                rows[kind].append(np.frombuffer(data, INVOKED if kind == _INVOKED else ENDED))
    return History(np.concatenate(rows[_INVOKED]), np.concatenate(rows[_ENDED]), events)


def _blocks(path: Path) -> Iterator[tuple[int, bytes, int]]:
    """Return kind, content and size of each whole block."""
    with contextlib.suppress(FileNotFoundError):
        data = path.read_bytes()
        at = 0
        while at + _HEAD.size <= len(data):
            magic, kind, length, crc = _HEAD.unpack_from(data, at)
            block = data[at + _HEAD.size : at + _HEAD.size + length]
            if magic != _MAGIC or len(block) < length or zlib.crc32(block) != crc:
                return
            yield kind, block, _HEAD.size + length
            at += _HEAD.size + length


def rows_of(kind: np.dtype[Any], n: int, **fields: Any) -> NDArray[Any]:
    """Return n rows of INVOKED or ENDED with these fields; the others are 0."""
    rows = np.zeros(n, dtype=kind)
    for name, values in fields.items():
        rows[name] = values
    return rows
