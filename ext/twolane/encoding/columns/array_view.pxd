"""ArrayView: one column's memory, as numpy or Arrow laid it out, read in place.

A view borrows everything; the Column (table.pyx) that holds it keeps its owners alive. Item ``i`` of a view is item
``offset + i`` of its pointers, so that a part of a column is the same view with another offset and length.
Source: the Arrow columnar format and C data interface, https://arrow.apache.org/docs/format/Columnar.html
"""
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from twolane.batch cimport Span


cdef enum Layout:             # how an item lies in memory
    UNREADABLE = 0          # known by name, refused when used
    NULLS                   # every item is null
    BIT                     # boolean, one bit (Arrow)
    BYTE_BOOL               # boolean, one byte (numpy)
    INT8
    INT16
    INT32
    INT64
    UINT8
    UINT16
    UINT32
    UINT64
    FLOAT16
    FLOAT32
    FLOAT64
    FIXED                   # width bytes
    PADDED                  # width bytes, NULs at the end are padding (numpy "S")
    UCS4                    # width / 4 code points of 4 bytes, NULs at the end are padding (numpy "U")
    BINARY32                # int32 offsets
    BINARY64                # int64 offsets
    BINARY_VIEW                  # 16-byte views (Arrow binary_view, string_view)
    DICTIONARY              # index_layout indices into dictionary
    UNION_DENSE             # a type id in data and an int32 offset into its child
    UNION_SPARSE            # a type id in data, children side by side
    LIST32                  # int32 offsets into children[0]
    LIST64
    LIST_VIEW32             # offsets and sizes
    LIST_VIEW64
    FIXED_LIST              # width items of children[0] each
    SUBARRAY                # the same inside a numpy record: children[0] starts at the item's address
    STRUCT                  # children side by side
    MAP                     # LIST32 of STRUCT(key, value)


cdef enum LogicalType:          # what an item says
    PLAIN = 0               # what its kind says
    TEXT                    # UTF-8
    TIMESTAMP               # ticks of tick_ns since the epoch
    DATE                    # the same, whole days
    TIME                    # ticks since midnight
    DURATION                # ticks
    DECIMAL                 # little-endian two's complement of width bytes, scaled by 10 ** -scale
    MONTHS                  # Arrow's intervals, in their three layouts by width: 4, 8, 16
    UUID                    # 16 bytes, big-endian
    INTEGER                 # little-endian two's complement of width bytes; with a precision of 1 without a sign


cdef enum:
    NO_MEMBER = 255


cdef struct ArrayView:
    Layout layout
    Layout index_layout                 # of a DICTIONARY
    LogicalType logical
    bint swapped                    # numbers in the other byte order
    bint zoned                      # a TIMESTAMP with a time zone
    int width                       # bytes of FIXED, PADDED, UCS4; items of FIXED_LIST, SUBARRAY
    int precision
    int scale
    int64_t tick_ns                 # of TIMESTAMP, DATE, TIME, DURATION
    Py_ssize_t length
    Py_ssize_t offset
    Py_ssize_t stride               # bytes from item to item in data
    const uint8_t* data
    const uint8_t* validity         # bitmap, one bit per item from offset 0; NULL: all valid
    const void* offsets
    const void* sizes               # of LIST_VIEW; of BINARY_VIEW, the blocks' own
    const void** buffers            # of BINARY_VIEW: the blocks that long strings lie in
    const uint8_t* members          # of a union: the child of each of 256 type ids, NO_MEMBER where there is none
    ArrayView* dictionary
    ArrayView* children
    Py_ssize_t n_children
    Py_ssize_t n_buffers            # of BINARY_VIEW
    const void* zone                # of a zoned TIMESTAMP: a str or a tzinfo, borrowed from the owners
    const char* name                # of a child; borrowed from the schema, NULL at the top
    const char* unread              # of UNREADABLE: what it is, borrowed from the owners


cdef inline bint is_valid(const ArrayView* view, Py_ssize_t i) noexcept nogil:
    """Return whether item ``i`` is not null. GIL: not needed."""
    if view.validity == NULL:
        return view.layout != NULLS
    i += view.offset
    return (view.validity[i >> 3] >> (i & 7)) & 1


