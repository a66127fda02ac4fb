"""What is done in the loop for each call that a task awaits: made, taken in a group, told. See ``twolane.aio.call_line``."""
from twolane.common.group_member cimport GroupMember


cdef class LineCall(GroupMember):
    """The fields of a call in line.

    Parameters
    ----------
    what : str
        The topic, or the name of the call.
    deadline : float
        ``time.monotonic()``: until then it is to be begun.
    job : Record or callable or None
        What is to be done; None until it is known.
    loop : asyncio.AbstractEventLoop
    is_record : bool, default False
        It is one record, which goes in a group with its neighbours.
    """

    cdef public object what
    cdef public object future
    cdef readonly bint is_record

    def __init__(self, what, double deadline, job, loop, bint is_record=False):
        self.what = what
        self.deadline = deadline
        self.job = job
        self.future = loop.create_future()
        self.is_record = is_record


def take_group(list waiting not None, Py_ssize_t most, double within, double now):
    """Take the records at the head of the line whose deadlines are close to each other, or a single call.

    Returns
    -------
    list of LineCall
        Those to make.
    list of LineCall
        Those before them whose time is over.
    """
    cdef list group = [], late = []
    cdef Py_ssize_t i, taken = 0
    cdef double first = 0
    cdef LineCall call
    for i in range(len(waiting)):
        call = <LineCall?>waiting[i]
        if call.outcome is None:
            if group and not (call.is_record and abs(call.deadline - first) <= within):
                break
            if call.deadline <= now:
                late.append(call)
            else:
                if not group:
                    first = call.deadline
                group.append(call)
                if not call.is_record or len(group) >= most:
                    taken = i + 1
                    break
        taken = i + 1
    del waiting[:taken]
    return group, late


def tell(list group not None):
    """Let the tasks that await these calls go on. Returns the calls that nothing awaits any more."""
    cdef LineCall call
    cdef list alone = []
    for call in group:
        if call.future is None:
            alone.append(call)
        elif not call.future.done():
            call.future.set_result(None)
    return alone
