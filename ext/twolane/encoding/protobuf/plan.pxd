"""The plan of a Protobuf column encoder: an operation for each field that has a column, read row by row without the GIL."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

from twolane.encoding.column_encoder cimport ColumnEncoder
from twolane.encoding.columns.array_view cimport ArrayView
from twolane.encoding.columns.table cimport Column


cdef enum Code:
    # Up to PUT_SYMBOL they are numbers: bits_of() reads them, put_bits() writes them.
    PUT_INTEGER             # any integer
    PUT_INT64               # native int64 (unaligned allowed)
    PUT_ZIGZAG              # sint32, sint64 from any integer
    PUT_BOOL
    PUT_DOUBLE
    PUT_FLOAT
    PUT_SYMBOL              # enum: a table of numbers, one per row
    PUT_SPAN                # string, bytes
    PUT_UCS4                # string from numpy's four-byte characters
    PUT_RAW                 # fields as they are written, encoded from Python objects while binding
    PUT_TIMESTAMP           # google.protobuf.Timestamp from ticks
    PUT_DURATION
    PUT_MESSAGE
    PUT_GROUP
    PUT_LIST                # each item with its tag
    PUT_PACKED
    PUT_MAP


cdef enum Wire:
    VARINT = 0
    I64 = 1
    LEN = 2
    START_GROUP = 3
    END_GROUP = 4
    I32 = 5


cdef struct Op:
    Code code
    Wire wire
    bint always             # written with its default value too: it has presence, or is an item
    int tag_size
    uint64_t tag            # its bytes, the first lowest
    uint64_t end_tag        # of a group
    Py_ssize_t bound        # bytes per item that are always enough, but for what the item's own bytes and items take
    int64_t ticks           # of a second, or negated: seconds of a tick
    const int32_t* table    # of PUT_SYMBOL
    const int64_t* order    # of PUT_MAP: the entries as they are written; NULL: as they lie
    ArrayView view
    Op* items               # fields of a message, item of a list, key and value of a map
    Py_ssize_t n_items


cdef class OpBlock:
    cdef Op* ops            # owned
    cdef Py_ssize_t n
    cdef Py_ssize_t stop    # the row before which they are good


cdef OpBlock new_ops(Py_ssize_t n)
cdef OpBlock plan_column(object field, Column column, object encode, ColumnEncoder encoder)
cdef bint is_present(const Op* op, Py_ssize_t i) noexcept nogil
