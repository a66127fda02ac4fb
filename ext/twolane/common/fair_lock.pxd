"""Waiter and FairLock, for the compiled caller: the safe lane's ``send()``."""
from cpython.pythread cimport PyThread_get_thread_ident

from twolane.common.group_member cimport GroupMember


cdef class Waiter(GroupMember):
    cdef public bint mine, done
    cdef readonly bint job_taken        # the holder took the job
    cdef list _followers                # of Waiter: whose jobs the holder took
    cdef object _signal                 # a lock, held until the caller is woken; made where it has to wait
    cdef unsigned long _thread

    cpdef wake(self)
    cpdef bint wait(self, double timeout) except -1


cdef class FairLock:
    cdef list _waiting                  # of Waiter, the longest waiting first
    cdef bint _busy
    cdef unsigned long _holder          # the thread that holds the lock, 0: none
    cdef public double neighbour_seconds

    cpdef bint acquire(self, Waiter turn) except -1
    cdef inline bint is_alone(self):
        """Return whether no caller waits behind the holder."""
        return len(self._waiting) == 0

    cdef inline bint is_held_here(self):
        """Return whether this very thread holds the lock, in a call that a signal handler has interrupted."""
        return self._holder == PyThread_get_thread_ident()

    cdef bint _withdraw(self, Waiter turn)
    cpdef release(self, Waiter turn)
