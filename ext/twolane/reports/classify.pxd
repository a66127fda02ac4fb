"""What a delivery report proves (``twolane.verdicts`` in C), and the Python objects made from it."""
from libc.stdint cimport int8_t, int32_t, int64_t

from twolane.reports.trackers cimport Report


cdef enum:
    # Numbers of twolane.Verdict.
    VERDICT_WRITTEN = 0
    VERDICT_NOT_WRITTEN = 1
    VERDICT_UNKNOWN = 2


cdef bint is_record_at_fault(int code) noexcept nogil
cdef tuple TIMESTAMP_TYPES      # by librdkafka's rd_kafka_timestamp_type_t


cdef int8_t verdict_of(int code, int status, int64_t attempts, int retries, bint one_broker, int64_t offset,
                       bint acks_none) noexcept nogil
cdef object delivery_report(Report* report)
cdef object record_metadata(str topic, int32_t partition, object offset, int64_t timestamp, int timestamp_type)
