"""The columns of a block of rows as Avro: see columns/row_blocks for the places that they write to."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy
cimport cython

from twolane.batch cimport Span
from twolane.encoding.memory.arena cimport put_bytes, put_zigzag
from twolane.encoding.avro.plan cimport Code, Op
from twolane.encoding.columns.array_view cimport bits_at, item_at, plain_span_at
from twolane.encoding.columns.row_blocks cimport SLACK, bytes_of, offset_at, put_varint_word


cdef inline uint8_t* put_number(uint8_t* at, int64_t number) noexcept nogil:
    """Write as put_zigzag() does. GIL: not needed."""
    return put_varint_word(at, (<uint64_t>number << 1) ^ <uint64_t>(number >> 63))


cdef inline int64_t floor_div(int64_t value, const int64_t by) noexcept nogil:
    """Return divide towards minus infinity; ``by`` is positive. GIL: not needed."""
    with cython.cdivision(True):
        return value // by - (value % by < 0)


cdef inline int64_t number_of(const Code code, const uint8_t* item) noexcept nogil:
    """Return an int or a long. GIL: not needed."""
    cdef int64_t number = 0
    cdef int32_t small = 0
    if code == Code.PUT_INT32:
        memcpy(&small, item, 4)
        return small
    memcpy(&number, item, 8)
    if code == Code.PUT_PER_1000:
        return floor_div(number, 1000)
    if code == Code.PUT_PER_1000000:
        return floor_div(number, 1_000_000)
    return number


cdef inline uint8_t* put_fixed(const Code code, const uint8_t* item, uint8_t* at) noexcept nogil:
    """Write a value of fixed width, whatever it is: also below a null. GIL: not needed."""
    if code == Code.PUT_BOOL:
        at[0] = item[0] != 0
        return at + 1
    if code == Code.PUT_FLOAT64:
        memcpy(at, item, 8)
        return at + 8
    if code == Code.PUT_FLOAT32:
        memcpy(at, item, 4)
        return at + 4
    return put_number(at, number_of(code, item))


cdef inline void put_all(
    const Op* op, const Code code, const bint branched, uint64_t valid, Py_ssize_t start, Py_ssize_t n, uint8_t** places
) noexcept nogil:
    """Write a column of fixed width, or of bits; a null is written like a value, and not counted. GIL: not needed."""
    cdef const uint8_t* item = op.view.data
    cdef Py_ssize_t stride = op.view.stride
    cdef uint64_t bits = 0
    cdef uint8_t value_byte = op.value_byte, null_byte = op.null_byte
    cdef uint8_t* at
    cdef uint8_t* end
    cdef Py_ssize_t i
    if code == Code.PUT_BIT:
        bits = bits_at(op.view.data, op.view.offset + start, n)
    else:
        item = item_at(&op.view, start)
    for i in range(n):
        at = places[i]
        if branched:
            at[0] = value_byte if valid & 1 else null_byte
            at += 1
        if code == Code.PUT_BIT:
            at[0] = bits & 1
            end = at + 1
            bits >>= 1
        else:
            end = put_fixed(code, item, at)
            item += stride
        if branched:
            end = at + ((end - at) & -<Py_ssize_t>(valid & 1))
            valid >>= 1
        places[i] = end


cdef inline void put_fixed_column(
    const Op* op, const Code code, uint64_t valid, Py_ssize_t start, Py_ssize_t n, uint8_t** places
) noexcept nogil:
    """Run the loop of this code, with branch numbers or without. GIL: not needed."""
    if op.branched:
        put_all(op, code, True, valid, start, n, places)
    else:
        put_all(op, code, False, valid, start, n, places)


cdef inline void put_texts(
    const Op* op, const bint wide, uint64_t valid, Py_ssize_t start, Py_ssize_t n, uint8_t** places
) noexcept nogil:
    """Write byte strings by their offsets; short ones as SLACK bytes where the block has so many. GIL: not needed."""
    cdef const void* offsets = op.view.offsets
    cdef const uint8_t* data = op.view.data
    cdef Py_ssize_t first = op.view.offset + start
    cdef int64_t begin = offset_at(offsets, wide, first), end
    cdef int64_t safe = offset_at(offsets, wide, first + n) - SLACK
    cdef bint branched = op.branched
    cdef uint8_t value_byte = op.value_byte, null_byte = op.null_byte
    cdef uint8_t* at
    cdef Py_ssize_t i, size
    for i in range(n):
        end = offset_at(offsets, wide, first + i + 1)
        at = places[i]
        size = end - begin
        if branched:
            at[0] = value_byte if valid & 1 else null_byte
            at += 1
        if size <= SLACK and begin <= safe:
            at[0] = <uint8_t>(2 * size)
            memcpy(at + 1, data + begin, SLACK)
            places[i] = at + ((1 + size) & -<Py_ssize_t>(valid & 1))
        elif valid & 1:
            places[i] = put_bytes(put_zigzag(at, size), data + begin, size)
        else:
            places[i] = at
        begin = end
        valid >>= 1


cdef inline void put_padded(const Op* op, uint64_t valid, Py_ssize_t start, Py_ssize_t n, uint8_t** places) noexcept nogil:
    """Write numpy's byte strings of up to SLACK bytes: all of them move, padding is not counted. GIL: not needed."""
    cdef const uint8_t* item = item_at(&op.view, start)
    cdef Py_ssize_t width = op.view.width
    cdef uint64_t low_mask = ~<uint64_t>0 >> (8 * max(0, 8 - width))
    cdef uint64_t high_mask = ~<uint64_t>0 >> (8 * (16 - width)) if width > 8 else 0
    cdef bint branched = op.branched
    cdef uint8_t value_byte = op.value_byte, null_byte = op.null_byte
    cdef uint64_t pair[2]
    cdef uint8_t* at
    cdef Span span
    cdef Py_ssize_t i, size
    for i in range(n):
        at = places[i]
        if branched:
            at[0] = value_byte if valid & 1 else null_byte
            at += 1
        if not valid & 1:
            places[i] = at
        elif (n - i) * width >= SLACK:
            memcpy(pair, item, SLACK)
            pair[0] &= low_mask
            pair[1] &= high_mask
            size = 8 + bytes_of(pair[1]) if pair[1] else bytes_of(pair[0])
            at[0] = <uint8_t>(2 * size)
            memcpy(at + 1, pair, SLACK)
            places[i] = at + 1 + size
        else:
            span = plain_span_at(&op.view, start + i)
            places[i] = put_bytes(put_zigzag(at, span.size), span.data, span.size)
        item += width
        valid >>= 1
