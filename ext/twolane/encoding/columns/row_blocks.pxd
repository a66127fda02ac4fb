"""A block of rows, column by column: each row has a place of its own, and every column moves all of them on.

Row by row each value would wait for the length of the one before it, and which code writes it would be found out for each
anew; here neighbouring values have nothing to do with each other. What is written may reach up to SLACK bytes beyond what
counts: into the row's own place, where its next column follows. The gaps between the rows are closed while all of that is
still in the processor's cache.
"""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

from twolane.encoding.columns.array_view cimport Layout, ArrayView, is_valid, span_of

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


cdef inline uint8_t* put_varint_word(uint8_t* at, uint64_t value) noexcept nogil:
    """Do as put_varint(), at the same cost for numbers of up to 8 bytes; to 10 bytes is written. GIL: not needed."""
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


cdef inline int64_t offset_at(const void* offsets, const bint wide, Py_ssize_t i) noexcept nogil:
    return (<const int64_t*>offsets)[i] if wide else (<const int32_t*>offsets)[i]


cdef inline Py_ssize_t bytes_of(uint64_t word) noexcept nogil:
    """Return how many bytes there are up to the last one that is not zero. GIL: not needed."""
    return ((twolane_top_bit(word | 1) >> 3) + 1) & -<Py_ssize_t>(word != 0)


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


cdef inline size_t total_span(const ArrayView* view, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Return how many bytes these byte strings have together, or more. GIL: not needed."""
    cdef size_t total = 0
    cdef Py_ssize_t i
    if view.layout == Layout.BINARY32:
        return <size_t>(offset_at(view.offsets, False, view.offset + stop) - offset_at(view.offsets, False, view.offset + start))
    if view.layout == Layout.BINARY64:
        return <size_t>(offset_at(view.offsets, True, view.offset + stop) - offset_at(view.offsets, True, view.offset + start))
    if view.layout == Layout.FIXED or view.layout == Layout.PADDED:
        return <size_t>view.width * (stop - start)
    for i in range(start, stop):
        if is_valid(view, i):
            total += span_of(view, i).size
    return total


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


cdef inline uint8_t* close_gaps(
    uint8_t* base, size_t place, uint8_t** places, Py_ssize_t n, int64_t* offsets, const uint8_t* data
) noexcept nogil:
    """Move ``n`` rows to the end of each other, note where each ends in ``data``, give the place behind them. GIL: not needed."""
    cdef uint8_t* at = base
    cdef Py_ssize_t i
    for i in range(n):
        if i:
            move_down(at, base + i * place, places[i] - (base + i * place))
        at += places[i] - (base + i * place)
        offsets[i] = at - data
    return at
