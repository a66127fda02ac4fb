"""UTF-8: whether bytes are, checked once when a column is bound; and that of a str."""
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from twolane.encoding.columns.array_view cimport ArrayView, is_valid, item_at, put_utf8, swap32


cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(PyObject* text)
    int PyUnicode_KIND(PyObject* text)
    void* PyUnicode_DATA(PyObject* text)
    Py_ssize_t PyUnicode_GET_LENGTH(PyObject* text)
    uint32_t PyUnicode_READ(int kind, const void* data, Py_ssize_t i)


cdef inline size_t most_utf8(PyObject* text) noexcept:
    """Return how many bytes put_str() writes at most. The GIL is held."""
    cdef int kind = PyUnicode_KIND(text)
    return <size_t>PyUnicode_GET_LENGTH(text) * (kind + 1 if kind < 4 else 4)


cdef inline uint8_t* put_str(uint8_t* at, PyObject* text) noexcept:
    """Write a str as UTF-8; NULL if it has a lone surrogate. The GIL is held.

    Not PyUnicode_AsUTF8AndSize, for with that the str keeps its UTF-8 for good: memory that grows with the input.
    """
    cdef int kind = PyUnicode_KIND(text)
    cdef const void* data = PyUnicode_DATA(text)
    cdef Py_ssize_t i, n = PyUnicode_GET_LENGTH(text)
    cdef uint8_t byte
    cdef uint32_t unit
    if kind == 1:
        for i in range(n):
            byte = (<const uint8_t*>data)[i]
            if byte < 0x80:
                at[0] = byte
                at += 1
            else:
                at[0] = 0xC0 | byte >> 6
                at[1] = 0x80 | (byte & 0x3F)
                at += 2
        return at
    for i in range(n):
        unit = PyUnicode_READ(kind, data, i)
        if unit < 0x80:
            at[0] = <uint8_t>unit
            at += 1
        elif 0xD800 <= unit <= 0xDFFF:
            return NULL
        else:
            at = put_utf8(at, unit)
    return at


cdef inline bint is_ascii(const uint8_t* data, Py_ssize_t size) noexcept nogil:
    """Return whether no byte has its top bit set. GIL: not needed."""
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
    """Return whether the bytes are UTF-8 (RFC 3629: shortest forms, no surrogates, up to U+10FFFF). GIL: not needed."""
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


cdef inline bint ucs4_is_text(const ArrayView* view) noexcept nogil:
    """Return whether numpy's four-byte characters are all code points that UTF-8 knows. GIL: not needed."""
    cdef uint32_t unit = 0
    return first_no_text(view, &unit) < 0


cdef inline Py_ssize_t first_no_text(const ArrayView* view, uint32_t* bad) noexcept nogil:
    """Return the first item with a code point that UTF-8 does not know (a surrogate, or above U+10FFFF), or -1. GIL: not needed."""
    cdef Py_ssize_t i, j
    cdef const uint8_t* at
    cdef uint32_t unit = 0
    for i in range(view.length):
        if not is_valid(view, i):
            continue
        at = item_at(view, i)
        for j in range(view.width // 4):
            memcpy(&unit, at + 4 * j, 4)
            if view.swapped:
                unit = swap32(unit)
            if unit > 0x10FFFF or 0xD800 <= unit <= 0xDFFF:
                bad[0] = unit
                return i
    return -1
