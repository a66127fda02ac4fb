"""What holds for every item of a vector, without a Python object for any of them."""
from libc.math cimport fabs
from libc.stdint cimport UINT32_MAX, int32_t, int64_t, uint8_t, uint32_t
from libc.string cimport memcpy
cimport cython

from twolane._units cimport DAY_NS, MS_NS
from twolane.batch cimport Span
from twolane.encoding.memory.utf8 cimport is_ascii, is_utf8
from twolane.encoding.columns.vectors cimport (
    NO_MEMBER, Layout, LogicalType, ArrayView, float_at, index_at, int_at, is_valid, item_at, list_size, list_start, plain_span_at,
    union_child, union_item,
)

cdef extern from "Python.h":
    Py_ssize_t PY_SSIZE_T_MAX

cdef double MAX_SINGLE = 3.4028235677973366e+38     # half way to the power of two above the largest float


cdef Py_ssize_t first_null(const ArrayView* vector) noexcept nogil:
    """The first null, or -1. GIL: not needed."""
    cdef Py_ssize_t i
    if vector.validity == NULL and vector.kind != Layout.NULLS:
        return -1
    for i in range(vector.length):
        if not is_valid(vector, i):
            return i
    return -1


cdef Py_ssize_t first_null_inside(const ArrayView* struct, const ArrayView* child) noexcept nogil:
    """The first item of a struct that is not null though its child is, or -1. GIL: not needed."""
    cdef Py_ssize_t i
    for i in range(struct.length):
        if is_valid(struct, i) and not is_valid(child, struct.offset + i):
            return i
    return -1


cdef bint in_range(const ArrayView* vector, int64_t low, int64_t high) noexcept nogil:
    """Whether every integer that is not null lies in low..high. GIL: not needed."""
    cdef Py_ssize_t i
    cdef int64_t value
    for i in range(vector.length):
        value = int_at(vector, i)
        if value < low or value > high or (value < 0 and vector.kind == Layout.UINT64):
            if is_valid(vector, i):
                return False
    return True


cdef bint in_single_range(const ArrayView* vector) noexcept nogil:
    """Whether no finite double becomes an infinite float. GIL: not needed."""
    cdef Py_ssize_t i
    cdef double value
    for i in range(vector.length):
        value = fabs(float_at(vector, i))
        if value >= MAX_SINGLE and value <= 1.7976931348623157e+308 and is_valid(vector, i):
            return False
    return True


cdef bint is_text(const ArrayView* vector) noexcept nogil:
    """Whether every byte string that is not null is UTF-8. GIL: not needed."""
    cdef Py_ssize_t i
    cdef Span span
    # A plain numpy array at once: if the whole block is ASCII (padding is), so is every string in it.
    if vector.kind == Layout.PADDED and vector.stride == vector.width and is_ascii(
        vector.data + vector.offset * vector.stride, vector.length * vector.stride
    ):
        return True
    for i in range(vector.length):
        if is_valid(vector, i):
            span = plain_span_at(vector, i)
            if not is_utf8(span.data, span.size):
                return False
    return True


cdef bint are_uuids(const ArrayView* vector) noexcept nogil:
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


cdef bint are_durations(const ArrayView* vector) noexcept nogil:
    """Whether every interval or duration that is not null fits into Avro's. GIL: not needed."""
    cdef Py_ssize_t i
    for i in range(vector.length):
        if is_valid(vector, i) and not duration_at(vector, i).fits:
            return False
    return True


