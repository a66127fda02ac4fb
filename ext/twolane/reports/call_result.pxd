"""CallResult: the Python owner of one call's slot and of the arrays its reports are written into."""
from libc.stdint cimport int64_t

from twolane.reports.reader cimport ReportReader
from twolane.reports.trackers cimport Report, OffsetColumns, CallTracker


cdef class CallResult:
    cdef ReportReader _delivery
    cdef CallTracker slot
    cdef OffsetColumns rows
    cdef bint _attached
    cdef object _offsets                    # int64, shape (n,): -1 until the record is acknowledged
    cdef public object ends                 # set by OrderedSender.send() and ProduceBuffer.push(), see CallResult
    cdef int64_t _one                       # the same of a lone record, which needs no array

    cdef int attach(self) except -1


cdef list take_reports(CallTracker* slot)
