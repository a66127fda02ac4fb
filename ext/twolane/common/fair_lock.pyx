"""Callers one by one, in the order they came, and neighbours who want the same thing in one go (group commit).

Compiled for one reason: a signal handler runs between any two steps of Python code, and a Ctrl-C there would lose a
turn for good. In compiled code it can only come out of ``wait()``, where it is expected. The GIL keeps other threads out of a critical
section; without one (free-threaded Python) the critical sections do.
"""
cimport cython
from cpython.pythread cimport PyThread_get_thread_ident
from cpython.time cimport monotonic

import threading

# How long a caller that is interrupted waits for the neighbour that has its job in hand: it should learn the verdict,
# and Ctrl-C should work within a second.
cdef double NEIGHBOUR_SECONDS = 0.7


cdef object held_lock():
    lock = threading.Lock()
    lock.acquire()
    return lock


@cython.final
cdef class Waiter:
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
    taken : bool
        A neighbour has the job in hand, or had it.
    sent : bool
        The job's record was handed to librdkafka: its fate is open until `outcome` is set.
    outcome : object
        Set by whoever did the job: a result or an exception. None if a signal came in between.
    """

    def __init__(self, double deadline, job=None):
        self.deadline = deadline
        self.job = job
        self._thread = PyThread_get_thread_ident()

    def begin(self):
        """Set `sent`, just before the job's record goes. Returns True: a caller cannot withdraw it."""
        self.sent = True
        return True

    cpdef wake(self):
        """Let the waiting caller look at `mine` and `done`."""
        self._signal.release()

    cpdef bint wait(self, double timeout) except -1:
        """Wait to be woken; Ctrl-C interrupts. False if the time ran out."""
        return self._signal.acquire(timeout=min(max(0.0, timeout), threading.TIMEOUT_MAX))


@cython.final
cdef class FairLock:
    """A fair lock whose holder may do the jobs of those who wait right behind it.

    Notes
    -----
    ``take()`` stands inside a ``try`` whose ``finally`` calls ``leave()``: whatever comes between, the turn goes on.
    """

    def __init__(self):
        self._waiting = []
        self._busy = False

    def __len__(self):
        """Return how many callers wait."""
        return len(self._waiting)

    cpdef bint take(self, Waiter turn) except -1:
        """Wait for the turn, or for somebody to do the job meanwhile.

        Returns
        -------
        bool
            True: either ``turn.done`` (the job was done), or the turn is the caller's.
            False: the deadline passed, nothing was done, and the caller is out of the queue.

        Raises
        ------
        KeyboardInterrupt, or whatever a signal handler raises
            The caller is out of the queue. Where a neighbour had the job in hand already, its word was waited for, for
            a moment: ``turn.outcome``.
        """
        while True:
            with cython.critical_section(self):
                if not self._busy and not self._waiting:
                    self._busy = True
                    self._holder = turn._thread
                    turn.mine = True
                    return True
                if turn._signal is not None:
                    self._waiting.append(turn)
                    break
            # Not inside: making an object may run the garbage collector, and that any code.
            turn._signal = held_lock()
        try:
            while not turn.wait(turn.deadline - monotonic()):
                if self._withdraw(turn):
                    return False
                # Taken up by a neighbour, or handed the turn, just now: the word comes within its deadline.
                while not turn.wait(1.0):
                    pass
                break
        except BaseException:
            if not self._withdraw(turn) and not turn.mine:
                turn.wait(NEIGHBOUR_SECONDS)
            raise
        return True

    cdef bint _withdraw(self, Waiter turn):
        """Take a caller out of the line; False if it is not in it any more."""
        cdef Py_ssize_t i
        with cython.critical_section(self):
            for i in range(len(self._waiting)):
                if self._waiting[i] is turn:
                    del self._waiting[i]
                    return True
        return False

    def gather(self, Waiter turn not None, Py_ssize_t most, double within):
        """Take along the callers right behind the holder whose jobs can go with its own.

        They are woken when the holder leaves, whatever comes between; their `outcome` is set by then, or left open.

        Parameters
        ----------
        turn : Waiter
            The holder's.
        most : int
            How many at most.
        within : float
            Seconds that their deadlines may lie apart, so that nobody is kept much longer, or cut off earlier, than
            asked for.
        """
        cdef Waiter other
        turn._followers = []
        with cython.critical_section(self):
            while self._waiting and len(turn._followers) < most:
                other = <Waiter>self._waiting[0]
                if other.job is None or abs(other.deadline - turn.deadline) > within:
                    break
                other.taken = True
                turn._followers.append(other)
                del self._waiting[0]
        return turn._followers

    cpdef leave(self, Waiter turn):
        """Wake whom the holder took along, hand the turn to who has waited longest. Nothing if `turn` is not the holder's."""
        cdef Waiter following = None
        cdef Waiter other
        with cython.critical_section(self):
            if not turn.mine:
                return
            turn.mine = False
            if self._waiting:
                following = <Waiter>self._waiting[0]
                del self._waiting[0]
                following.mine = True
                self._holder = following._thread
            else:
                self._busy = False
                self._holder = 0
        if turn._followers is not None:
            for other in turn._followers:
                other.done = True
                other.wake()
            turn._followers = None
        if following is not None:
            following.wake()

    @property
    def is_below(self):
        """bool: whether the turn is this very thread's, in a call that a signal handler has interrupted."""
        return self._holder == PyThread_get_thread_ident()

    def dismiss(self):
        """Empty the line, for close(): the caller settles those who waited."""
        cdef list taken
        with cython.critical_section(self):
            taken = list(self._waiting)
            del self._waiting[:]        # not another list: is_alone() reads this one without a lock
        return taken
