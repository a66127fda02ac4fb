"""The client of a round: a process that writes its history, watched by the lines it prints."""

from __future__ import annotations

import contextlib
import itertools
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from faults.workload import Workload

START_SECONDS = 60.0
STOP_SECONDS = 60.0
# For the stacks of a client that does not end.
LAST_SECONDS = 2.0
# A client that is stopped (SIGSTOP) does not see that its runner is gone.
WITH_ITS_PARENT = ("setpriv", "--pdeathsig", "KILL")


class StuckClientError(Exception):
    """The client did not start, or did not end; its stacks are at the end of its log."""


class RunningClient:
    """Owner of the process that runs `python -m faults.client`; a context manager that kills it.

    Parameters
    ----------
    workload : Workload
    log : Path
        Its standard error is appended there.
    python : str, optional
        Another interpreter, such as one where another twolane is installed.
    before : sequence of str, optional
        What stands before its command line, such as ``unshare``.
    module : str, default "faults.client"

    Attributes
    ----------
    acked : int
        Records acknowledged to all the processes so far.
    last_ack : float
        When the newest of them was, by `time.monotonic`; 0 before the first.
    """

    def __init__(
        self,
        workload: Workload,
        log: Path,
        *,
        python: str = sys.executable,
        before: Sequence[str] = (),
        module: str = "faults.client",
    ) -> None:
        self.workload = workload
        self.acked = 0
        self.last_ack = 0.0
        self._log = log
        self._command = [*WITH_ITS_PARENT, *before, python, "-m", module]
        self._moments: list[float] = []
        self._changed = threading.Condition()
        self._start()

    def _start(self) -> None:
        self._acked_before, self._has_started, self._has_ended = self.acked, False, False
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._command, self.workload.to_json()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                # Ctrl-C is for the runner, which then ends the client.
                start_new_session=True,
            )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            word, *rest = line.split()
            with self._changed:
                if word == "started":
                    self._has_started = True
                elif word == "acked":
                    self.acked, self.last_ack = self._acked_before + int(rest[0]), float(rest[1])
                    self._moments.append(self.last_ack)
                self._changed.notify_all()
        process.stdout.close()
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()

    def _wait(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Wait until it holds, or the process has ended; return whether it holds."""
        with self._changed:
            self._changed.wait_for(lambda: condition() or self._has_ended, timeout)
            return condition()

    @property
    def pid(self) -> int:
        """Id of the newest process."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """As of `subprocess.Popen.returncode`."""
        return self._process.poll()

    def wait_started(self, timeout: float = START_SECONDS) -> None:
        """Wait until it says that it sends."""
        if not self._wait(lambda: self._has_started, timeout):
            raise StuckClientError(f"the client did not start within {timeout} s; its log is {self._log}")

    def wait_acked(self, count: int, timeout: float) -> bool:
        """Wait until so many records are acknowledged; return whether they are."""
        return self._wait(lambda: self.acked >= count, timeout)

    def wait_ack_after(self, moment: float, timeout: float) -> float | None:
        """Wait for an acknowledgement later than `moment`; return its time, or None where none came."""
        self._wait(lambda: self.last_ack > moment, timeout)
        with self._changed:
            return next((one for one in self._moments if one > moment), None)

    def silence(self, since: float) -> float:
        """Return the longest time without an acknowledgement after `since`, the newest one being its end."""
        with self._changed:
            moments = [since, *(one for one in self._moments if one > since)]
        return max((later - earlier for earlier, later in itertools.pairwise(moments)), default=0.0)

    def signal(self, number: signal.Signals) -> None:
        """Send the newest process a signal, if it has not ended."""
        if self.is_running:
            self._process.send_signal(number)

    def stop(self, timeout: float = STOP_SECONDS) -> None:
        """Let it end in order.

        Raises
        ------
        StuckClientError
            It did not, within `timeout` seconds.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError, ValueError):  # it has ended, or was told before
            self._process.stdin.write("stop\n")
            self._process.stdin.close()
        self.wait(timeout)

    def wait(self, timeout: float = STOP_SECONDS) -> None:
        """Wait for its end. Errors as of `stop`."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGUSR1)
            time.sleep(LAST_SECONDS)
            self.kill()
            raise StuckClientError(
                f"the client did not end within {timeout} s; its stacks are in {self._log}"
            ) from None
        self._reader.join()
        self._close_input()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        self._close_input()

    def _close_input(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def restart(self, **changes: Any) -> None:
        """Start it again, on the same history, under the next epoch; `changes` of the workload on top."""
        self.workload = replace(self.workload, epoch=self.workload.epoch + 1, **changes)
        self._start()

    def __enter__(self) -> RunningClient:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()
