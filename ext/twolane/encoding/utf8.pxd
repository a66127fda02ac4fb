"""Is it UTF-8, can it be: checks that run once, when a column is bound."""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from twolane.encoding.vectors cimport Vector, is_valid, item_at, swap32


cdef inline bint is_ascii(const uint8_t* data, Py_ssize_t size) noexcept nogil:
    """Whether no byte has its top bit set. GIL: not needed."""
    cdef Py_ssize_t i = 0
    cdef uint64_t eight = 0, seen = 0
    while i + 8 <= size:
        memcpy(&eight, data + i, 8)
        seen |= eight
        i += 8
    while i < size:
        seen |= data[i]
        i += 1
    return (seen & <uint64_t>0x8080808080808080) == 0


cdef inline bint is_utf8(const uint8_t* data, Py_ssize_t size) noexcept nogil:
    """Whether the bytes are UTF-8 (RFC 3629: shortest forms, no surrogates, up to U+10FFFF). GIL: not needed."""
    cdef Py_ssize_t i = 0
    cdef uint64_t eight = 0
    cdef uint8_t first, second
    cdef Py_ssize_t more
    while i < size:
        while i + 8 <= size:
            memcpy(&eight, data + i, 8)
            if eight & <uint64_t>0x8080808080808080:
                break
            i += 8
        if i >= size:
            return True
        first = data[i]
        i += 1
        if first < 0x80:
            continue
        if first < 0xC2 or first > 0xF4:
            return False
        more = 1 if first < 0xE0 else 2 if first < 0xF0 else 3
        if size - i < more:
            return False
        second = data[i]
        if (
            (first == 0xE0 and second < 0xA0) or (first == 0xED and second > 0x9F)
            or (first == 0xF0 and second < 0x90) or (first == 0xF4 and second > 0x8F)
        ):
            return False
        while more:
            if (data[i] & 0xC0) != 0x80:
                return False
            i += 1
            more -= 1
    return True


cdef inline bint ucs4_is_text(const Vector* vector) noexcept nogil:
    """Whether numpy's four-byte characters are all code points that UTF-8 knows. GIL: not needed."""
    cdef Py_ssize_t i, j
    cdef const uint8_t* at
    cdef uint32_t unit = 0
    for i in range(vector.length):
        if not is_valid(vector, i):
            continue
        at = item_at(vector, i)
        for j in range(vector.width // 4):
            memcpy(&unit, at + 4 * j, 4)
            if vector.swapped:
                unit = swap32(unit)
            if unit > 0x10FFFF or 0xD800 <= unit <= 0xDFFF:
                return False
    return True