@cython.cdivision(True)
cdef Duration duration_at(const ArrayView* vector, Py_ssize_t i) noexcept nogil:
    """Item ``i`` of intervals (MONTHS) or ticks (DURATION), rounded down to the millisecond. GIL: not needed."""
    cdef Duration duration
    cdef int32_t parts[2]
    cdef int64_t months = 0, days = 0, nanos = 0, ticks, tick_ns = vector.tick_ns
    parts[1] = 0
    if vector.meaning == LogicalType.DURATION:
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
        nanos = parts[1] * MS_NS
    else:
        memcpy(parts, item_at(vector, i), 4 if vector.width == 4 else 8)
        months = parts[0]
        days = parts[1]
        if vector.width == 16:
            memcpy(&nanos, item_at(vector, i) + 8, 8)
    duration.fits = months >= 0 and 0 <= days <= UINT32_MAX and 0 <= nanos <= UINT32_MAX * MS_NS + (MS_NS - 1)
    duration.months = <uint32_t>months
    duration.days = <uint32_t>days
    duration.millis = <uint32_t>(nanos // MS_NS)
    return duration


cdef const char* fault_of(const ArrayView* vector, Py_ssize_t start, Py_ssize_t stop, const ArrayView** where) noexcept nogil:
    """What would lead out of the memory of items ``start`` to ``stop`` of an Arrow array, or NULL; ``where`` has it.

    Only what these items refer to is looked at: a slice of a long array costs no more than its own items. GIL: not needed.
    """
    cdef Layout kind = vector.kind
    cdef const char* fault = NULL
    cdef Py_ssize_t i, first = PY_SSIZE_T_MAX, last = 0
    where[0] = vector
    if start < 0 or stop > vector.length:
        return "fewer items than what lies above refers to"
    if start >= stop:
        return NULL
    if kind == Layout.BINARY32 or kind == Layout.LIST32 or kind == Layout.MAP:
        if narrow_falls(<const int32_t*>vector.offsets + vector.offset + start, stop - start):
            return "offsets that fall, or are negative"
    elif kind == Layout.BINARY64 or kind == Layout.LIST64:
        if wide_falls(<const int64_t*>vector.offsets + vector.offset + start, stop - start):
            return "offsets that fall, or are negative"
    elif kind == Layout.VIEWED:
        for i in range(start, stop):
            if is_valid(vector, i) and not is_view(vector, i):
                return "views that lie beyond their blocks"
    elif kind == Layout.DICTIONARY:
        for i in range(start, stop):
            if is_valid(vector, i) and not 0 <= index_at(vector, i) < vector.dictionary.length:
                return "indices beyond the dictionary"
        return fault_of(vector.dictionary, 0, vector.dictionary.length, where)
    elif kind == Layout.UNION_DENSE or kind == Layout.UNION_SPARSE:
        return fault_of_union(vector, start, stop, where)
    if kind == Layout.STRUCT:
        for i in range(vector.n_children):
            fault = fault_of(&vector.children[i], vector.offset + start, vector.offset + stop, where)
            if fault != NULL:
                break
    elif kind == Layout.LIST_VIEW32 or kind == Layout.LIST_VIEW64:
        for i in range(start, stop):
            if is_valid(vector, i) and list_size(vector, i):
                if list_size(vector, i) < 0 or list_start(vector, i) < 0 or (
                    list_size(vector, i) > vector.children.length - list_start(vector, i)
                ):
                    return "lists that lie beyond their items"
                first = min(first, list_start(vector, i))
                last = max(last, list_start(vector, i) + list_size(vector, i))
        fault = fault_of(vector.children, min(first, last), last, where)
    elif kind == Layout.FIXED_LIST and vector.width > 0 and stop > (PY_SSIZE_T_MAX // vector.width) - vector.offset:
        fault = "lists that lie beyond their items"
    elif kind >= Layout.LIST32:
        first = list_start(vector, start)
        last = list_start(vector, stop - 1) + list_size(vector, stop - 1)
        fault = fault_of(vector.children, first, last, where)
        if fault == NULL and kind == Layout.MAP:
            where[0] = vector
            for i in range(first, last):
                if not is_valid(vector.children.children, vector.children.offset + i):
                    return "a map with a key that is null"
    return fault


cdef const char* fault_of_union(const ArrayView* vector, Py_ssize_t start, Py_ssize_t stop, const ArrayView** where) noexcept nogil:
    """The same of a union: of each child, from the first of its items that is referred to to the last. GIL: not needed."""
    cdef const char* fault = NULL
    cdef Py_ssize_t firsts[256]
    cdef Py_ssize_t lasts[256]
    cdef Py_ssize_t i, j, item
    for j in range(vector.n_children):
        firsts[j] = lasts[j] = 0
        if vector.kind == Layout.UNION_SPARSE and vector.children[j].length < vector.offset + stop:
            return "fewer items than what lies above refers to"
    for i in range(start, stop):
        j = union_child(vector, i)
        if j != NO_MEMBER:      # which is refused where the item is asked for
            item = union_item(vector, i)
            if not 0 <= item < vector.children[j].length:
                return "offsets beyond a union's members"
            firsts[j] = item if lasts[j] == 0 else min(firsts[j], item)
            lasts[j] = max(lasts[j], item + 1)
    for j in range(vector.n_children):
        fault = fault_of(&vector.children[j], firsts[j], lasts[j], where)
        if fault != NULL:
            break
    return fault


cdef bint narrow_falls(const int32_t* offsets, Py_ssize_t n) noexcept nogil:
    """Whether one of ``n + 1`` offsets is less than the one before, or than zero. GIL: not needed."""
    cdef Py_ssize_t i
    cdef int32_t bad = offsets[0]
    for i in range(n):
        bad |= -<int32_t>(offsets[i + 1] < offsets[i])
    return bad < 0


cdef bint wide_falls(const int64_t* offsets, Py_ssize_t n) noexcept nogil:
    """The same for 64 bits. GIL: not needed."""
    cdef Py_ssize_t i
    cdef int64_t bad = offsets[0]
    for i in range(n):
        bad |= -<int64_t>(offsets[i + 1] < offsets[i])
    return bad < 0


cdef bint is_view(const ArrayView* vector, Py_ssize_t i) noexcept nogil:
    """Whether a view's bytes lie in itself or in one of its blocks. GIL: not needed."""
    cdef int32_t view[4]
    memcpy(view, item_at(vector, i), 16)
    if 0 <= view[0] <= 12:
        return True
    return view[0] > 0 and 0 <= view[2] < vector.n_buffers and view[3] >= 0 and vector.sizes != NULL and (
        vector.buffers[view[2]] != NULL and view[3] <= (<const int64_t*>vector.sizes)[view[2]] - view[0]
    )


cdef bint says_nothing(const ArrayView* vector) noexcept nogil:
    """Whether indices are zeros into a dictionary without entries, as Arrow's builders write them under a null. GIL: not needed."""
    cdef Py_ssize_t i
    cdef bint found = False
    if vector.dictionary.length:
        return False
    for i in range(vector.length):
        if is_valid(vector, i):
            if index_at(vector, i):
                return False
            found = True
    return found


cdef bint takes_no_bytes(const ArrayView* vector) noexcept nogil:
    """Whether byte strings with offsets are all empty; fault_of() sees whether offsets fall. GIL: not needed."""
    if vector.kind == Layout.BINARY32:
        return (<const int32_t*>vector.offsets)[vector.offset] == (<const int32_t*>vector.offsets)[vector.offset + vector.length]
    return (<const int64_t*>vector.offsets)[vector.offset] == (<const int64_t*>vector.offsets)[vector.offset + vector.length]


cdef bint items_of(const ArrayView* vector, ArrayView* child) noexcept nogil:
    """The part of a list's items that its rows refer to, as a vector of its own; False if they do not rise. GIL: not needed."""
    cdef Py_ssize_t first, last
    if vector.kind not in (Layout.LIST32, Layout.LIST64, Layout.FIXED_LIST, Layout.MAP):
        return False
    child[0] = vector.children[0]
    if vector.length == 0:
        child.length = 0
        return True
    first = list_start(vector, 0)
    last = list_start(vector, vector.length - 1) + list_size(vector, vector.length - 1)
    child.offset += first
    child.length = last - first
    return first >= 0 and last >= first


cdef int buffers_of(Layout kind) noexcept nogil:
    """How many buffers an array has; views have one more for each block. GIL: not needed."""
    if kind == Layout.NULLS:
        return 0
    if kind == Layout.FIXED_LIST or kind == Layout.STRUCT or kind == Layout.UNION_SPARSE:
        return 1
    if kind in (Layout.BINARY32, Layout.BINARY64, Layout.VIEWED, Layout.LIST_VIEW32, Layout.LIST_VIEW64):
        return 3
    return 2


cdef int children_of(Layout kind) noexcept nogil:
    """How many children a type has; -1 for any number. GIL: not needed."""
    if kind in (Layout.STRUCT, Layout.UNION_DENSE, Layout.UNION_SPARSE):
        return -1
    return 1 if kind >= Layout.LIST32 else 0
