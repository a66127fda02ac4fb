"""ArrayView: one column's memory, as numpy or Arrow laid it out, read in place.

A vector borrows everything; the Column (columns.pyx) that holds it owns the lenders. Item ``i`` of a vector is item
``offset + i`` of its pointers, so that a part of a column is the same vector with another offset and length.
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
    VIEWED                  # 16-byte views (Arrow binary_view, string_view)
    DICTIONARY              # index_kind indices into dictionary
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
    Layout kind
    Layout index_kind                 # of a DICTIONARY
    LogicalType meaning
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
    const void* sizes               # of LIST_VIEW; of VIEWED, the blocks' own
    const void** buffers            # of VIEWED: the blocks that long strings lie in
    const uint8_t* members          # of a union: the child of each of 256 type ids, NO_MEMBER where there is none
    ArrayView* dictionary
    ArrayView* children
    Py_ssize_t n_children
    Py_ssize_t n_buffers            # of VIEWED
    const void* zone                # of a zoned TIMESTAMP: a str or a tzinfo, borrowed from the lenders
    const char* name                # of a child; borrowed from the schema, NULL at the top
    const char* unread              # of UNREADABLE: what it is, borrowed from the lenders


cdef inline bint is_valid(const ArrayView* vector, Py_ssize_t i) noexcept nogil:
    """Whether item ``i`` is not null. GIL: not needed."""
    if vector.validity == NULL:
        return vector.kind != NULLS
    i += vector.offset
    return (vector.validity[i >> 3] >> (i & 7)) & 1


cdef inline uint64_t bits_at(const uint8_t* bitmap, Py_ssize_t first, Py_ssize_t n) noexcept nogil:
    """Bits ``first`` to ``first + n`` of a bitmap, at most 64, the first lowest. Only their bytes are read. GIL: not needed."""
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


cdef inline uint64_t valid_bits(const ArrayView* vector, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
    """Which of ``n`` items (at most 64) from ``start`` on are not null, the first lowest. GIL: not needed."""
    if vector.validity == NULL:
        return 0 if vector.kind == NULLS else ~<uint64_t>0
    return bits_at(vector.validity, vector.offset + start, n)


cdef inline const uint8_t* item_at(const ArrayView* vector, Py_ssize_t i) noexcept nogil:
    """Where item ``i`` of a vector of fixed width starts. GIL: not needed; borrows."""
    return vector.data + (vector.offset + i) * vector.stride


cdef inline uint16_t swap16(uint16_t v) noexcept nogil:
    return <uint16_t>((v >> 8) | (v << 8))


cdef inline uint32_t swap32(uint32_t v) noexcept nogil:
    return (v >> 24) | ((v >> 8) & 0xFF00) | ((v << 8) & 0xFF0000) | (v << 24)


cdef inline uint64_t swap64(uint64_t v) noexcept nogil:
    return (<uint64_t>swap32(<uint32_t>v) << 32) | swap32(<uint32_t>(v >> 32))


cdef inline int64_t load_int(Layout kind, bint swapped, const uint8_t* at) noexcept nogil:
    """An integer of any width; memcpy because numpy fields need not be aligned. GIL: not needed."""
    cdef uint16_t two = 0
    cdef uint32_t four = 0
    cdef uint64_t eight = 0
    if kind == Layout.INT64 or kind == Layout.UINT64:
        memcpy(&eight, at, 8)
        return <int64_t>(swap64(eight) if swapped else eight)
    if kind == Layout.INT32 or kind == Layout.UINT32:
        memcpy(&four, at, 4)
        if swapped:
            four = swap32(four)
        return <int64_t><int32_t>four if kind == Layout.INT32 else <int64_t>four
    if kind == Layout.INT16 or kind == Layout.UINT16:
        memcpy(&two, at, 2)
        if swapped:
            two = swap16(two)
        return <int64_t><int16_t>two if kind == Layout.INT16 else <int64_t>two
    if kind == Layout.INT8:
        return <int64_t>(<const int8_t*>at)[0]
    return <int64_t>at[0]       # UINT8, BYTE_BOOL


cdef inline int64_t int_at(const ArrayView* vector, Py_ssize_t i) noexcept nogil:
    """Item ``i`` of an integer vector; a uint64 above int64's range comes out negative. GIL: not needed."""
    return load_int(vector.kind, vector.swapped, item_at(vector, i))


