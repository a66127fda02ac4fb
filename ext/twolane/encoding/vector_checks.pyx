"""What holds for every item of a vector, without a Python object for any of them."""
from libc.math cimport fabs
from libc.stdint cimport UINT32_MAX, int32_t, int64_t, uint8_t, uint32_t
from libc.string cimport memcpy
cimport cython

from twolane.batch cimport Span
from twolane.encoding.utf8 cimport is_ascii, is_utf8
from twolane.encoding.vectors cimport Kind, Meaning, Vector, float_at, int_at, is_valid, item_at, plain_span_at

cdef double MAX_SINGLE = 3.4028235677973366e+38     # half way to the power of two above the largest float
cdef int64_t DAY_NS = 86_400_000_000_000


cdef Py_ssize_t first_null(const Vector* vector) noexcept nogil:
    """The first null, or -1. GIL: not needed."""
    cdef Py_ssize_t i
    if vector.validity == NULL and vector.kind != Kind.NULLS:
        return -1
    for i in range(vector.length):
        if not is_valid(vector, i):
            return i
    return -1


cdef Py_ssize_t first_null_inside(const Vector* struct, const Vector* child) noexcept nogil:
    """The first item of a struct that is not null though its child is, or -1. GIL: not needed."""
    cdef Py_ssize_t i
    for i in range(struct.length):
        if is_valid(struct, i) and not is_valid(child, struct.offset + i):
            return i
    return -1


cdef bint in_range(const Vector* vector, int64_t low, int64_t high) noexcept nogil:
    """Whether every integer that is not null lies in low..high. GIL: not needed."""
    cdef Py_ssize_t i
    cdef int64_t value
    for i in range(vector.length):
        value = int_at(vector, i)
        if value < low or value > high or (value < 0 and vector.kind == Kind.UINT64):
            if is_valid(vector, i):
                return False
    return True


cdef bint in_single_range(const Vector* vector) noexcept nogil:
    """Whether no finite double becomes an infinite float. GIL: not needed."""
    cdef Py_ssize_t i
    cdef double value
    for i in range(vector.length):
        value = fabs(float_at(vector, i))
        if value >= MAX_SINGLE and value <= 1.7976931348623157e+308 and is_valid(vector, i):
            return False
    return True


cdef bint is_text(const Vector* vector) noexcept nogil:
    """Whether every byte string that is not null is UTF-8. GIL: not needed."""
    cdef Py_ssize_t i
    cdef Span span
    # A plain numpy array at once: if the whole block is ASCII (padding is), so is every string in it.
    if vector.kind == Kind.PADDED and vector.stride == vector.width and is_ascii(
        vector.data + vector.offset * vector.stride, vector.length * vector.stride
    ):
        return True
    for i in range(vector.length):
        if is_valid(vector, i):
            span = plain_span_at(vector, i)
            if not is_utf8(span.data, span.size):
                return False
    return True


cdef bint are_uuids(const Vector* vector) noexcept nogil:
    """Whether every text that is not null is a UUID as it is to stand in a record. GIL: not needed."""
    cdef Py_ssize_t i
    cdef Span span
    for i in range(vector.length):
        if is_valid(vector, i):
            span = plain_span_at(vector, i)
            if span.size != 36 or not is_uuid(span.data):
                return False
    return True


cdef bint is_uuid(const uint8_t* text) noexcept nogil:
    """Whether these 36 characters are a UUID in lower case. GIL: not needed."""
    cdef int i
    cdef uint8_t c
    for i in range(36):
        c = text[i]
        if i == 8 or i == 13 or i == 18 or i == 23:
            if c != c"-":
                return False
        elif not (c"0" <= c <= c"9" or c"a" <= c <= c"f"):
            return False
    return True


cdef bint are_durations(const Vector* vector) noexcept nogil:
    """Whether every interval or duration that is not null fits into Avro's. GIL: not needed."""
    cdef Py_ssize_t i
    for i in range(vector.length):
        if is_valid(vector, i) and not duration_at(vector, i).fits:
            return False
    return True


@cython.cdivision(True)
cdef Duration duration_at(const Vector* vector, Py_ssize_t i) noexcept nogil:
    """Item ``i`` of intervals (MONTHS) or ticks (DURATION), rounded down to the millisecond. GIL: not needed."""
    cdef Duration duration
    cdef int32_t parts[2]
    cdef int64_t months = 0, days = 0, nanos = 0, ticks, tick_ns = vector.tick_ns
    parts[1] = 0
    if vector.meaning == Meaning.DURATION:
        # A day is some ticks, or a tick some days: plan_duration() has seen to that.
        ticks = int_at(vector, i)
        if ticks < 0:
            days = -1
        elif tick_ns <= DAY_NS:
            days = ticks // (DAY_NS // tick_ns)
            nanos = ticks % (DAY_NS // tick_ns) * tick_ns
        else:
            days = UINT32_MAX + <int64_t>1 if ticks > UINT32_MAX else ticks * (tick_ns // DAY_NS)
    elif vector.width == 8:
        memcpy(parts, item_at(vector, i), 8)
        days = parts[0]
        nanos = parts[1] * <int64_t>1_000_000
    else:
        memcpy(parts, item_at(vector, i), 4 if vector.width == 4 else 8)
        months = parts[0]
        days = parts[1]
        if vector.width == 16:
            memcpy(&nanos, item_at(vector, i) + 8, 8)
    duration.fits = months >= 0 and 0 <= days <= UINT32_MAX and 0 <= nanos <= UINT32_MAX * <int64_t>1_000_000 + 999_999
    duration.months = <uint32_t>months
    duration.days = <uint32_t>days
    duration.millis = <uint32_t>(nanos // 1_000_000)
    return duration
