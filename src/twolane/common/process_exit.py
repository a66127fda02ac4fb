"""The ends of a process that Python lets one hook: what is to be done at each of them is done once."""

from __future__ import annotations

import atexit
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

# Above the priorities of multiprocessing's own queues and pools (15 at most): callbacks may still use these.
PRIORITY = 100


class Exits:
    """Calls a function where the interpreter ends, also in a child of multiprocessing, which never comes to ``atexit``.

    Such a child ends in ``multiprocessing.util._exit_function()`` and then in ``os._exit()``, whatever it was started
    by. What it had registered before ``Process.run()`` is forgotten, and what its parent had, too; hooks that run after
    a fork are kept, and run at its start (they do so under "spawn" as well).

    Parameters
    ----------
    function : callable
        Called at each end of a process, perhaps more than once.
    """

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function
        self._is_told = False
        self._finalizer: Any = None
        atexit.register(function)

    def watch(self) -> None:
        """See to multiprocessing, where the program uses it. Called whenever there is something to do at the end."""
        util = sys.modules.get("multiprocessing.util")
        if util is None:
            return
        if not self._is_told:
            self._is_told = True
            util.register_after_fork(self, Exits._register)
        self._register()

    def _register(self) -> None:
        """Register in a child of multiprocessing: its parent ends as any other process."""
        from multiprocessing import process, util

        if process.parent_process() is None or (self._finalizer is not None and self._finalizer.still_active()):
            return
        if not getattr(util, "_exiting", False):
            self._finalizer = util.Finalize(None, self._end, exitpriority=PRIORITY)
        elif threading.current_thread() is not threading.main_thread():
            self._end()  # a thread that is still at work: the finalizers have run already

    def _end(self) -> None:
        """Do it now, or, where other threads are still at work, once these have ended: the process waits for them."""
        main = threading.main_thread()
        others = [thread for thread in threading.enumerate() if not thread.daemon and thread is not main]
        if others:
            threading.Thread(target=self._end_behind, args=(others,), name="twolane-exit", daemon=False).start()
        else:
            self._function()

    def _end_behind(self, others: list[threading.Thread]) -> None:
        for thread in others:
            if thread.name != "twolane-exit":
                thread.join()
        self._function()
