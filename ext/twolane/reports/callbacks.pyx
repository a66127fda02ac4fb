"""Callbacks of records in flight: added by senders, run by the delivery thread, both with the GIL (else: see FlushGenerations).

A dict of tuples would do, but half a million tuples in flight are half a million objects that the garbage collector
walks again and again: a seventh of the time of a loop of sends with callbacks.
"""
cimport cython
from cpython.object cimport PyObject
from cpython.time cimport monotonic
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_XDECREF
from libc.stdint cimport int64_t
from libc.stdlib cimport free, realloc

from twolane.reports.classify cimport VERDICT_WRITTEN, delivery_report, record_metadata
from twolane.reports.reader cimport ReportReader
from twolane.reports.flush_generations cimport FlushGenerations
from twolane.reports.trackers cimport CallTracker, Report
from twolane.librdkafka cimport RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME

from twolane.results import with_opaque

cdef enum:
    FIRST_CAPACITY = 256


@cython.final
cdef class Callbacks:
    """The callbacks that have not run yet. ``len()`` counts them.

    Parameters
    ----------
    generations : FlushGenerations
        Counts them too, by generation.

    Attributes
    ----------
    queue : deque, optional
        Of a front that runs callbacks in another thread: they are not run, and
        (callback, opaque, error or None, metadata or None, ``time.monotonic()`` of the report) is appended instead.
    """

    def __cinit__(self):
        self._table = NULL
        self._capacity = 0
        self._free = -1
        self._count = 0

    def __init__(self, FlushGenerations generations not None):
        self._generations = generations

    def __dealloc__(self):
        cdef int64_t i
        for i in range(self._capacity):
            if self._table[i].function != NULL:
                Py_DECREF(<object>self._table[i].function)
                Py_DECREF(<object>self._table[i].topic)
                Py_XDECREF(self._table[i].opaque)
        free(self._table)

    def __len__(self):
        return self._count

    cdef int64_t add(self, object function, str topic, int64_t timestamp, int generation, object opaque) except -1:
        """Keep a callback; returns the index under which its record's report comes."""
        cdef int64_t i, capacity
        cdef PendingCallback* grown
        if self._free < 0:
            capacity = self._capacity * 2 if self._capacity else FIRST_CAPACITY
            grown = <PendingCallback*>realloc(self._table, <size_t>capacity * sizeof(PendingCallback))
            if grown == NULL:
                raise MemoryError()
            for i in range(self._capacity, capacity):
                grown[i].function = NULL
                grown[i].next_free = i + 1 if i + 1 < capacity else -1
            self._free = self._capacity
            self._table = grown
            self._capacity = capacity
        i = self._free
        self._free = self._table[i].next_free
        Py_INCREF(function)
        Py_INCREF(topic)
        self._table[i].function = <PyObject*>function
        self._table[i].topic = <PyObject*>topic
        self._table[i].opaque = NULL
        if opaque is not None:
            Py_INCREF(opaque)
            self._table[i].opaque = <PyObject*>opaque
        self._table[i].timestamp = timestamp
        self._table[i].generation = generation
        self._generations.pending_callbacks[generation] += 1
        self._count += 1
        return i

    cdef void drop(self, int64_t index):
        """Forget a callback."""
        cdef PyObject* function = self._table[index].function
        cdef PyObject* topic = self._table[index].topic
        cdef PyObject* opaque = self._table[index].opaque
        self._table[index].function = NULL
        self._table[index].next_free = self._free
        self._free = index
        self._generations.pending_callbacks[self._table[index].generation] -= 1
        self._count -= 1
        # Last: it may run code of the user's, which may send.
        Py_DECREF(<object>topic)
        Py_DECREF(<object>function)
        Py_XDECREF(opaque)

    def run(self, ReportReader reader not None, failed not None, raised not None):
        """Call back for every record that was reported since the last call. In the delivery thread only.

        Parameters
        ----------
        reader : ReportReader
        failed : callable
            Makes the DeliveryError of (topic, report).
        raised : callable
            Called with the exception of a callback while it is handled.
        """
        cdef CallTracker* tracker = &reader._with_callback
        cdef Report* reports = NULL
        cdef Report* report
        cdef int64_t i, n
        cdef object function, topic, timestamp, offset, opaque, outcome, queue = self.queue
        cdef object now = None if queue is None else monotonic()
        reader.lock()
        reports, n = tracker.reports, tracker.n_reports
        tracker.reports = NULL
        tracker.n_reports = tracker.reports_capacity = 0
        reader.unlock()
        try:
            for i in range(n):
                report = &reports[i]
                # By value: a callback that sends may move the table.
                with cython.critical_section(self._generations):
                    function, topic = <object>self._table[report.index].function, <object>self._table[report.index].topic
                    timestamp = self._table[report.index].timestamp
                    opaque = None
                    if self._table[report.index].opaque != NULL:
                        opaque = <object>self._table[report.index].opaque
                try:
                    if report.verdict == VERDICT_WRITTEN:
                        if report.timestamp_type == RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME:
                            timestamp = report.timestamp
                        offset = report.offset if report.offset >= 0 else None
                        outcome = record_metadata(topic, report.partition, offset, timestamp, report.timestamp_type)
                        if queue is not None:
                            queue.append((function, opaque, None, outcome, now))
                        else:
                            function(None, outcome if opaque is None else with_opaque(outcome, opaque))
                    else:
                        self._fail(function, opaque, failed(topic, delivery_report(report)._replace(index=0)), now)
                except BaseException as error:
                    raised(error)
                # Only now: flush() promises that the callbacks have run.
                with cython.critical_section(self._generations):
                    self.drop(report.index)
        finally:
            free(reports)

    cdef int _fail(self, object function, object opaque, object error, object now) except -1:
        if self.queue is not None:
            self.queue.append((function, opaque, error, None, now))
            return 0
        if opaque is not None:
            error.opaque = opaque
        function(error, None)
        return 0

    def write_off(self, lost not None, raised not None):
        """Call back for every remaining record, with the error that ``lost(topic)`` makes: no report will come."""
        cdef int64_t i = 0
        cdef object function, topic, opaque
        while i < self._capacity:
            with cython.critical_section(self._generations):
                function = topic = opaque = None
                if self._table[i].function != NULL:
                    function, topic = <object>self._table[i].function, <object>self._table[i].topic
                    if self._table[i].opaque != NULL:
                        opaque = <object>self._table[i].opaque
            if function is not None:
                try:
                    self._fail(function, opaque, lost(topic), monotonic())
                except BaseException as exception:
                    raised(exception)
                with cython.critical_section(self._generations):
                    self.drop(i)
            i += 1

    def __reduce__(self):
        raise TypeError("Callbacks cannot be pickled")
