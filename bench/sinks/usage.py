"""CPU of a process and all that came of it, as Linux counts it in ``/proc``."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import NamedTuple

_TICKS = os.sysconf("SC_CLK_TCK")
_PR_SET_CHILD_SUBREAPER = 36


class Usage(NamedTuple):
    """Seconds of CPU so far, user and system, and the processes that there are."""

    cpu: float
    processes: frozenset[Process]


def keep_orphans() -> None:
    """Make this process the parent of what its descendants leave behind: Ray's workers are such orphans."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


class Process(NamedTuple):
    """A process; its number alone may be another's later.

    Attributes
    ----------
    pid : int
    started : int
        Ticks since the machine's start.
    """

    pid: int
    started: int


def of_tree(root: int) -> Usage:
    """Return what a process, its descendants and the descendants that have ended and were waited for have used."""
    children: dict[int, list[int]] = {}
    ticks: dict[int, tuple[int, int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        pid = int(path.parent.name)
        fields = _fields(pid)
        if fields:
            children.setdefault(int(fields[1]), []).append(pid)
            # utime, stime, cutime, cstime; starttime
            ticks[pid] = sum(map(int, fields[11:15])), int(fields[19])
    found, left = set(), [root]
    while left:
        pid = left.pop()
        if pid in ticks:
            found.add(Process(pid, ticks[pid][1]))
        left += children.get(pid, [])
    return Usage(sum(ticks[one.pid][0] for one in found) / _TICKS, frozenset(found))


def alive(processes: frozenset[Process]) -> list[int]:
    """Return which of some processes have not ended."""
    states = ((one, _fields(one.pid)) for one in processes)
    return [one.pid for one, fields in states if fields and fields[0] != "Z" and int(fields[19]) == one.started]


def _fields(pid: int) -> list[str]:
    """Return what the kernel tells of a process behind its name; nothing once it has ended."""
    try:
        # The name, in brackets, may have spaces.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
