"""How a client process is stopped, interrupted and watched."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from faults.history import HistoryWriter

TICK_SECONDS, RSS_SECONDS = 0.02, 0.5
# A tick that is later than this was held up by the machine, not by the library.
STALLED_SECONDS = 0.3


class Control:
    """The signals and the standard input of a client.

    A program's own Ctrl-C comes anywhere; here it comes inside a call of the library, or ends the loop between two:
    between a call's return and the noting of its result it would lose a verdict by this program's own fault.
    """

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self.on_interrupt: Callable[[], object] | None = None
        self._is_in_call = False
        signal.signal(signal.SIGTERM, lambda *_: self.stopping.set())
        signal.signal(signal.SIGINT, self._interrupt)
        threading.Thread(target=self._listen, name="stdin", daemon=True).start()

    def _listen(self) -> None:
        # Past Python's own buffer, whose lock would be held at the interpreter's end.
        with contextlib.suppress(OSError):
            os.read(sys.stdin.fileno(), 1)
        self.stopping.set()

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self.stopping.set()
        if self.on_interrupt is not None:
            self.on_interrupt()
        elif self._is_in_call:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def in_call(self, may_interrupt: bool) -> Iterator[None]:
        """Let Ctrl-C interrupt what is in here, in the main thread."""
        if not may_interrupt or threading.current_thread() is not threading.main_thread():
            yield
            return
        try:
            self._is_in_call = True
            yield
        finally:
            self._is_in_call = False


class Ticker:
    """Says how many records are acknowledged, and notes memory and hold-ups; a context manager."""

    def __init__(self, history: HistoryWriter, epoch: int) -> None:
        self._history, self._epoch = history, epoch
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ticker", daemon=True)

    def __enter__(self) -> Ticker:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        told, measured, last = 0, 0.0, time.monotonic()
        while True:
            is_over = self._ended.wait(TICK_SECONDS)
            now = time.monotonic()
            if now - last - TICK_SECONDS > STALLED_SECONDS:
                self._history.event("stalled", seconds=now - last - TICK_SECONDS)
            last = now
            written, at = self._history.written
            if written > told:
                told = written
                print(f"acked {written} {at / 1e9:.6f}", flush=True)
            if now - measured > RSS_SECONDS:
                measured = now
                self._history.event("rss", epoch=self._epoch, bytes=resident())
            if is_over:
                return


def resident() -> int:
    """Return this process's resident memory in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
