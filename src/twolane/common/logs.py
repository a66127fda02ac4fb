"""The one way to the user's logging: each line names its client; whatever logging does, no verdict changes."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import threading
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import CodeType, FrameType

AnyLogger = logging.Logger | logging.LoggerAdapter[Any]

logger = logging.getLogger("twolane")
logger.addHandler(logging.NullHandler())


class ClientLog:
    """The lines of one client: its name first, to the logger that the producer was given.

    Parameters
    ----------
    name : str
        librdkafka's, which begins with ``client.id``.
    to : logging.Logger, optional
        ``twolane`` by default.
    """

    def __init__(self, name: str, to: AnyLogger | None = None) -> None:
        self.name = name
        self._to = to if to is not None else logger

    def __call__(self, level: int, text: str, *arguments: object, error: BaseException | None = None) -> None:
        """Log a line, with the traceback of `error` if there is one. What filters and handlers raise goes no further.

        The exception of a signal handler that came meanwhile does: it is the program's, as anywhere else.
        """
        try:
            self._to.log(level, f"%s: {text}", self.name, *arguments, exc_info=error)
        except BaseException as raised:
            if _is_of_a_signal(raised):
                raise

    def warn(self, text: str, category: type[Warning]) -> None:
        """Warn. Where warnings are errors, or ``showwarning`` fails, the text is logged instead."""
        try:
            warnings.warn(text, category, stacklevel=3)
        except BaseException as raised:
            if _is_of_a_signal(raised):
                raise
            self(logging.ERROR, "%s", text)


def _is_of_a_signal(raised: BaseException) -> bool:
    """Return whether a signal handler raised this during the user's logging: they run in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        return False
    if type(raised) is KeyboardInterrupt:
        return True
    codes = set()
    for number in signal.valid_signals():
        with contextlib.suppress(ValueError, OSError):
            codes.add(_code_of(signal.getsignal(number)))
    trace = raised.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code in codes:
            return True
        trace = trace.tb_next
    return False


def _code_of(handler: Any) -> CodeType | None:
    """Return the code of a signal handler: a function, a method, a partial, or an object that can be called."""
    while hasattr(handler, "func"):
        handler = handler.func
    handler = getattr(handler, "__func__", handler)
    code = getattr(handler, "__code__", None)
    return code if code is not None else getattr(vars(type(handler)).get("__call__"), "__code__", None)


def whereabouts(thread: threading.Thread) -> str:
    """Say which function of the user's a thread is in, and at which line; no values, which may be secret."""
    frame = sys._current_frames().get(thread.ident or 0)
    own = __name__.partition(".")[0]
    while frame is not None and frame.f_back is not None and not _is_in(own, frame.f_back):
        frame = frame.f_back
    if frame is None:
        return f"thread {thread.name!r}"
    code = frame.f_code
    return f"thread {thread.name!r}, in {code.co_name}() of {code.co_filename}, line {frame.f_lineno}"


def _is_in(package: str, frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).partition(".")[0] == package
