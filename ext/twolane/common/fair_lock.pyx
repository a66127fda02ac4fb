"""A fair lock whose holder may do the work of the callers that wait behind it (group commit).

Compiled because a signal handler runs between any two steps of Python code: a Ctrl-C there would lose the lock for good. In
compiled code its exception can only be raised by ``Waiter.wait()``, where it is handled. The GIL keeps other threads out of a
critical section; without one (free-threaded Python) the critical sections do.
"""
cimport cython
from cpython.pythread cimport PyThread_get_thread_ident
from cpython.time cimport monotonic

import threading

# How long an interrupted caller waits for the holder that took its job: the caller should get the verdict, and Ctrl-C should
# work within a second.
cdef double NEIGHBOUR_SECONDS = 0.7


cdef object held_lock():
    lock = threading.Lock()
    lock.acquire()
    return lock


@cython.final
cdef class Waiter(GroupMember):
    """One caller that waits for a FairLock, or holds it.

    Parameters
    ----------
    deadline : float
    job : object, optional

    Attributes
    ----------
    job : object
        What the holder may do for this caller; None: only the caller itself can, as the holder.
    deadline : float
        ``time.monotonic()``.
    mine : bool
        The caller is the holder, and must ``release()``.
    done : bool
        The holder did the job.
    job_taken : bool
        The holder took the job.
    sent, outcome
        See GroupMember. The outcome is set by the thread that did the job: None if a signal interrupted it.
    """

    def __cinit__(self):
        self._thread = PyThread_get_thread_ident()

    def __init__(self, double deadline, job=None):
        self.deadline = deadline
        self.job = job

    cpdef bint begin(self):
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
    """A lock that is acquired in the order of the calls; its holder may do the jobs of the callers right behind it.

    Notes
    -----
    Call ``acquire()`` inside a ``try`` whose ``finally`` calls ``release()``: the next caller gets the lock in any case.

    Attributes
    ----------
    neighbour_seconds : float
        How long an interrupted caller waits for the holder that took its job.
    """

    def __init__(self):
        self._waiting = []
        self._busy = False
        self.neighbour_seconds = NEIGHBOUR_SECONDS

    def __len__(self):
        """Return how many callers wait."""
        return len(self._waiting)

    cpdef bint acquire(self, Waiter turn) except -1:
        """Wait for the lock, or for its holder to do the job meanwhile.

        Returns
        -------
        bool
            True: either ``turn.done`` (the job was done), or the caller holds the lock.
            False: the deadline passed, nothing was done, and the caller does not wait any more.

        Raises
        ------
        KeyboardInterrupt, or whatever a signal handler raises
            The caller does not wait any more. If the holder had taken the job already, its result was waited for, for a
            moment: ``turn.outcome``.
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
            # Outside: making an object may run the garbage collector, and that any code.
            turn._signal = held_lock()
        try:
            while not turn.wait(turn.deadline - monotonic()):
                if self._withdraw(turn):
                    return False
                # The holder just took the job, or released the lock to this caller: it wakes this one by its deadline.
                while not turn.wait(1.0):
                    pass
                break
        except BaseException:
            if not self._withdraw(turn) and not turn.mine:
                turn.wait(self.neighbour_seconds)
            raise
        return True

    cdef bint _withdraw(self, Waiter turn):
        """Let a caller wait no more; False if it does not wait any more."""
        cdef Py_ssize_t i
        with cython.critical_section(self):
            for i in range(len(self._waiting)):
                if self._waiting[i] is turn:
                    del self._waiting[i]
                    return True
        return False

    def take_followers(self, Waiter turn not None, Py_ssize_t most, double within):
        """Take the jobs of the callers right behind the holder that can be done with its own.

        They are woken when the holder releases the lock; their `outcome` is set by then, or None.

        Parameters
        ----------
        turn : Waiter
            The holder's.
        most : int
            How many at most.
        within : float
            Seconds between their deadlines and the holder's, so that none waits much longer, or shorter, than it asked.
        """
        cdef Waiter other
        turn._followers = []
        with cython.critical_section(self):
            while self._waiting and len(turn._followers) < most:
                other = <Waiter>self._waiting[0]
                if other.job is None or abs(other.deadline - turn.deadline) > within:
                    break
                other.job_taken = True
                turn._followers.append(other)
                del self._waiting[0]
        return turn._followers

    cpdef release(self, Waiter turn):
        """Wake the followers, and the caller that has waited longest, which gets the lock. No effect if `turn` does not hold it."""
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
    def held_by_this_thread(self):
        """bool: whether this very thread holds the lock, in a call that a signal handler has interrupted."""
        return self.is_held_here()

    def cancel_waiters(self):
        """Let no caller wait any more, for close(). Return them; the caller sets their outcomes and wakes them."""
        cdef list waiting
        with cython.critical_section(self):
            waiting = list(self._waiting)
            del self._waiting[:]        # not another list: is_alone() reads this one without a lock
        return waiting
