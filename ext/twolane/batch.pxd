"""The interface between encoding/ and the client: bytes of records, as encoders write them and librdkafka copies them.

encoding/ knows formats and no Kafka; client/, produce/ and reports/ know Kafka and no formats.
"""
from libc.stdint cimport int64_t, uint8_t


cdef struct Span:
    const uint8_t* data     # NULL: a null (tombstone value, absent key), not an empty byte string
    Py_ssize_t size


cdef struct ByteColumn:
    # One byte string per record, in one of three forms:
    #   dense      data + offsets (n + 1 of them), valid NULL or one byte per record (0 = null)
    #   borrowed   spans, pointing into memory that the EncodedBatch keeps alive
    #   broadcast  either form with one entry that stands for every record (n is 1, broadcast is 1)
    Py_ssize_t n
    bint broadcast
    const uint8_t* data
    const int64_t* offsets
    const uint8_t* valid
    const Span* spans


cdef inline Span span_at(const ByteColumn* column, Py_ssize_t i) noexcept nogil:
    """Return the bytes of record ``i``. GIL: not needed; borrows."""
    cdef Span span
    if column.broadcast:
        i = 0
    if column.spans != NULL:
        return column.spans[i]
    if column.valid != NULL and column.valid[i] == 0:
        span.data = NULL
        span.size = 0
        return span
    span.data = column.data + column.offsets[i]
    span.size = <Py_ssize_t>(column.offsets[i + 1] - column.offsets[i])
    return span


cdef class EncodedBatch:
    cdef ByteColumn column          # valid as long as this object lives and its arena is not reused
    cdef object _owner              # keeps alive the memory that column points at
    cdef Span* _spans               # the borrowed form's own table (freed here), else NULL
    cdef tuple _without             # rows and refused of a batch that leaves some out, else None

    @staticmethod
    cdef EncodedBatch from_pointers(object owner, Py_ssize_t n, const uint8_t* data,
                                    const int64_t* offsets, const uint8_t* valid)

    @staticmethod
    cdef EncodedBatch from_spans(object owner, Py_ssize_t n, const Span* spans)
    cpdef EncodedBatch slice(self, Py_ssize_t start, Py_ssize_t stop)
