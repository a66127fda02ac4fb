"""StreamControl: pause, resume and stop a stream from elsewhere."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING, Any

from twolane.common.waiters import Waiters
from twolane.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


class StreamControl:
    """Pause, resume and stop a ``send_stream()`` from another thread, a task, a callback or a signal handler.

    A stream looks at it between two chunks. What was handed over by then gets its verdict; nothing more is read.

    Examples
    --------
    >>> from twolane import StreamControl
    >>> control = StreamControl()
    >>> control.stop()
    >>> control.stopped
    'stop()'
    """

    def __init__(self) -> None:
        self._paused = False
        self._stopped: str | None = None
        self._waiters = Waiters()
        self._listeners: dict[object, Callable[[], Any]] = {}

    @property
    def paused(self) -> bool:
        """Whether the stream is to wait."""
        return self._paused

    @property
    def stopped(self) -> str | None:
        """Why it is to stop; None where it is not."""
        return self._stopped

    def pause(self) -> None:
        """Let the stream wait before its next chunk."""
        self._paused = True
        self._wake()

    def resume(self) -> None:
        """Let it go on."""
        self._paused = False
        self._wake()

    def stop(self, reason: str = "stop()") -> None:
        """Let the stream end before its next chunk, for good; the summary has the reason of the first call."""
        self._stopped = self._stopped or reason
        self._wake()

    def _wake(self) -> None:
        self._waiters.wake()
        for listener in list(self._listeners.values()):
            listener()

    def _may_go(self, seconds: float) -> bool:
        """Return whether there is nothing to wait for."""
        return self._stopped is not None or (not self._paused and seconds <= 0)

    @contextlib.contextmanager
    def on_signals(self, signals: Iterable[signal.Signals]) -> Iterator[None]:
        """Stop at the first of these signals inside a ``with`` block; a second one does what it did before.

        Raises
        ------
        ConfigError
            Outside the main thread, where Python takes no signals.
        """
        numbers = tuple(signals)
        if numbers and threading.current_thread() is not threading.main_thread():
            raise ConfigError("stop_on: signals are taken in the main thread only; elsewhere call control.stop()")
        before: dict[int, Any] = {}

        def handle(number: int, frame: Any) -> None:
            signal.signal(number, before.pop(number))
            self.stop(signal.Signals(number).name)

        try:
            for number in numbers:
                before[number] = signal.signal(number, handle) or signal.SIG_DFL
            yield
        finally:
            for left, handler in list(before.items()):
                signal.signal(left, handler)
