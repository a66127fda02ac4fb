"""Callers one by one, in the order they came, and neighbours who want the same thing in one go (group commit)."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any


class Turn:
    """One caller's place in the queue.

    Attributes
    ----------
    job : object
        What a neighbour may do for this caller; None where it can only be done in its own turn.
    deadline : float
        ``time.monotonic()``.
    outcome : object
        Set by whoever did the job: a result or an exception.
    """

    __slots__ = ("_signal", "deadline", "done", "job", "mine", "outcome")

    def __init__(self, deadline: float, job: Any = None) -> None:
        self.deadline = deadline
        self.job = job
        self.mine = False
        self.done = False
        self.outcome: Any = None
        self._signal = threading.Lock()
        self._signal.acquire()

    def wake(self) -> None:
        """Let the waiting caller look at `mine` and `done`."""
        self._signal.release()

    def wait(self, timeout: float) -> bool:
        """Wait to be woken; Ctrl-C interrupts. False if the time ran out."""
        return self._signal.acquire(timeout=max(0.0, timeout))


class Turns:
    """A fair lock whose holder may do the jobs of those who wait right behind it."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._waiting: deque[Turn] = deque()
        self._busy = False

    def take(self, turn: Turn) -> bool:
        """Wait for the turn, or for somebody to do the job meanwhile.

        Returns
        -------
        bool
            True: either ``turn.done`` (the job was done), or the turn is the caller's, who must ``give()`` it on.
            False: the deadline passed, nothing was done, and the caller is out of the queue.
        """
        with self._mutex:
            if not self._busy and not self._waiting:
                self._busy = True
                turn.mine = True
                return True
            self._waiting.append(turn)
        try:
            while not turn.wait(turn.deadline - time.monotonic()):
                with self._mutex:
                    if turn in self._waiting:
                        self._waiting.remove(turn)
                        return False
                # Taken up by a neighbour, or handed the turn, just now: the word comes within its deadline.
                while not turn.wait(1.0):
                    pass
                break
        except BaseException:
            with self._mutex:
                if turn in self._waiting:
                    self._waiting.remove(turn)
                    raise
            if turn.mine:
                self.give()
            raise
        return True

    def neighbours(self, turn: Turn, most: int, within: float) -> list[Turn]:
        """Take the callers right behind the holder whose jobs can go with its own.

        Parameters
        ----------
        turn : Turn
            The holder's.
        most : int
            How many at most.
        within : float
            Seconds that their deadlines may lie apart, so that nobody is kept much longer, or cut off earlier, than
            asked for.
        """
        taken: list[Turn] = []
        with self._mutex:
            while self._waiting and len(taken) < most:
                other = self._waiting[0]
                if other.job is None or abs(other.deadline - turn.deadline) > within:
                    break
                taken.append(self._waiting.popleft())
        return taken

    def give(self) -> None:
        """Hand the turn to the caller who has waited longest."""
        with self._mutex:
            if self._waiting:
                following = self._waiting.popleft()
                following.mine = True
            else:
                self._busy = False
                return
        following.wake()

    def dismiss(self) -> list[Turn]:
        """Empty the queue, for close(): the caller settles those who waited."""
        with self._mutex:
            taken = list(self._waiting)
            self._waiting.clear()
        return taken