cdef inline bint bool_at(const ArrayView* vector, Py_ssize_t i) noexcept nogil:
    """Item ``i`` of a boolean vector. GIL: not needed."""
    if vector.kind == Layout.BIT:
        i += vector.offset
        return (vector.data[i >> 3] >> (i & 7)) & 1
    return item_at(vector, i)[0] != 0


cdef inline double half_to_double(uint16_t half) noexcept nogil:
    """IEEE 754 binary16 to double, exact. GIL: not needed."""
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


cdef inline double float_at(const ArrayView* vector, Py_ssize_t i) noexcept nogil:
    """Item ``i`` of a numeric vector as a double. GIL: not needed."""
    cdef const uint8_t* at = item_at(vector, i)
    cdef uint16_t two = 0
    cdef uint32_t four = 0
    cdef uint64_t eight = 0
    cdef float single = 0
    cdef double value = 0
    if vector.kind == Layout.FLOAT64:
        memcpy(&eight, at, 8)
        if vector.swapped:
            eight = swap64(eight)
        memcpy(&value, &eight, 8)
        return value
    if vector.kind == Layout.FLOAT32:
        memcpy(&four, at, 4)
        if vector.swapped:
            four = swap32(four)
        memcpy(&single, &four, 4)
        return <double>single
    if vector.kind == Layout.FLOAT16:
        memcpy(&two, at, 2)
        return half_to_double(swap16(two) if vector.swapped else two)
    if vector.kind == Layout.UINT64:
        return <double><uint64_t>load_int(vector.kind, vector.swapped, at)
    return <double>load_int(vector.kind, vector.swapped, at)


cdef inline Py_ssize_t index_at(const ArrayView* vector, Py_ssize_t i) noexcept nogil:
    """Index of item ``i`` of a DICTIONARY vector. GIL: not needed."""
    return <Py_ssize_t>load_int(vector.index_kind, vector.swapped, item_at(vector, i))


cdef inline bint has_value(const ArrayView* vector, Py_ssize_t i) noexcept nogil:
    """Whether item ``i`` is neither null nor the index of a null inside the dictionary. GIL: not needed."""
    return is_valid(vector, i) and (
        vector.kind != Layout.DICTIONARY or is_valid(vector.dictionary, index_at(vector, i)))


cdef inline Span plain_span_at(const ArrayView* vector, Py_ssize_t i) noexcept nogil:
    """The bytes of item ``i``: FIXED, PADDED, BINARY32, BINARY64, VIEWED. GIL: not needed; borrows."""
    cdef Span span
    cdef const uint8_t* at
    cdef const int32_t* narrow
    cdef const int64_t* wide
    cdef int32_t view[4]
    if vector.kind == Layout.BINARY32:
        narrow = <const int32_t*>vector.offsets + vector.offset + i
        span.data = vector.data + narrow[0]
        span.size = narrow[1] - narrow[0]
    elif vector.kind == Layout.BINARY64:
        wide = <const int64_t*>vector.offsets + vector.offset + i
        span.data = vector.data + wide[0]
        span.size = <Py_ssize_t>(wide[1] - wide[0])
    elif vector.kind == Layout.VIEWED:
        # Length, then either the bytes themselves (up to 12) or prefix, block number, place in the block.
        at = item_at(vector, i)
        memcpy(view, at, 16)
        span.size = view[0]
        if span.size <= 12:
            span.data = at + 4
        else:
            span.data = <const uint8_t*>vector.buffers[view[2]] + view[3]
    else:
        span.data = item_at(vector, i)
        span.size = vector.width
        if vector.kind == Layout.PADDED:
            while span.size and span.data[span.size - 1] == 0:
                span.size -= 1
    return span


