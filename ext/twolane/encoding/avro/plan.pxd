"""The plan of an Avro column encoder: a flat table of operations, one per field, read row by row without the GIL."""
from libc.stdint cimport int32_t, int64_t, uint8_t

from twolane.encoding.column_encoder cimport ColumnEncoder
from twolane.encoding.avro.writers cimport Writer
from twolane.encoding.columns.table cimport Column
from twolane.encoding.columns.array_view cimport ArrayView


cdef enum Code:
    PUT_NOTHING = 0         # null
    # Up to PUT_TEXT64 they have a loop of their own for many rows.
    PUT_BIT                 # boolean from a bitmap
    PUT_BOOL                # boolean from a byte
    PUT_INT64               # int, long from native int64 (unaligned allowed)
    PUT_INT32
    PUT_PER_1000            # ticks // 1000, rounded down; constants of their own, so that the compiler multiplies
    PUT_PER_1000000
    PUT_FLOAT64             # double from native doubles
    PUT_FLOAT32             # float from native floats
    PUT_TEXT32              # bytes, string with int32 offsets
    PUT_TEXT64
    PUT_INTEGER             # int, long from any integer
    PUT_TIMES               # ticks * factor
    PUT_PER                 # ticks // factor
    PUT_DOUBLE              # double from any number
    PUT_FLOAT               # float from any number
    PUT_SPAN                # bytes, string of another layout
    PUT_UCS4                # string from numpy's four-byte characters
    PUT_FIXED               # fixed: the bytes alone
    PUT_RAW                 # Avro already, encoded from Python objects while binding
    PUT_SYMBOL              # enum: table of symbols, one per row
    PUT_DECIMAL             # bytes from a little-endian integer
    PUT_DECIMAL_FIXED       # fixed, filled up with the sign
    PUT_UUID                # 36 characters from 16 bytes
    PUT_UUID_BYTES          # 16 bytes from 36 characters
    PUT_DURATION            # months, days and milliseconds from intervals or ticks
    PUT_RECORD
    PUT_ARRAY
    PUT_SUBARRAY
    PUT_MAP
    PUT_UNION               # of Arrow: the value of one of the items


cdef enum Recheck:            # what has to be seen in the values before an operation can do for another column of this layout
    EVERYTHING = 0
    NOTHING
    UTF8


cdef struct Op:
    Code code
    Recheck recheck
    bint branched           # a union: the branch's number is written before the value
    bint takes_nulls        # and null is one of its branches
    uint8_t null_byte       # the branches' numbers, zigzag; so at most 64 branches
    uint8_t value_byte
    Py_ssize_t bound        # bytes per item that are always enough, but for what the item's own bytes and items take
    Py_ssize_t size         # of a fixed
    int64_t factor
    const int32_t* table    # of PUT_SYMBOL
    ArrayView view
    Op* items               # fields of a record, item of an array, key and value of a map, members of a union
    Py_ssize_t n_items


cdef class OpBlock:
    cdef Op* ops                    # owned
    cdef Py_ssize_t n
    cdef Py_ssize_t start, stop     # a segment's rows: they lie in one part of every column


cdef OpBlock new_ops(Py_ssize_t n)
cdef OpBlock plan_column(object type, Writer writer, Column column, str field, ColumnEncoder encoder)
cdef bint reuse_plan(Op* op, const Op* cached, const ArrayView* view) noexcept
cdef int plan_constant(Op* op, bytes encoded, list keep) except -1
cdef bint plan_native(Op* op, object type, const ArrayView* view, list keep, bint nulls_ok=*) except -1
