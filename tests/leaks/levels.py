"""What a process has: threads, descriptors, native objects, memory; and whether it is back where it was."""

from __future__ import annotations

import ctypes
import gc
import re
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

import psutil

from twolane.client import handle
from twolane.reports import reader

# libc's own count of what it lent; where it has none (musl, macOS) the size of the process has to do.
LIBC = ctypes.CDLL(None)
COUNTS = hasattr(LIBC, "malloc_info") and hasattr(LIBC, "malloc_trim")
# What may stay of each execution, beside what may stay at all: less than the smallest object of either kind (an int has
# 28 bytes and is one block, malloc's least are 24).
BLOCKS_EACH, BYTES_EACH = 0.1, 8.0
BLOCKS_AT_ALL, BYTES_AT_ALL = 1_000, 128 * 1024
RSS_AT_ALL = 48 * 2**20
# librdkafka connects to a broker once it has something to ask. A client that is left behind has more of both.
CONNECTED = {"threads": 3, "descriptors": 9}
PATIENCE = 60.0
# What may come and go while nothing happens: librdkafka's own timers.
STILL_BYTES = 8_192


@dataclass(frozen=True)
class Level:
    """What the process has now.

    Attributes
    ----------
    threads, descriptors : int
        As the kernel counts them.
    handles : int
        Clients, topics and trackers of twolane's that were made and not freed.
    blocks : int
        Of Python's allocator.
    native_bytes : int
        Lent by malloc, in all of its arenas; Python's blocks of more than 512 bytes are among them.
    rss_bytes : int
        In memory, with what either allocator keeps for the next time.
    """

    threads: int
    descriptors: int
    handles: int
    blocks: int
    native_bytes: int
    rss_bytes: int

    @classmethod
    def now(cls) -> Level:
        """Return what the process has once garbage is collected."""
        gc.collect()
        process = psutil.Process()
        if COUNTS:
            LIBC.malloc_trim(0)
        return cls(
            process.num_threads(),
            process.num_fds() if hasattr(process, "num_fds") else 0,
            sum(handle.live()) + reader.live()[0],
            sys.getallocatedblocks(),
            native_bytes(),
            process.memory_info().rss,
        )

    def excess(self, before: Level, times: int) -> dict[str, int]:
        """Return what is more than before, and more than `times` executions may leave, by name."""
        most = dict.fromkeys(asdict(self), 0)
        most.update(CONNECTED)
        most["blocks"] = BLOCKS_AT_ALL + int(BLOCKS_EACH * times)
        most["native_bytes"] = BYTES_AT_ALL + int(BYTES_EACH * times)
        most["rss_bytes"] = RSS_AT_ALL
        grown = self - before
        return {name: n for name, n in grown.items() if n > most[name]}

    def __sub__(self, before: Level) -> dict[str, int]:
        return {name: n - getattr(before, name) for name, n in asdict(self).items()}


def native_bytes() -> int:
    """Return how many bytes malloc has lent."""
    if not COUNTS:
        return 0
    LIBC.open_memstream.restype = LIBC.fdopen.restype = ctypes.c_void_p
    text, size = ctypes.c_char_p(), ctypes.c_size_t()
    stream = ctypes.c_void_p(LIBC.open_memstream(ctypes.byref(text), ctypes.byref(size)))
    LIBC.malloc_info(0, stream)
    LIBC.fclose(stream)
    whole = (text.value or b"").decode().rpartition("</heap>")[2]
    LIBC.free(text)
    sizes = {kind: int(n) for kind, n in re.findall(r'<(?:total|system) type="(\w+)"[^>]* size="(\d+)"', whole)}
    return sizes["current"] + sizes["mmap"] - sizes["fast"] - sizes["rest"]


def at_rest() -> Level:
    """Return the level once it stands still: what was in flight is back, and what was dropped has ended."""
    deadline = time.monotonic() + PATIENCE
    level = Level.now()
    while time.monotonic() < deadline:
        time.sleep(0.1)
        last, level = level, Level.now()
        moved = level - last
        if not (
            moved["threads"] or moved["descriptors"] or moved["handles"] or abs(moved["native_bytes"]) > STILL_BYTES
        ):
            break
    return level


def settled(before: Level, times: int) -> tuple[Level, dict[str, int]]:
    """Return the level and what is too much of it, once that is nothing or a minute is over.

    A native thread that was joined is the kernel's for a moment longer, and what is in flight has yet to come back.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        level = Level.now()
        excess = level.excess(before, times)
        if not excess or time.monotonic() > deadline:
            return level, excess
        time.sleep(0.05)


def report(before: Level, after: Level) -> dict[str, Any]:
    """Return both levels and the difference, for JSON."""
    return {"before": asdict(before), "after": asdict(after), "grown": after - before}
