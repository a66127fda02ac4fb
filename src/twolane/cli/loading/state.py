"""The state file of a load: what was handed over, what was acknowledged, and what is in doubt after a crash.

A line of JSON each, appended:

``{"load": ...}``            which load it is: sources with size and time, topic, format
``{"handed": [start, n], "ends": ..., "bad": size}``
                             written and synced *before* rows `start` to `start + n` are handed over. `ends`: of each
                             partition an offset that every record of these rows, and of later ones, is at or behind;
                             `bad`: the size of the file of bad rows
``{"settled": [start, n], "refused": k, "at": ...}``
                             all of these rows are written or refused. Not synced: where it is lost, they are in doubt.
                             `at`: where they are, as ranges of offsets. Chunks of the throughput lane overlap in the
                             log, and a row in doubt must not be taken for an equal one of a chunk before it
``{"done": rows}``           the end of the sources was reached

A line that a crash cut off has no newline, and does not count.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple

import click

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has no such lock
    fcntl = None  # type: ignore[assignment]

# topic -> partition, as text -> offset
Ends = dict[str, dict[str, int]]
# Topic, partition, first and last offset.
Ranges = list[tuple[str, int, int, int]]


class Doubt(NamedTuple):
    """Rows that were handed over and not all acknowledged.

    Attributes
    ----------
    start, stop : int
    ends : mapping
        From where their records are in each partition.
    others : set of (topic, partition, offset)
        Records behind these that are of rows before `start`.
    """

    start: int
    stop: int
    ends: Ends
    others: set[tuple[str, int, int]]


class LoadState:
    """One state file, open and locked.

    Parameters
    ----------
    path : Path
    load : mapping
        What makes it this load and no other.
    resume : bool
        Go on with what the file says; it may be missing.

    Attributes
    ----------
    position : int
        The first row that was not handed over.
    doubt : Doubt or None
    done : bool
    refused : int
        Rows left out by the runs before, those in doubt not counted.
    bad_size : int or None
        Size of the file of bad rows before the rows in doubt; None where there are none.

    Raises
    ------
    click.UsageError
        The file is of another load, of one that is not to be resumed, or in use.
    OSError
        It cannot be read or written.
    """

    def __init__(self, path: Path, load: dict[str, Any], *, resume: bool) -> None:
        self.path = path
        self.position = self.refused = 0
        self.bad_size: int | None = None
        self.doubt: Doubt | None = None
        self.done = False
        self._handed: dict[int, dict[str, Any]] = {}
        self._refused: dict[int, int] = {}
        self._at: dict[int, Ranges] = {}
        self._problem: OSError | None = None
        if path.exists() and not path.is_file():
            raise click.UsageError(f"--state {path}: no regular file")
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            self._lock()
            self._read(load, resume=resume)
        except BaseException:
            self.close()
            raise

    def _lock(self) -> None:
        if fcntl is None:
            return
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise click.UsageError(f"--state {self.path}: another load uses it now") from None

    def _read(self, load: dict[str, Any], *, resume: bool) -> None:
        text = self.path.read_bytes()
        if _line({"load": load}).startswith(text):  # new, or cut off by a crash before anything was handed over
            os.ftruncate(self._descriptor, 0)
            self._append({"load": load}, sync=True)
            _sync_folder(self.path)
            return
        whole, _, rest = text.rpartition(b"\n")
        try:
            lines = [json.loads(line) for line in whole.splitlines()]
            known = lines[0]["load"]
        except (ValueError, LookupError, TypeError):
            raise click.UsageError(f"--state {self.path}: no state file of twolane load") from None
        if rest:
            os.ftruncate(self._descriptor, len(text) - len(rest))  # what a crash cut off
        if known != load:
            name = next(name for name in {**known, **load} if known.get(name) != load.get(name))
            raise click.UsageError(
                f"--state {self.path} is of another load: {name} was {known.get(name)!r}, is {load.get(name)!r}"
            )
        for line in lines[1:]:
            self._take(line)
        if not resume:
            what = "ended" if self.done else f"stopped at row {self._first_in_doubt()}"
            raise click.UsageError(
                f"--state {self.path}: that load {what}; go on with --resume, or remove the file to load again"
            )
        first = self._first_in_doubt()
        self.refused = sum(refused for start, refused in self._refused.items() if start < first)
        if self._handed:
            ends: Ends = {}
            for start in sorted(self._handed):  # of a topic that came later, from there
                for topic, offsets in self._handed[start]["ends"].items():
                    ends[topic] = {**offsets, **ends.get(topic, {})}
            self.doubt = Doubt(first, self.position, ends, set(self._others(first, ends)))
            self.bad_size = self._handed[first]["bad"]

    def _first_in_doubt(self) -> int:
        return min(self._handed, default=self.position)

    def _others(self, first: int, ends: Ends) -> Iterator[tuple[str, int, int]]:
        for start, at in self._at.items():
            for topic, partition, low, high in at if start < first else ():
                base = ends.get(topic, {}).get(str(partition), 0)
                yield from ((topic, partition, offset) for offset in range(max(low, base), high + 1))

    def _take(self, line: dict[str, Any]) -> None:
        if "handed" in line:
            start, n = line["handed"]
            self._handed[start] = line
            self.position = start + n
        elif "settled" in line:
            start, n = line["settled"]
            for one in [one for one in self._handed if start <= one < start + n]:
                del self._handed[one]
            self._refused[start] = line["refused"]
            self._at[start] = line["at"]
        elif "done" in line:
            self.done = True

    def handing_over(self, start: int, n: int, ends: Ends, bad_size: int) -> None:
        """Note, and sync, that rows are about to be handed over.

        Raises
        ------
        OSError
            It cannot be noted: they must not be handed over.
        """
        if self._problem is not None:
            raise self._problem
        self._append({"handed": [start, n], "ends": ends, "bad": bad_size}, sync=True)

    def settled(self, start: int, n: int, refused: int, at: Ranges) -> None:
        """Note that rows are written, and where, or refused; if that fails, `handing_over` and `end` raise it."""
        try:
            self._append({"settled": [start, n], "refused": refused, "at": at}, sync=False)
        except OSError as problem:
            self._problem = self._problem or problem

    def end(self, rows: int) -> None:
        """Note that everything is done."""
        if self._problem is not None:
            raise self._problem
        self._append({"done": rows}, sync=True)

    def _append(self, line: dict[str, Any], *, sync: bool) -> None:
        data = _line(line)
        size = os.fstat(self._descriptor).st_size
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
            if sync:
                os.fsync(self._descriptor)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, size)  # no half of a line in front of the next
            raise OSError(error.errno, f"--state: {error.strerror}", str(self.path)) from error

    def close(self) -> None:
        """Close and unlock it."""
        os.close(self._descriptor)


def _line(content: dict[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"


def _sync_folder(path: Path) -> None:
    """Make sure that a new file is still there after a crash of the machine."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    folder = os.open(path.resolve().parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
