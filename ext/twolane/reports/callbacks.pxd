"""The on_delivery callbacks of records in flight, in a table of C structs: nothing for the garbage collector to walk."""
from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from twolane.reports.flush_generations cimport FlushGenerations


cdef struct PendingCallback:
    PyObject* function          # owned while the record is in flight
    PyObject* topic             # its name, owned too
    PyObject* opaque            # the caller's, owned too; NULL: none
    int64_t timestamp           # as sent: what the log keeps where the topic has CreateTime
    int64_t next_free           # in the list of free entries
    int generation              # index in FlushGenerations


cdef class Callbacks:
    cdef PendingCallback* _table
    cdef int64_t _capacity
    cdef int64_t _free          # first free entry, -1: none
    cdef int64_t _count
    cdef FlushGenerations _generations
    cdef public object queue    # where reports go instead of the callbacks, see Callbacks; None: these run

    cdef int64_t add(self, object function, str topic, int64_t timestamp, int generation, object opaque) except -1
    cdef void drop(self, int64_t index)
    cdef int _fail(self, object function, object opaque, object error, object now) except -1
