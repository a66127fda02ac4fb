"""One item of a vector as a Python object: for error messages and for types without a native path."""
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.string cimport memcpy

from twolane.batch cimport Span
from twolane.encoding.vectors cimport (
    Kind, Meaning, Vector, bool_at, float_at, index_at, int_at, is_valid, item_at, list_size, list_start, put_ucs4,
    span_of,
)

from datetime import date, datetime, timedelta
from decimal import Decimal

import numpy as np

from twolane.errors import SerializationError

cdef object EPOCH = datetime(1970, 1, 1)
cdef object datetime64 = np.datetime64
cdef object ZERO_DAY = date(1970, 1, 1).toordinal()


cdef object time_at(const Vector* vector, Py_ssize_t i):
    """A date, datetime, time or timedelta; an int of ticks where Python's own types do not reach."""
    ticks = int_at(vector, i)
    micros = ticks * vector.tick_ns // 1000
    try:
        if vector.meaning == Meaning.DATE:
            return date.fromordinal(ZERO_DAY + ticks * vector.tick_ns // 86_400_000_000_000)
        if vector.meaning == Meaning.TIMESTAMP:
            # datetime64 keeps nanoseconds, and like the column it says nothing of a zone.
            return datetime64(ticks * vector.tick_ns, "ns") if vector.tick_ns < 1000 else datetime64(micros, "us")
        if vector.meaning == Meaning.TIME:
            return (EPOCH + timedelta(microseconds=micros)).time()
        return timedelta(microseconds=micros)
    except OverflowError:
        return ticks
    except ValueError:
        return ticks


cdef object span_object(const Vector* vector, Py_ssize_t i):
    cdef Span span = span_of(vector, i)
    cdef int32_t parts[4]
    cdef int64_t nanos = 0
    value = PyBytes_FromStringAndSize(<const char*>span.data, span.size) if span.size else b""
    if vector.meaning == Meaning.TEXT:
        return value.decode("utf-8", "surrogateescape")
    if vector.meaning == Meaning.DECIMAL:
        number = int.from_bytes(value, "little", signed=True)
        return Decimal((number < 0, tuple(map(int, str(abs(number)))), -vector.scale))
    if vector.meaning == Meaning.MONTHS:
        memcpy(parts, span.data, min(span.size, 16))
        if span.size == 4:
            return parts[0], 0, 0
        if span.size == 8:
            return 0, parts[0], parts[1]
        memcpy(&nanos, <const char*>span.data + 8, 8)
        return parts[0], parts[1], nanos // 1_000_000
    return value


cdef object object_at(const Vector* vector, Py_ssize_t i):
    """Item ``i`` as a Python object; None for a null. Copies. The GIL is held."""
    cdef Py_ssize_t j, first
    cdef const Vector* child
    cdef Vector inside
    cdef Kind kind = vector.kind
    if not is_valid(vector, i):
        return None
    if kind == Kind.DICTIONARY:
        return object_at(vector.dictionary, index_at(vector, i))
    if kind == Kind.UNREADABLE:
        raise SerializationError("the column has a type that cannot be read")
    if kind == Kind.BIT or kind == Kind.BYTE_BOOL:
        return bool(bool_at(vector, i))
    if kind == Kind.UCS4:
        encoded = bytearray(vector.width)
        first = put_ucs4(encoded, vector, i) - <unsigned char*>encoded
        return encoded[:first].decode()
    if kind == Kind.STRUCT:
        result = {}
        for j in range(vector.n_children):
            child = &vector.children[j]
            result[(<bytes>child.name).decode()] = object_at(child, vector.offset + i)
        return result
    if kind == Kind.SUBARRAY:
        inside = vector.children[0]
        inside.data = item_at(vector, i)
        return [object_at(&inside, j) for j in range(vector.width)]
    if kind >= Kind.LIST32:
        first = list_start(vector, i)
        child = vector.children
        if kind != Kind.MAP:
            return [object_at(child, first + j) for j in range(list_size(vector, i))]
        return dict([
            (object_at(child.children, child.offset + first + j), object_at(child.children + 1, child.offset + first + j))
            for j in range(list_size(vector, i))
        ])
    if vector.meaning in (Meaning.TIMESTAMP, Meaning.DATE, Meaning.TIME, Meaning.DURATION):
        return time_at(vector, i)
    if Kind.FLOAT16 <= kind <= Kind.FLOAT64:
        return float_at(vector, i)
    if kind == Kind.UINT64:
        return <uint64_t>int_at(vector, i)
    if kind <= Kind.UINT64:
        return int_at(vector, i)
    return span_object(vector, i)
