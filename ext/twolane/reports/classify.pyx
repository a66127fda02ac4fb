"""What a delivery report proves: the table of ``twolane.verdicts``, loaded at import, where no Python object is needed."""
from libc.stdint cimport int8_t, int32_t, int64_t
from libc.string cimport memset

from twolane.librdkafka cimport RD_KAFKA_MSG_STATUS_NOT_PERSISTED
from twolane.reports.trackers cimport Report

from twolane import verdicts as _verdicts
from twolane.errors import Verdict
from twolane.results import DeliveryReport, RecordMetadata, TimestampType

cdef enum:
    CODE_BASE = 256                 # librdkafka's own codes go down to -256

# Both are NamedTuples: made by tuple.__new__, as their own _make() does, without a call of Python code.
cdef object new_tuple = tuple.__new__
cdef tuple VERDICTS = tuple(Verdict(number) for number in range(3))
cdef tuple TIMESTAMP_TYPES = tuple(TimestampType(number) for number in range(3))

cdef int8_t _refused[1024]
cdef int8_t _given_up[1024]
cdef int8_t _counted_retry[1024]
cdef int8_t _at_fault[1024]
memset(_refused, 0, sizeof(_refused))
memset(_given_up, 0, sizeof(_given_up))
memset(_counted_retry, 0, sizeof(_counted_retry))
memset(_at_fault, 0, sizeof(_at_fault))
for _code in _verdicts.RETRIED_BY_COUNT:
    _counted_retry[CODE_BASE + <int>_code] = 1
for _code in _verdicts.RECORD_AT_FAULT:
    _at_fault[CODE_BASE + <int>_code] = 1
for _code in _verdicts.REFUSED_BEFORE_APPEND:
    _refused[CODE_BASE + <int>_code] = 1
for _code in _verdicts.GIVEN_UP_LOCALLY:
    _given_up[CODE_BASE + <int>_code] = 1


cdef int8_t verdict_of(int code, int status, int64_t attempts, int retries, bint one_broker, int64_t offset,
                       bint acks_none) noexcept nogil:
    """Do as ``twolane.verdicts.verdict``, in C; a test holds the two together."""
    if code == 0:
        return VERDICT_WRITTEN if offset >= 0 or acks_none else VERDICT_UNKNOWN
    if status != RD_KAFKA_MSG_STATUS_NOT_PERSISTED or not -CODE_BASE <= code < 1024 - CODE_BASE:
        return VERDICT_UNKNOWN
    if _given_up[CODE_BASE + code]:
        return VERDICT_NOT_WRITTEN if attempts == 0 else VERDICT_UNKNOWN
    if _counted_retry[CODE_BASE + code] and attempts <= 1 + <int64_t>retries and one_broker:
        return VERDICT_NOT_WRITTEN
    if _refused[CODE_BASE + code] and attempts <= 1:
        return VERDICT_NOT_WRITTEN
    return VERDICT_UNKNOWN


cdef bint is_record_at_fault(int code) noexcept nogil:
    """Return whether a broker refused a record for what it is: ``twolane.verdicts.RECORD_AT_FAULT``."""
    return -CODE_BASE <= code < 1024 - CODE_BASE and _at_fault[CODE_BASE + code]


cdef object delivery_report(Report* report):
    """Return the DeliveryReport of a report."""
    return new_tuple(DeliveryReport, (report.index, report.error, VERDICTS[report.verdict], report.partition,
                                      report.offset, report.timestamp, TIMESTAMP_TYPES[report.timestamp_type]))


cdef object record_metadata(str topic, int32_t partition, object offset, int64_t timestamp, int timestamp_type):
    """Return the RecordMetadata of an acknowledged record."""
    return new_tuple(RecordMetadata, (topic, partition, offset, timestamp, TIMESTAMP_TYPES[timestamp_type]))


def verdict_number(int code, bint possibly_persisted, int64_t attempts, int retries, bint one_broker, int64_t offset,
                   bint acks_none):
    """Return the compiled side's Verdict, for the test that compares them."""
    return VERDICTS[verdict_of(code, 1 if possibly_persisted else 0, attempts, retries, one_broker, offset, acks_none)]
