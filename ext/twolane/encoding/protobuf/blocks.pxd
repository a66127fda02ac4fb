"""The columns of a block of rows as Protobuf: see columns/row_blocks for the places that they write to.

What is not written, a null or a default, is written as any value, and then not counted.
"""
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

from twolane.encoding.columns.array_view cimport Layout, ArrayView, bool_at, float_at, int_at, item_at
from twolane.encoding.columns.row_blocks cimport SLACK, offset_at, put_varint_word
from twolane.encoding.memory.arena cimport put_bytes, put_varint
from twolane.encoding.protobuf.plan cimport Code, Op, Wire


cdef inline uint8_t* put_tag(const Op* op, uint8_t* at) noexcept nogil:
    """Write the tag, and of what follows it up to eight bytes. GIL: not needed."""
    memcpy(at, &op.tag, 8)
    return at + op.tag_size


cdef inline uint64_t bits_of(const Op* op, const Code code, Py_ssize_t i) noexcept nogil:
    """Return the number that is written for item ``i``: zero for what is the default. GIL: not needed."""
    cdef const ArrayView* view = &op.view
    cdef uint64_t bits = 0
    cdef int64_t number
    cdef double wide
    cdef float single
    if code == Code.PUT_INT64:
        memcpy(&bits, item_at(view, i), 8)
        return bits
    if code == Code.PUT_INTEGER:
        return <uint64_t>int_at(view, i)
    if code == Code.PUT_DOUBLE:
        wide = float_at(view, i)
        memcpy(&bits, &wide, 8)
        return bits
    if code == Code.PUT_FLOAT:
        single = <float>float_at(view, i)
        memcpy(&bits, &single, 4)
        return bits
    if code == Code.PUT_BOOL:
        return bool_at(view, i)
    if code == Code.PUT_ZIGZAG:
        number = int_at(view, i)
        return (<uint64_t>number << 1) ^ <uint64_t>(number >> 63)
    return <uint64_t><int64_t>op.table[view.offset + i]


cdef inline uint8_t* put_bits(const Wire wire, uint64_t bits, uint8_t* at) noexcept nogil:
    """Write a number as the field's type has it. GIL: not needed."""
    if wire == Wire.VARINT:
        return put_varint_word(at, bits)
    memcpy(at, &bits, 8)
    return at + 8 if wire == Wire.I64 else at + 4


cdef inline void put_numbers(
    const Op* op, const Code code, const Wire wire, uint64_t valid, Py_ssize_t start, Py_ssize_t n, uint8_t** places
) noexcept nogil:
    """Write numbers of one kind. GIL: not needed."""
    cdef uint64_t always = op.always, bits
    cdef uint8_t* at
    cdef uint8_t* end
    cdef Py_ssize_t i
    for i in range(n):
        at = places[i]
        bits = bits_of(op, code, start + i)
        end = put_bits(wire, bits, put_tag(op, at))
        places[i] = at + ((end - at) & -<Py_ssize_t>(valid & (always | (bits != 0))))
        valid >>= 1


cdef inline void put_texts(
    const Op* op, const bint wide, uint64_t valid, Py_ssize_t start, Py_ssize_t n, uint8_t** places
) noexcept nogil:
    """Write byte strings by their offsets; short ones as SLACK bytes where the block has so many. GIL: not needed."""
    cdef const void* offsets = op.view.offsets
    cdef const uint8_t* data = op.view.data
    cdef Py_ssize_t first = op.view.offset + start
    cdef int64_t begin = offset_at(offsets, wide, first), end
    cdef int64_t safe = offset_at(offsets, wide, first + n) - SLACK
    cdef uint64_t always = op.always
    cdef uint8_t* at
    cdef Py_ssize_t i, size
    for i in range(n):
        end = offset_at(offsets, wide, first + i + 1)
        size = end - begin
        valid = valid & ~<uint64_t>1 | valid & (always | (size != 0))
        if size <= SLACK and begin <= safe:
            at = put_tag(op, places[i])
            at[0] = <uint8_t>size
            memcpy(at + 1, data + begin, SLACK)
            places[i] += (op.tag_size + 1 + size) & -<Py_ssize_t>(valid & 1)
        elif valid & 1:
            places[i] = put_bytes(put_varint(put_tag(op, places[i]), size), data + begin, size)
        begin = end
        valid >>= 1


cdef inline bint put_column(const Op* op, uint64_t valid, Py_ssize_t start, Py_ssize_t n, uint8_t** places) noexcept nogil:
    """Write ``n`` items from ``start`` on, each at its place, and move the places behind them; False: not here. GIL: not needed."""
    if op.code == Code.PUT_INT64 and op.wire == Wire.VARINT:
        put_numbers(op, Code.PUT_INT64, Wire.VARINT, valid, start, n, places)
    elif op.code == Code.PUT_INTEGER and op.wire == Wire.VARINT:
        put_numbers(op, Code.PUT_INTEGER, Wire.VARINT, valid, start, n, places)
    elif op.code == Code.PUT_DOUBLE:
        put_numbers(op, Code.PUT_DOUBLE, Wire.I64, valid, start, n, places)
    elif op.code == Code.PUT_BOOL:
        put_numbers(op, Code.PUT_BOOL, Wire.VARINT, valid, start, n, places)
    elif op.code <= Code.PUT_SYMBOL:
        put_numbers(op, op.code, op.wire, valid, start, n, places)
    elif op.code == Code.PUT_SPAN and op.view.layout == Layout.BINARY32:
        put_texts(op, False, valid, start, n, places)
    elif op.code == Code.PUT_SPAN and op.view.layout == Layout.BINARY64:
        put_texts(op, True, valid, start, n, places)
    else:
        return False
    return True