cdef inline uint64_t bits_at(const uint8_t* bitmap, Py_ssize_t first, Py_ssize_t n) noexcept nogil:
    """Return bits ``first`` to ``first + n``, 64 at most, first lowest; only their bytes are read. GIL: not needed."""
    cdef uint64_t word = 0
    cdef Py_ssize_t shift = first & 7
    cdef Py_ssize_t j, size = (shift + n + 7) >> 3
    bitmap += first >> 3
    if size >= 8:
        memcpy(&word, bitmap, 8)
    else:
        for j in range(size):
            word |= <uint64_t>bitmap[j] << (8 * j)
    word >>= shift
    if size == 9:
        word |= <uint64_t>bitmap[8] << (64 - shift)
    return word


cdef inline uint64_t valid_bits(const ArrayView* view, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
    """Return which of ``n`` items (at most 64) from ``start`` on are not null, the first lowest. GIL: not needed."""
    if view.validity == NULL:
        return 0 if view.layout == NULLS else ~<uint64_t>0
    return bits_at(view.validity, view.offset + start, n)


cdef inline const uint8_t* item_at(const ArrayView* view, Py_ssize_t i) noexcept nogil:
    """Return where item ``i`` of a view of fixed width starts. GIL: not needed; borrows."""
    return view.data + (view.offset + i) * view.stride


cdef inline uint16_t swap16(uint16_t v) noexcept nogil:
    return <uint16_t>((v >> 8) | (v << 8))


cdef inline uint32_t swap32(uint32_t v) noexcept nogil:
    return (v >> 24) | ((v >> 8) & 0xFF00) | ((v << 8) & 0xFF0000) | (v << 24)


cdef inline uint64_t swap64(uint64_t v) noexcept nogil:
    return (<uint64_t>swap32(<uint32_t>v) << 32) | swap32(<uint32_t>(v >> 32))


cdef inline int64_t load_int(Layout layout, bint swapped, const uint8_t* at) noexcept nogil:
    """Return an integer of any width; memcpy because numpy fields need not be aligned. GIL: not needed."""
    cdef uint16_t two = 0
    cdef uint32_t four = 0
    cdef uint64_t eight = 0
    if layout == Layout.INT64 or layout == Layout.UINT64:
        memcpy(&eight, at, 8)
        return <int64_t>(swap64(eight) if swapped else eight)
    if layout == Layout.INT32 or layout == Layout.UINT32:
        memcpy(&four, at, 4)
        if swapped:
            four = swap32(four)
        return <int64_t><int32_t>four if layout == Layout.INT32 else <int64_t>four
    if layout == Layout.INT16 or layout == Layout.UINT16:
        memcpy(&two, at, 2)
        if swapped:
            two = swap16(two)
        return <int64_t><int16_t>two if layout == Layout.INT16 else <int64_t>two
    if layout == Layout.INT8:
        return <int64_t>(<const int8_t*>at)[0]
    return <int64_t>at[0]       # UINT8, BYTE_BOOL


cdef inline int64_t int_at(const ArrayView* view, Py_ssize_t i) noexcept nogil:
    """Return item ``i`` of an integer view; a uint64 above int64's range comes out negative. GIL: not needed."""
    return load_int(view.layout, view.swapped, item_at(view, i))


cdef inline bint bool_at(const ArrayView* view, Py_ssize_t i) noexcept nogil:
    """Return item ``i`` of a boolean view. GIL: not needed."""
    if view.layout == Layout.BIT:
        i += view.offset
        return (view.data[i >> 3] >> (i & 7)) & 1
    return item_at(view, i)[0] != 0


cdef inline double half_to_double(uint16_t half) noexcept nogil:
    """Convert IEEE 754 binary16 to double, exactly. GIL: not needed."""
    cdef int exponent = (half >> 10) & 0x1F
    cdef uint64_t fraction = half & 0x3FF
    cdef uint64_t sign = <uint64_t>(half >> 15) << 63
    cdef uint64_t bits = 0
    cdef double value = 0
    if exponent == 0:
        value = <double>fraction * 5.9604644775390625e-08      # 2 ** -24
        return -value if sign else value
    if exponent == 31:
        bits = sign | (<uint64_t>0x7FF << 52) | (fraction << 42)
    else:
        bits = sign | (<uint64_t>(exponent + 1008) << 52) | (fraction << 42)
    memcpy(&value, &bits, 8)
    return value


cdef inline double float_at(const ArrayView* view, Py_ssize_t i) noexcept nogil:
    """Return item ``i`` of a numeric view as a double. GIL: not needed."""
    cdef const uint8_t* at = item_at(view, i)
    cdef uint16_t two = 0
    cdef uint32_t four = 0
    cdef uint64_t eight = 0
    cdef float single = 0
    cdef double value = 0
    if view.layout == Layout.FLOAT64:
        memcpy(&eight, at, 8)
        if view.swapped:
            eight = swap64(eight)
        memcpy(&value, &eight, 8)
        return value
    if view.layout == Layout.FLOAT32:
        memcpy(&four, at, 4)
        if view.swapped:
            four = swap32(four)
        memcpy(&single, &four, 4)
        return <double>single
    if view.layout == Layout.FLOAT16:
        memcpy(&two, at, 2)
        return half_to_double(swap16(two) if view.swapped else two)
    if view.layout == Layout.UINT64:
        return <double><uint64_t>load_int(view.layout, view.swapped, at)
    return <double>load_int(view.layout, view.swapped, at)


cdef inline Py_ssize_t index_at(const ArrayView* view, Py_ssize_t i) noexcept nogil:
    """Return the index of item ``i`` of a DICTIONARY view. GIL: not needed."""
    return <Py_ssize_t>load_int(view.index_layout, view.swapped, item_at(view, i))


cdef inline bint has_value(const ArrayView* view, Py_ssize_t i) noexcept nogil:
    """Return whether item ``i`` is neither null nor the index of a null inside the dictionary. GIL: not needed."""
    return is_valid(view, i) and (
        view.layout != Layout.DICTIONARY or is_valid(view.dictionary, index_at(view, i)))


cdef inline Span plain_span_at(const ArrayView* view, Py_ssize_t i) noexcept nogil:
    """Return the bytes of item ``i``: FIXED, PADDED, BINARY32, BINARY64, BINARY_VIEW. GIL: not needed; borrows."""
    cdef Span span
    cdef const uint8_t* at
    cdef const int32_t* narrow
    cdef const int64_t* wide
    cdef int32_t words[4]
    if view.layout == Layout.BINARY32:
        narrow = <const int32_t*>view.offsets + view.offset + i
        span.data = view.data + narrow[0]
        span.size = narrow[1] - narrow[0]
    elif view.layout == Layout.BINARY64:
        wide = <const int64_t*>view.offsets + view.offset + i
        span.data = view.data + wide[0]
        span.size = <Py_ssize_t>(wide[1] - wide[0])
    elif view.layout == Layout.BINARY_VIEW:
        # Length, then either the bytes themselves (up to 12) or prefix, block number, place in the block.
        at = item_at(view, i)
        memcpy(words, at, 16)
        span.size = words[0]
        if span.size <= 12:
            span.data = at + 4
        else:
            span.data = <const uint8_t*>view.buffers[words[2]] + words[3]
    else:
        span.data = item_at(view, i)
        span.size = view.width
        if view.layout == Layout.PADDED:
            while span.size and span.data[span.size - 1] == 0:
                span.size -= 1
    return span


cdef inline Span span_of(const ArrayView* view, Py_ssize_t i) noexcept nogil:
    """Return the bytes of item ``i`` of a byte string view, through its dictionary if it has one. GIL: not needed; borrows."""
    if view.layout == Layout.DICTIONARY:
        return plain_span_at(view.dictionary, index_at(view, i))
    return plain_span_at(view, i)


cdef inline Py_ssize_t union_child(const ArrayView* view, Py_ssize_t i) noexcept nogil:
    """Return which child of a union holds item ``i``; NO_MEMBER for a type id that its type does not know. GIL: not needed."""
    return view.members[item_at(view, i)[0]]


cdef inline Py_ssize_t union_item(const ArrayView* view, Py_ssize_t i) noexcept nogil:
    """Number of item ``i`` of a union inside its child. GIL: not needed."""
    if view.layout == Layout.UNION_DENSE:
        return (<const int32_t*>view.offsets)[view.offset + i]
    return view.offset + i


cdef inline Py_ssize_t list_start(const ArrayView* view, Py_ssize_t i) noexcept nogil:
    """Return the first item in children[0] of list ``i`` (lists, their views, MAP, FIXED_LIST). GIL: not needed."""
    if view.layout == Layout.LIST64 or view.layout == Layout.LIST_VIEW64:
        return <Py_ssize_t>(<const int64_t*>view.offsets)[view.offset + i]
    if view.layout == Layout.FIXED_LIST:
        return (view.offset + i) * view.width
    return (<const int32_t*>view.offsets)[view.offset + i]


cdef inline Py_ssize_t list_size(const ArrayView* view, Py_ssize_t i) noexcept nogil:
    """Number of items of list ``i``. GIL: not needed."""
    i += view.offset
    if view.layout == Layout.LIST64:
        return <Py_ssize_t>((<const int64_t*>view.offsets)[i + 1] - (<const int64_t*>view.offsets)[i])
    if view.layout == Layout.LIST_VIEW64:
        return <Py_ssize_t>(<const int64_t*>view.sizes)[i]
    if view.layout == Layout.LIST_VIEW32:
        return (<const int32_t*>view.sizes)[i]
    if view.layout == Layout.FIXED_LIST or view.layout == Layout.SUBARRAY:
        return view.width
    return (<const int32_t*>view.offsets)[i + 1] - (<const int32_t*>view.offsets)[i]


cdef inline Py_ssize_t ucs4_units(const ArrayView* view, const uint8_t* at) noexcept nogil:
    """Return code points of the numpy string at ``at`` before its padding. GIL: not needed."""
    cdef Py_ssize_t n = view.width // 4
    cdef uint32_t unit = 0
    while n:
        memcpy(&unit, at + 4 * (n - 1), 4)
        if unit:
            break
        n -= 1
    return n


cdef inline uint8_t* put_utf8(uint8_t* at, uint32_t point) noexcept nogil:
    """Write one code point as UTF-8 (at most 4 bytes); U+FFFD for what is none. GIL: not needed.

    Columns are checked when they are bound; the replacement only keeps memory safe if another thread writes into the
    array meanwhile.
    """
    if point < 0x80:
        at[0] = <uint8_t>point
        return at + 1
    if point < 0x800:
        at[0] = <uint8_t>(0xC0 | (point >> 6))
        at[1] = <uint8_t>(0x80 | (point & 0x3F))
        return at + 2
    if point > 0x10FFFF or 0xD800 <= point <= 0xDFFF:
        point = 0xFFFD
    if point < 0x10000:
        at[0] = <uint8_t>(0xE0 | (point >> 12))
        at[1] = <uint8_t>(0x80 | ((point >> 6) & 0x3F))
        at[2] = <uint8_t>(0x80 | (point & 0x3F))
        return at + 3
    at[0] = <uint8_t>(0xF0 | (point >> 18))
    at[1] = <uint8_t>(0x80 | ((point >> 12) & 0x3F))
    at[2] = <uint8_t>(0x80 | ((point >> 6) & 0x3F))
    at[3] = <uint8_t>(0x80 | (point & 0x3F))
    return at + 4


cdef inline uint8_t* put_ucs4(uint8_t* out, const ArrayView* view, Py_ssize_t i) noexcept nogil:
    """Write the numpy string ``i`` as UTF-8 (at most ``width`` bytes). GIL: not needed."""
    cdef const uint8_t* at = item_at(view, i)
    cdef Py_ssize_t j
    cdef uint32_t unit = 0
    for j in range(ucs4_units(view, at)):
        memcpy(&unit, at + 4 * j, 4)
        out = put_utf8(out, swap32(unit) if view.swapped else unit)
    return out
