"""Callers one by one, in the order they came, and neighbours who want the same thing in one go (group commit).

Compiled for one reason: a signal handler runs between any two steps of Python code, and a Ctrl-C there would lose a
turn for good. In compiled code it can only come out of ``wait()``, where it is expected. The GIL keeps other threads out of a critical
section; without one (free-threaded Python) the critical sections do.
"""
cimport cython

import threading
import time


@cython.final
cdef class Turn:
    """One caller's place in the queue.

    Parameters
    ----------
    deadline : float
    job : object, optional

    Attributes
    ----------
    job : object
        What a neighbour may do for this caller; None where it can only be done in its own turn.
    deadline : float
        ``time.monotonic()``.
    mine : bool
        The turn is the caller's, who must ``leave()``.
    done : bool
        A neighbour did the job.
    sent : bool
        The job's record was handed to librdkafka: its fate is open until `outcome` is set.
    outcome : object
        Set by whoever did the job: a result or an exception.
    """

    cdef readonly double deadline
    cdef readonly object job
    cdef public bint mine, done, sent
    cdef public object outcome
    cdef object _signal
    cdef object _thread

    def __init__(self, double deadline, job=None):
        self.deadline = deadline
        self.job = job
        self._thread = threading.get_ident()
        self._signal = threading.Lock()
        self._signal.acquire()

    def wake(self):
        """Let the waiting caller look at `mine` and `done`."""
        self._signal.release()

    def wait(self, double timeout):
        """Wait to be woken; Ctrl-C interrupts. False if the time ran out."""
        return self._signal.acquire(timeout=min(max(0.0, timeout), threading.TIMEOUT_MAX))


@cython.final
cdef class Turns:
    """A fair lock whose holder may do the jobs of those who wait right behind it.

    Notes
    -----
    ``take()`` stands inside a ``try`` whose ``finally`` calls ``leave()``: whatever comes between, the turn goes on.
    """

    cdef list _waiting           # of Turn, the longest waiting first
    cdef bint _busy
    cdef object _holder          # the thread whose turn it is

    def __init__(self):
        self._waiting = []
        self._busy = False

    def take(self, Turn turn not None):
        """Wait for the turn, or for somebody to do the job meanwhile.

        Returns
        -------
        bool
            True: either ``turn.done`` (the job was done), or the turn is the caller's.
            False: the deadline passed, nothing was done, and the caller is out of the queue.
        """
        with cython.critical_section(self):
            if not self._busy and not self._waiting:
                self._busy = True
                self._holder = turn._thread
                turn.mine = True
                return True
            self._waiting.append(turn)
        try:
            while not turn.wait(turn.deadline - time.monotonic()):
                if self._withdraw(turn):
                    return False
                # Taken up by a neighbour, or handed the turn, just now: the word comes within its deadline.
                while not turn.wait(1.0):
                    pass
                break
        except BaseException:
            self._withdraw(turn)
            raise
        return True

    cdef bint _withdraw(self, Turn turn):
        """Take a caller out of the line; False if it is not in it any more."""
        cdef Py_ssize_t i
        with cython.critical_section(self):
            for i in range(len(self._waiting)):
                if self._waiting[i] is turn:
                    del self._waiting[i]
                    return True
        return False

    def neighbours(self, Turn turn not None, Py_ssize_t most, double within):
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
        cdef list taken = []
        cdef Turn other
        with cython.critical_section(self):
            while self._waiting and len(taken) < most:
                other = <Turn>self._waiting[0]
                if other.job is None or abs(other.deadline - turn.deadline) > within:
                    break
                taken.append(other)
                del self._waiting[0]
        return taken

    def leave(self, Turn turn not None):
        """Hand the turn to the caller who has waited longest, if `turn` is the holder's. Does nothing otherwise."""
        cdef Turn following = None
        with cython.critical_section(self):
            if not turn.mine:
                return
            turn.mine = False
            if self._waiting:
                following = <Turn>self._waiting[0]
                del self._waiting[0]
                following.mine = True
                self._holder = following._thread
            else:
                self._busy = False
                self._holder = None
        if following is not None:
            following.wake()

    @property
    def is_below(self):
        """bool: whether the turn is this very thread's, in a call that a signal handler has interrupted."""
        return self._holder == threading.get_ident()

    def dismiss(self):
        """Empty the line, for close(): the caller settles those who waited."""
        cdef list taken
        with cython.critical_section(self):
            taken, self._waiting = self._waiting, []
        return taken
