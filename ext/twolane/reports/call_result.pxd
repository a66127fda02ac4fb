"""CallResult: the Python owner of one call's tracker and of the columns its reports are written into."""
from libc.stdint cimport int64_t

from twolane.reports.reader cimport ReportReader
from twolane.reports.trackers cimport CallTracker, OffsetColumns


cdef class CallResult:
    cdef ReportReader _reader
    cdef CallTracker tracker
    cdef OffsetColumns columns
    cdef bint _is_attached
    cdef object _offsets                    # int64, shape (n,): -1 until the record is acknowledged
    cdef int64_t _only_offset               # the same of a single record, which needs no array
    cdef public object unacknowledged       # set by OrderedSender.send() and ProduceBuffer, see CallResult


cdef list take_reports(CallTracker* tracker)
