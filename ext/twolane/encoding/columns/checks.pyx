"""What holds for every item of a view, without a Python object for any of them."""
from libc.math cimport fabs
from libc.stdint cimport UINT32_MAX, int32_t, int64_t, uint8_t, uint32_t
from libc.string cimport memcpy
cimport cython

from twolane._units cimport DAY_NS, MAX_SINGLE, MS_NS
from twolane.batch cimport Span
from twolane.encoding.memory.utf8 cimport is_ascii, is_utf8, ucs4_is_text
from twolane.encoding.columns.array_view cimport (
    NO_MEMBER, Layout, LogicalType, ArrayView, float_at, index_at, int_at, is_valid, item_at, list_size, list_start, plain_span_at,
    union_child, union_item,
)

cdef extern from "Python.h":
    Py_ssize_t PY_SSIZE_T_MAX

ctypedef fused Offset:
    int32_t
    int64_t


cdef Py_ssize_t first_null(const ArrayView* view) noexcept nogil:
    """Return the first null, or -1. GIL: not needed."""
    cdef Py_ssize_t i
    if view.validity == NULL and view.layout != Layout.NULLS:
        return -1
    for i in range(view.length):
        if not is_valid(view, i):
            return i
    return -1


cdef Py_ssize_t first_null_inside(const ArrayView* struct, const ArrayView* child) noexcept nogil:
    """Return the first item of a struct that is not null though its child is, or -1. GIL: not needed."""
    cdef Py_ssize_t i
    for i in range(struct.length):
        if is_valid(struct, i) and not is_valid(child, struct.offset + i):
            return i
    return -1


cdef bint in_range(const ArrayView* view, int64_t low, int64_t high) noexcept nogil:
    """Return whether every integer that is not null lies in low..high. GIL: not needed."""
    cdef Py_ssize_t i
    cdef int64_t value
    for i in range(view.length):
        value = int_at(view, i)
        if value < low or value > high or (value < 0 and view.layout == Layout.UINT64):
            if is_valid(view, i):
                return False
    return True


cdef bint in_single_range(const ArrayView* view) noexcept nogil:
    """Return whether no finite double becomes an infinite float. GIL: not needed."""
    cdef Py_ssize_t i
    cdef double value
    for i in range(view.length):
        value = fabs(float_at(view, i))
        if value >= MAX_SINGLE and value <= 1.7976931348623157e+308 and is_valid(view, i):
            return False
    return True


cdef bint is_text(const ArrayView* view) noexcept nogil:
    """Return whether every byte string that is not null is UTF-8. GIL: not needed."""
    cdef Py_ssize_t i
    cdef Span span
    # A plain numpy array at once: if the whole block is ASCII (padding is), so is every string in it.
    if view.layout == Layout.PADDED and view.stride == view.width and is_ascii(
        view.data + view.offset * view.stride, view.length * view.stride
    ):
        return True
    for i in range(view.length):
        if is_valid(view, i):
            span = plain_span_at(view, i)
            if not is_utf8(span.data, span.size):
                return False
    return True


cdef bint has_bytes(const ArrayView* view, bint text) noexcept nogil:
    """Return whether every item that is not null is UTF-8, or for bytes was not declared as text. GIL: not needed."""
    cdef const ArrayView* plain = view
    if view.layout == Layout.DICTIONARY:
        plain = view.dictionary
        # Of other meanings the bytes of a dictionary are not what a value says.
        if first_null(plain) >= 0 or plain.logical not in (LogicalType.PLAIN, LogicalType.TEXT):
            return False
    if plain.layout == Layout.UCS4:
        return text and plain == view and ucs4_is_text(view)
    if plain.layout not in (Layout.FIXED, Layout.PADDED, Layout.BINARY32, Layout.BINARY64, Layout.BINARY_VIEW):
        return False
    if text and plain.logical != LogicalType.TEXT:
        return is_text(plain)
    return text or plain.logical != LogicalType.TEXT


cdef bint are_uuids(const ArrayView* view) noexcept nogil:
    """Return whether every text that is not null is a UUID as a record holds it. GIL: not needed."""
    cdef Py_ssize_t i
    cdef Span span
    for i in range(view.length):
        if is_valid(view, i):
            span = plain_span_at(view, i)
            if span.size != 36 or not is_uuid(span.data):
                return False
    return True


cdef bint is_uuid(const uint8_t* text) noexcept nogil:
    """Return whether these 36 characters are a UUID in lower case. GIL: not needed."""
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


cdef bint are_durations(const ArrayView* view) noexcept nogil:
    """Return whether every interval or duration that is not null fits into Avro's. GIL: not needed."""
    cdef Py_ssize_t i
    for i in range(view.length):
        if is_valid(view, i) and not duration_at(view, i).fits:
            return False
    return True


