"""What is done in the loop for each call that a task awaits: made, taken in a group, told. See ``twolane.aio.call_line``."""
cimport cython

from twolane.common.group_member cimport GroupMember

from asyncio import CancelledError


@cython.final
cdef class Wakeup:
    """What one task waits on: as much of an ``asyncio.Future`` as asyncio's tasks ask of what they await.

    A Future puts the step of the task that awaits it into the loop's queue. `tell` is in the loop already and takes the
    steps of a group itself, one after the other, which spares each a Future, a Handle and the way through the queue.
    """

    cdef public bint _asyncio_future_blocking
    cdef object _loop, _callback, _context, _message
    cdef bint _is_done, _is_cancelled

    def get_loop(self):
        """Return the loop."""
        return self._loop

    def done(self):
        """Return whether it is over, also by a cancellation."""
        return self._is_done

    def add_done_callback(self, callback, *, context=None):
        """Keep the task's next step."""
        if self._callback is not None:
            raise RuntimeError("only one task can wait for a call")
        self._callback, self._context = callback, context
        if self._is_done:
            self._step_soon()

    def cancel(self, msg=None):
        """Let the task step with a CancelledError; False if it is over."""
        if self._is_done:
            return False
        self._is_cancelled, self._message = True, msg
        self._end_soon()
        return True

    def result(self):
        """Return None, or raise the CancelledError."""
        if self._is_cancelled:
            raise CancelledError() if self._message is None else CancelledError(self._message)

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        if self._is_done:
            self.result()
            raise StopIteration
        self._asyncio_future_blocking = True
        return self

    cdef int _end_soon(self) except -1:
        """Be over, and put the task's step into the loop's queue."""
        if not self._is_done:
            self._is_done = True
            if self._callback is not None:
                self._step_soon()
        return 0

    cdef int _step_soon(self) except -1:
        callback, context = self._callback, self._context
        self._callback = self._context = None
        self._loop.call_soon(callback, self, context=context)
        return 0

    cdef int _end_now(self) except -1:
        """Be over, and let the task step here."""
        if not self._is_done:
            self._is_done = True
            if self._callback is not None:
                callback, context = self._callback, self._context
                self._callback = self._context = None
                context.run(callback, self)
        return 0


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
    cdef public Wakeup future           # None: nothing awaits it any more
    cdef readonly bint is_record

    def __init__(self, what, double deadline, job, loop, bint is_record=False):
        self.what = what
        self.deadline = deadline
        self.job = job
        self.future = Wakeup.__new__(Wakeup)
        self.future._loop = loop
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
    """Let the tasks that await these calls go on, here and now: from a callback of the loop's, in no task.

    Returns
    -------
    list of LineCall
        Those that nothing awaits any more.
    """
    cdef LineCall call
    cdef list alone = []
    cdef Py_ssize_t told = 0
    try:
        for call in group:
            told += 1
            if call.future is None:
                alone.append(call)
            else:
                call.future._end_now()
    finally:
        # KeyboardInterrupt and SystemExit pass through a task's step; the others go on all the same.
        for call in group[told:]:
            tell_soon(call)
    return alone


cpdef bint tell_soon(LineCall call) except -1:
    """Let the task that awaits this call go on in the loop's next round; False if there is none."""
    if call.future is None:
        return False
    call.future._end_soon()
    return True
