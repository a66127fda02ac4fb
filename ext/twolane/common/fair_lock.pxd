"""Waiter and FairLock, for the compiled caller: the safe lane's ``send()``."""


cdef class Waiter:
    cdef readonly double deadline
    cdef readonly object job
    cdef public bint mine, done, sent
    cdef readonly bint taken            # a neighbour has the job in hand
    cdef public object outcome
    cdef list _followers                # of Waiter: whom the holder took along
    cdef object _signal                 # a lock, held until the caller is woken; made where it has to wait
    cdef unsigned long _thread

    cpdef wake(self)
    cpdef bint wait(self, double timeout) except -1


cdef class FairLock:
    cdef list _waiting                  # of Waiter, the longest waiting first
    cdef bint _busy
    cdef unsigned long _holder          # the thread whose turn it is, 0 where it is nobody's

    cpdef bint take(self, Waiter turn) except -1
    cdef inline bint is_alone(self):
        """Whether nobody waits behind the holder."""
        return len(self._waiting) == 0

    cdef bint _withdraw(self, Waiter turn)
    cpdef leave(self, Waiter turn)
