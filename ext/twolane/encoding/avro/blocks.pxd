"""A block of rows as Avro, column by column: each row has a place of its own, and every column moves all of them on.

Row by row each value would wait for the length of the one before it, and which code writes it would be found out for each
anew; here neighbouring values have nothing to do with each other. What is written may reach up to SLACK bytes beyond what
counts: into the row's own place, where its next column follows.
"""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy
cimport cython

from twolane.batch cimport Span
from twolane.encoding.memory.arena cimport put_bytes, put_zigzag
from twolane.encoding.avro.plan cimport Code, Op
from twolane.encoding.columns.array_view cimport Layout, ArrayView, bits_at, is_valid, item_at, plain_span_at, span_of

cdef enum:
    BLOCK = 64              # rows at most, so that a word holds their validity
    SLACK = 16

cdef extern from *:
    """
    #include <stdint.h>
    #if defined(_MSC_VER) && !defined(__clang__)
    #include <intrin.h>
    static __forceinline uint64_t twolane_top_bit(uint64_t value) {
        unsigned long top;
        _BitScanReverse64(&top, value);
        return top;
    }
    #else
    #define twolane_top_bit(value) ((uint64_t)(__builtin_clzll(value) ^ 63))
    #endif
    static const uint64_t twolane_continued[10] = {     /* by the number of bytes after the first */
        0, 0x80, 0x8080, 0x808080, 0x80808080, 0x8080808080, 0x808080808080, 0x80808080808080,
        0x8080808080808080, 0x8080808080808080,
    };
    #define TWOLANE_TOO_LONG ((size_t)1 << 48)          /* more than any memory has */
    """
    const size_t TOO_LONG "TWOLANE_TOO_LONG"
    uint64_t twolane_top_bit(uint64_t value) noexcept nogil     # its number; of 0 there is none
    const uint64_t* twolane_continued


cdef inline uint8_t* put_number(uint8_t* at, int64_t number) noexcept nogil:
    """As put_zigzag(), at the same cost for numbers of up to 8 bytes; to 10 bytes is written. GIL: not needed."""
    cdef uint64_t value = (<uint64_t>number << 1) ^ <uint64_t>(number >> 63)
    cdef uint64_t more = (twolane_top_bit(value | 1) * 9 + 9) >> 6      # bytes after the first: a seventh of the bits
    if value >> 56:
        at[8] = <uint8_t>(value >> 56)      # its top bit says that a tenth follows
        at[9] = 1
        value &= <uint64_t>0x00FFFFFFFFFFFFFF
    # Seven bits to a byte, by halves: the upper 28 move by 4, then the upper 14 of each by 2, then 7 by 1.
    value += (value & <uint64_t>0x00FFFFFFF0000000) * 15
    value += (value & <uint64_t>0x0FFFC0000FFFC000) * 3
    value += value & <uint64_t>0x3F803F803F803F80
    value |= twolane_continued[more]
    memcpy(at, &value, 8)
    return at + more + 1


cdef inline int64_t floor_div(int64_t value, const int64_t by) noexcept nogil:
    """Towards minus infinity; ``by`` is positive. GIL: not needed."""
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
    """A value of fixed width, whatever it is: also below a null. GIL: not needed."""
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
    """A column of fixed width, or of bits; a null is written as any value, and then not counted. GIL: not needed."""
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
    """The loop of this code, with branch numbers or without. GIL: not needed."""
    if op.branched:
        put_all(op, code, True, valid, start, n, places)
    else:
        put_all(op, code, False, valid, start, n, places)


cdef inline int64_t offset_at(const void* offsets, const bint wide, Py_ssize_t i) noexcept nogil:
    return (<const int64_t*>offsets)[i] if wide else (<const int32_t*>offsets)[i]


cdef inline void put_texts(
    const Op* op, const bint wide, uint64_t valid, Py_ssize_t start, Py_ssize_t n, uint8_t** places
) noexcept nogil:
    """Byte strings by their offsets; short ones are copied as SLACK bytes as long as the block has so many. GIL: not needed."""
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


cdef inline Py_ssize_t bytes_of(uint64_t word) noexcept nogil:
    """Bytes up to the last one that is not zero. GIL: not needed."""
    return ((twolane_top_bit(word | 1) >> 3) + 1) & -<Py_ssize_t>(word != 0)


cdef inline void put_padded(const Op* op, uint64_t valid, Py_ssize_t start, Py_ssize_t n, uint8_t** places) noexcept nogil:
    """Numpy's byte strings of up to SLACK bytes side by side: all of them moved, and what is padding not counted. GIL: not needed."""
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


cdef inline size_t widest_step(const ArrayView* view, const bint wide, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Return the most that an offset of these items lies above the one before; TOO_LONG also where they fall. GIL: not needed."""
    cdef Py_ssize_t i
    cdef uint64_t most = 0, size
    for i in range(view.offset + start, view.offset + stop):
        size = <uint64_t>(offset_at(view.offsets, wide, i + 1) - offset_at(view.offsets, wide, i))
        if size > most:
            most = size
    return min(most, <uint64_t>TOO_LONG)


cdef inline size_t longest_span(const ArrayView* view, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Return the most bytes that one of these byte strings has, or more. GIL: not needed."""
    cdef size_t most = 0
    cdef Py_ssize_t i
    if view.layout == Layout.BINARY32:
        return widest_step(view, False, start, stop)
    if view.layout == Layout.BINARY64:
        return widest_step(view, True, start, stop)
    if view.layout == Layout.FIXED or view.layout == Layout.PADDED:
        return view.width
    for i in range(start, stop):
        if is_valid(view, i):
            most = max(most, <size_t>span_of(view, i).size)
    return most


cdef inline void move_down(uint8_t* to, const uint8_t* at, Py_ssize_t size) noexcept nogil:
    """Move one record to the end of those before it: SLACK bytes at a time, the last beyond its end. GIL: not needed."""
    cdef Py_ssize_t i = 0
    cdef uint64_t part[8]
    while i + 64 <= size:
        memcpy(part, at + i, 64)
        memcpy(to + i, part, 64)
        i += 64
    while i < size:
        memcpy(part, at + i, SLACK)
        memcpy(to + i, part, SLACK)
        i += SLACK
