"""CallTracker: what was reported of one call's records, and the opaque by which a report finds its tracker."""
from libc.stdint cimport int8_t, int32_t, int64_t, uint64_t
from libc.stdlib cimport free, malloc, realloc

cdef enum:
    # A record's opaque is (tracker id << INDEX_BITS) | index, so a report finds its tracker without a look-up.
    INDEX_BITS = 40
    # The records of send() have no tracker of their own each: they are counted by flush generation.
    GENERATIONS = 32
    ID_WITHOUT_CALLBACK = 0             # of the first generation, and so on
    ID_WITH_CALLBACK = GENERATIONS
    FIRST_CALL_ID = 2 * GENERATIONS


cdef struct Report:
    # One record's report, kept where it is asked for: failures, and every record with a callback.
    int64_t index
    int64_t offset
    const void* topic           # rd_kafka_topic_t of the record: only compared, never followed
    int64_t timestamp
    int32_t partition
    int32_t error
    int timestamp_type
    int8_t verdict              # a Verdict
    int8_t status               # rd_kafka_msg_status_t
    int8_t is_answered          # the error is a broker's answer to a request that carried the record


cdef struct OffsetColumns:
    # Where the offsets of one call's records are written. The trackers of a call's partitions share one.
    int64_t n
    int64_t* offsets            # n of them, borrowed from the caller, -1 where not written
    int64_t* append_times       # n of them once a broker reported LogAppendTime, else NULL; owned here
    int timestamp_type


cdef struct CallTracker:
    int64_t id
    OffsetColumns* columns      # NULL: counted only
    int64_t expected            # records given to librdkafka under this id
    int64_t done                # of which reported
    int64_t written
    int64_t requests_before     # Wire.produce_requests when the first of them was enqueued
    int64_t changes_before
    Report* reports
    int64_t n_reports
    int64_t reports_capacity
    int64_t reports_dropped     # beyond the limit of records without a callback: counted, not kept
    bint keeps_all              # keep a Report of successes too
    bint closed                 # for appends: nothing more will be enqueued
    bint is_finished            # its id is on the list of finished calls, or was


cdef inline uint64_t opaque_of(int64_t tracker_id, int64_t index) noexcept nogil:
    return (<uint64_t>tracker_id << INDEX_BITS) | <uint64_t>index


cdef inline int64_t tracker_id_of(uint64_t opaque) noexcept nogil:
    return <int64_t>(opaque >> INDEX_BITS)


cdef inline int64_t index_of(uint64_t opaque) noexcept nogil:
    return <int64_t>(opaque & ((<uint64_t>1 << INDEX_BITS) - 1))


cdef inline void append_report(CallTracker* tracker, Report* report) noexcept nogil:
    """Keep a report; without memory it is counted as dropped. Under the lock of the ReportReader."""
    cdef int64_t capacity
    cdef Report* grown
    if tracker.n_reports == tracker.reports_capacity:
        capacity = tracker.reports_capacity * 2 if tracker.reports_capacity else 64
        grown = <Report*>realloc(tracker.reports, <size_t>capacity * sizeof(Report))
        if grown == NULL:
            tracker.reports_dropped += 1
            return
        tracker.reports = grown
        tracker.reports_capacity = capacity
    tracker.reports[tracker.n_reports] = report[0]
    tracker.n_reports += 1


cdef inline void clear_reports(CallTracker* tracker) noexcept nogil:
    free(tracker.reports)
    tracker.reports = NULL
    tracker.n_reports = 0
    tracker.reports_capacity = 0


cdef inline void set_append_time(OffsetColumns* columns, int64_t index, int64_t timestamp) noexcept nogil:
    """Write a record's LogAppendTime; without memory for the column it is left out."""
    cdef int64_t i
    if columns.append_times == NULL:
        columns.append_times = <int64_t*>malloc(<size_t>columns.n * sizeof(int64_t))
        if columns.append_times == NULL:
            return
        for i in range(columns.n):
            columns.append_times[i] = -1
    columns.append_times[index] = timestamp
