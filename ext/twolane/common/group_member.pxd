"""GroupMember: one who waits for a record that may go together with others, as compiled code sees it."""


cdef class GroupMember:
    cdef public double deadline         # time.monotonic()
    cdef public object job              # Record, or what else is to be done
    cdef public object outcome          # None until it is known
    cdef public bint sent

    cpdef bint begin(self)
    cpdef bint end_unsent(self, object outcome)
