"""The arguments of ``rd_kafka_produceva``: which entry stands where, set once; then what changes with each record."""
from libc.stdint cimport int32_t, int64_t, uint64_t

from twolane.batch cimport Span
from twolane.client.library cimport rd
from twolane.librdkafka cimport *

cdef enum:
    FIXED = 7               # entries before the headers


cdef inline void begin_template(rd_kafka_vu_t* vu, rd_kafka_topic_t* rkt) noexcept nogil:
    vu[0].vtype = RD_KAFKA_VTYPE_RKT
    vu[0].u.ptr = rkt
    vu[1].vtype = RD_KAFKA_VTYPE_PARTITION
    vu[2].vtype = RD_KAFKA_VTYPE_VALUE
    vu[3].vtype = RD_KAFKA_VTYPE_TIMESTAMP
    vu[4].vtype = RD_KAFKA_VTYPE_MSGFLAGS
    vu[4].u.i = RD_KAFKA_MSG_F_COPY
    vu[5].vtype = RD_KAFKA_VTYPE_OPAQUE
    vu[6].vtype = RD_KAFKA_VTYPE_KEY


cdef inline void set_record(rd_kafka_vu_t* vu, int32_t partition, Span value, Span key, int64_t timestamp,
                            uint64_t opaque) noexcept nogil:
    vu[1].u.i32 = partition
    vu[2].u.mem.ptr = <void*>value.data
    vu[2].u.mem.size = <size_t>value.size
    vu[3].u.i64 = timestamp
    vu[5].u.ptr = <void*>opaque
    vu[6].u.mem.ptr = <void*>key.data
    vu[6].u.mem.size = <size_t>key.size


cdef inline int produce(rd_kafka_t* rk, rd_kafka_vu_t* vu, int n) noexcept nogil:
    """Hand over a record, which librdkafka copies. Returns its reason for refusing it, or 0."""
    cdef rd_kafka_error_t* error = rd.produceva(rk, vu, <size_t>n)
    cdef int code = 0
    if error != NULL:
        code = rd.error_code(error)
        rd.error_destroy(error)
    return code