cdef inline Span span_of(const ArrayView* vector, Py_ssize_t i) noexcept nogil:
    """The bytes of item ``i`` of a byte string vector, through its dictionary if it has one. GIL: not needed; borrows."""
    if vector.kind == Layout.DICTIONARY:
        return plain_span_at(vector.dictionary, index_at(vector, i))
    return plain_span_at(vector, i)


cdef inline Py_ssize_t union_child(const ArrayView* vector, Py_ssize_t i) noexcept nogil:
    """Which child of a union holds item ``i``; NO_MEMBER for a type id that its type does not know. GIL: not needed."""
    return vector.members[item_at(vector, i)[0]]


cdef inline Py_ssize_t union_item(const ArrayView* vector, Py_ssize_t i) noexcept nogil:
    """Number of item ``i`` of a union inside its child. GIL: not needed."""
    if vector.kind == Layout.UNION_DENSE:
        return (<const int32_t*>vector.offsets)[vector.offset + i]
    return vector.offset + i


cdef inline Py_ssize_t list_start(const ArrayView* vector, Py_ssize_t i) noexcept nogil:
    """First item in children[0] of list ``i`` (LIST32, LIST64, the views, MAP, FIXED_LIST). GIL: not needed."""
    if vector.kind == Layout.LIST64 or vector.kind == Layout.LIST_VIEW64:
        return <Py_ssize_t>(<const int64_t*>vector.offsets)[vector.offset + i]
    if vector.kind == Layout.FIXED_LIST:
        return (vector.offset + i) * vector.width
    return (<const int32_t*>vector.offsets)[vector.offset + i]


cdef inline Py_ssize_t list_size(const ArrayView* vector, Py_ssize_t i) noexcept nogil:
    """Number of items of list ``i``. GIL: not needed."""
    i += vector.offset
    if vector.kind == Layout.LIST64:
        return <Py_ssize_t>((<const int64_t*>vector.offsets)[i + 1] - (<const int64_t*>vector.offsets)[i])
    if vector.kind == Layout.LIST_VIEW64:
        return <Py_ssize_t>(<const int64_t*>vector.sizes)[i]
    if vector.kind == Layout.LIST_VIEW32:
        return (<const int32_t*>vector.sizes)[i]
    if vector.kind == Layout.FIXED_LIST or vector.kind == Layout.SUBARRAY:
        return vector.width
    return (<const int32_t*>vector.offsets)[i + 1] - (<const int32_t*>vector.offsets)[i]


cdef inline Py_ssize_t ucs4_units(const ArrayView* vector, const uint8_t* at) noexcept nogil:
    """Code points of the numpy string at ``at`` before its padding. GIL: not needed."""
    cdef Py_ssize_t n = vector.width // 4
    cdef uint32_t unit = 0
    while n:
        memcpy(&unit, at + 4 * (n - 1), 4)
        if unit:
            break
        n -= 1
    return n


cdef inline uint8_t* put_utf8(uint8_t* at, uint32_t point) noexcept nogil:
    """Write one code point as UTF-8 (at most 4 bytes); U+FFFD for what is none. GIL: not needed.

    Columns are checked when they are bound; the replacement only keeps memory safe if somebody writes into the
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


cdef inline uint8_t* put_ucs4(uint8_t* out, const ArrayView* vector, Py_ssize_t i) noexcept nogil:
    """Write the numpy string ``i`` as UTF-8 (at most ``width`` bytes). GIL: not needed."""
    cdef const uint8_t* at = item_at(vector, i)
    cdef Py_ssize_t j
    cdef uint32_t unit = 0
    for j in range(ucs4_units(vector, at)):
        memcpy(&unit, at + 4 * j, 4)
        out = put_utf8(out, swap32(unit) if vector.swapped else unit)
    return out