@cython.cdivision(True)
cdef Duration duration_at(const ArrayView* view, Py_ssize_t i) noexcept nogil:
    """Return item ``i`` of intervals (MONTHS) or ticks (DURATION), rounded down to the millisecond. GIL: not needed."""
    cdef Duration duration
    cdef int32_t parts[2]
    cdef int64_t months = 0, days = 0, nanos = 0, ticks, tick_ns = view.tick_ns
    parts[1] = 0
    if view.logical == LogicalType.DURATION:
        # A day is some ticks, or a tick some days: plan_duration() has seen to that.
        ticks = int_at(view, i)
        if ticks < 0:
            days = -1
        elif tick_ns <= DAY_NS:
            days = ticks // (DAY_NS // tick_ns)
            nanos = ticks % (DAY_NS // tick_ns) * tick_ns
        else:
            days = UINT32_MAX + <int64_t>1 if ticks > UINT32_MAX else ticks * (tick_ns // DAY_NS)
    elif view.width == 8:
        memcpy(parts, item_at(view, i), 8)
        days = parts[0]
        nanos = parts[1] * MS_NS
    else:
        memcpy(parts, item_at(view, i), 4 if view.width == 4 else 8)
        months = parts[0]
        days = parts[1]
        if view.width == 16:
            memcpy(&nanos, item_at(view, i) + 8, 8)
    duration.fits = months >= 0 and 0 <= days <= UINT32_MAX and 0 <= nanos <= UINT32_MAX * MS_NS + (MS_NS - 1)
    duration.months = <uint32_t>months
    duration.days = <uint32_t>days
    duration.millis = <uint32_t>(nanos // MS_NS)
    return duration


cdef const char* fault_of(const ArrayView* view, Py_ssize_t start, Py_ssize_t stop, const ArrayView** where) noexcept nogil:
    """Return what would lead out of the memory of items ``start`` to ``stop`` of an Arrow array, or NULL; ``where`` has it.

    Only what these items refer to is looked at: a slice of a long array costs no more than its own items. GIL: not needed.
    """
    cdef Layout layout = view.layout
    cdef const char* fault = NULL
    cdef Py_ssize_t i, first = PY_SSIZE_T_MAX, last = 0
    where[0] = view
    if start < 0 or stop > view.length:
        return "fewer items than what lies above refers to"
    if start >= stop:
        return NULL
    if layout == Layout.BINARY32 or layout == Layout.LIST32 or layout == Layout.MAP:
        if falls(<const int32_t*>view.offsets + view.offset + start, stop - start):
            return "offsets that fall, or are negative"
    elif layout == Layout.BINARY64 or layout == Layout.LIST64:
        if falls(<const int64_t*>view.offsets + view.offset + start, stop - start):
            return "offsets that fall, or are negative"
    elif layout == Layout.BINARY_VIEW:
        for i in range(start, stop):
            if is_valid(view, i) and not is_view(view, i):
                return "views that lie beyond their blocks"
    elif layout == Layout.DICTIONARY:
        for i in range(start, stop):
            if is_valid(view, i) and not 0 <= index_at(view, i) < view.dictionary.length:
                return "indices beyond the dictionary"
        return fault_of(view.dictionary, 0, view.dictionary.length, where)
    elif layout == Layout.UNION_DENSE or layout == Layout.UNION_SPARSE:
        return fault_of_union(view, start, stop, where)
    if layout == Layout.STRUCT:
        for i in range(view.n_children):
            fault = fault_of(&view.children[i], view.offset + start, view.offset + stop, where)
            if fault != NULL:
                break
    elif layout == Layout.LIST_VIEW32 or layout == Layout.LIST_VIEW64:
        for i in range(start, stop):
            if is_valid(view, i) and list_size(view, i):
                if list_size(view, i) < 0 or list_start(view, i) < 0 or (
                    list_size(view, i) > view.children.length - list_start(view, i)
                ):
                    return "lists that lie beyond their items"
                first = min(first, list_start(view, i))
                last = max(last, list_start(view, i) + list_size(view, i))
        fault = fault_of(view.children, min(first, last), last, where)
    elif layout == Layout.FIXED_LIST and view.width > 0 and stop > (PY_SSIZE_T_MAX // view.width) - view.offset:
        fault = "lists that lie beyond their items"
    elif layout >= Layout.LIST32:
        first = list_start(view, start)
        last = list_start(view, stop - 1) + list_size(view, stop - 1)
        fault = fault_of(view.children, first, last, where)
        if fault == NULL and layout == Layout.MAP:
            where[0] = view
            for i in range(first, last):
                if not is_valid(view.children.children, view.children.offset + i):
                    return "a map with a key that is null"
    return fault


cdef const char* fault_of_union(const ArrayView* view, Py_ssize_t start, Py_ssize_t stop, const ArrayView** where) noexcept nogil:
    """Return the same of a union: of each child, from the first of its items that is referred to to the last. GIL: not needed."""
    cdef const char* fault = NULL
    cdef Py_ssize_t firsts[256]
    cdef Py_ssize_t lasts[256]
    cdef Py_ssize_t i, j, item
    for j in range(view.n_children):
        firsts[j] = lasts[j] = 0
        if view.layout == Layout.UNION_SPARSE and view.children[j].length < view.offset + stop:
            return "fewer items than what lies above refers to"
    for i in range(start, stop):
        j = union_child(view, i)
        if j != NO_MEMBER:      # which is refused where the item is asked for
            item = union_item(view, i)
            if not 0 <= item < view.children[j].length:
                return "offsets beyond a union's members"
            firsts[j] = item if lasts[j] == 0 else min(firsts[j], item)
            lasts[j] = max(lasts[j], item + 1)
    for j in range(view.n_children):
        fault = fault_of(&view.children[j], firsts[j], lasts[j], where)
        if fault != NULL:
            break
    return fault


cdef bint falls(const Offset* offsets, Py_ssize_t n) noexcept nogil:
    """Return whether one of ``n + 1`` offsets is less than the one before, or than zero. GIL: not needed."""
    cdef Py_ssize_t i
    cdef Offset bad = offsets[0]
    for i in range(n):
        bad |= -<Offset>(offsets[i + 1] < offsets[i])
    return bad < 0


cdef bint is_view(const ArrayView* view, Py_ssize_t i) noexcept nogil:
    """Return whether a view's bytes lie in itself or in one of its blocks. GIL: not needed."""
    cdef int32_t words[4]
    memcpy(words, item_at(view, i), 16)
    if 0 <= words[0] <= 12:
        return True
    return words[0] > 0 and 0 <= words[2] < view.n_buffers and words[3] >= 0 and view.sizes != NULL and (
        view.buffers[words[2]] != NULL and words[3] <= (<const int64_t*>view.sizes)[words[2]] - words[0]
    )


cdef bint says_nothing(const ArrayView* view) noexcept nogil:
    """Return whether indices are zeros into a dictionary without entries, as Arrow's builders write them under a null. GIL: not needed."""
    cdef Py_ssize_t i
    cdef bint found = False
    if view.dictionary.length:
        return False
    for i in range(view.length):
        if is_valid(view, i):
            if index_at(view, i):
                return False
            found = True
    return found


cdef bint takes_no_bytes(const ArrayView* view) noexcept nogil:
    """Return whether byte strings with offsets are all empty; fault_of() sees whether offsets fall. GIL: not needed."""
    if view.layout == Layout.BINARY32:
        return (<const int32_t*>view.offsets)[view.offset] == (<const int32_t*>view.offsets)[view.offset + view.length]
    return (<const int64_t*>view.offsets)[view.offset] == (<const int64_t*>view.offsets)[view.offset + view.length]


cdef bint items_of(const ArrayView* view, ArrayView* child) noexcept nogil:
    """Make a view of the items that a list's rows refer to; return False if they do not rise. GIL: not needed."""
    cdef Py_ssize_t first, last
    if view.layout not in (Layout.LIST32, Layout.LIST64, Layout.FIXED_LIST, Layout.MAP):
        return False
    child[0] = view.children[0]
    if view.length == 0:
        child.length = 0
        return True
    first = list_start(view, 0)
    last = list_start(view, view.length - 1) + list_size(view, view.length - 1)
    child.offset += first
    child.length = last - first
    return first >= 0 and last >= first


cdef int buffers_of(Layout layout) noexcept nogil:
    """Return how many buffers an array has; views have one more for each block. GIL: not needed."""
    if layout == Layout.NULLS:
        return 0
    if layout == Layout.FIXED_LIST or layout == Layout.STRUCT or layout == Layout.UNION_SPARSE:
        return 1
    if layout in (Layout.BINARY32, Layout.BINARY64, Layout.BINARY_VIEW, Layout.LIST_VIEW32, Layout.LIST_VIEW64):
        return 3
    return 2


cdef int children_of(Layout layout) noexcept nogil:
    """Return how many children a type has; -1 for any number. GIL: not needed."""
    if layout in (Layout.STRUCT, Layout.UNION_DENSE, Layout.UNION_SPARSE):
        return -1
    return 1 if layout >= Layout.LIST32 else 0
