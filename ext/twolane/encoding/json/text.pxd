"""Pieces of JSON text (RFC 8259): strings, times, decimals, base64. All inline, all without the GIL."""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from twolane._units cimport S_NS
from twolane.encoding.memory.digits cimport twolane_pairs
from twolane.encoding.columns.array_view cimport ArrayView, item_at, put_utf8, swap32, ucs4_units

cdef extern from *:
    """
    static const char twolane_hex[] = "0123456789abcdef";
    static const char twolane_base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    """
    const char* twolane_hex
    const char* twolane_base64


cdef inline uint8_t* put_escaped(uint8_t* at, uint8_t c) noexcept nogil:
    """Write one ASCII character of a string, escaped if JSON wants it (at most 6 bytes). GIL: not needed."""
    if c >= 0x20 and c != c'"' and c != c"\\":
        at[0] = c
        return at + 1
    at[0] = c"\\"
    if c == c'"' or c == c"\\":
        at[1] = c
    elif c == c"\n":
        at[1] = c"n"
    elif c == c"\t":
        at[1] = c"t"
    elif c == c"\r":
        at[1] = c"r"
    elif c == 8:
        at[1] = c"b"
    elif c == 12:
        at[1] = c"f"
    else:
        memcpy(at + 1, b"u00", 3)
        at[4] = twolane_hex[c >> 4]
        at[5] = twolane_hex[c & 15]
        return at + 6
    return at + 2


cdef inline uint64_t needs_escape(uint64_t eight) noexcept nogil:
    """Not zero if one of eight bytes is a control character, a quote or a backslash. GIL: not needed.

    Bit tricks: a byte below 0x20 borrows into its top bit when 0x20 is taken off; a byte equal to c is zero after xor.
    """
    cdef uint64_t ones = 0x0101010101010101
    cdef uint64_t tops = 0x8080808080808080
    cdef uint64_t quote = eight ^ (ones * 0x22)
    cdef uint64_t slash = eight ^ (ones * 0x5C)
    return ((eight - ones * 0x20) & ~eight & tops) | ((quote - ones) & ~quote & tops) | ((slash - ones) & ~slash & tops)


cdef inline uint8_t* put_text_slowly(uint8_t* at, const uint8_t* data, Py_ssize_t size) noexcept nogil:
    """Write a string's rest, byte by byte where something is escaped, and the closing quote. GIL: not needed."""
    cdef Py_ssize_t i = 0
    cdef uint64_t eight = 0
    while i < size:
        while i + 8 <= size:
            memcpy(&eight, data + i, 8)
            if needs_escape(eight):
                break
            memcpy(at, &eight, 8)
            at += 8
            i += 8
        # The eight with something to escape, or the last few, one by one.
        for i in range(i, min(i + 8, size)):
            at = put_escaped(at, data[i])
        i += 1
    at[0] = c'"'
    return at + 1


cdef inline uint8_t* put_text(uint8_t* at, const uint8_t* data, Py_ssize_t size) noexcept nogil:
    """Write a string with its quotes: at most 6 * size + 2 bytes. GIL: not needed.

    Most strings are short and have nothing to escape: two loads that overlap see all bytes of the last part at once.
    """
    cdef uint64_t eight = 0
    cdef uint32_t head = 0, tail = 0
    at[0] = c'"'
    at += 1
    if size >= 8:
        while size > 8:
            memcpy(&eight, data, 8)
            if needs_escape(eight):
                return put_text_slowly(at, data, size)
            memcpy(at, &eight, 8)
            at += 8
            data += 8
            size -= 8
        # The last eight bytes, some of them for the second time.
        memcpy(&eight, data + size - 8, 8)
        if needs_escape(eight):
            return put_text_slowly(at, data, size)
        memcpy(at + size - 8, &eight, 8)
    elif size >= 4:
        memcpy(&head, data, 4)
        memcpy(&tail, data + size - 4, 4)
        if needs_escape(<uint64_t>head << 32 | tail):
            return put_text_slowly(at, data, size)
        memcpy(at, &head, 4)
        memcpy(at + size - 4, &tail, 4)
    elif size:
        # First, middle, last: these are all.
        head = <uint32_t>data[0] << 16 | <uint32_t>data[size >> 1] << 8 | data[size - 1]
        if needs_escape(<uint64_t>0x2020202020000000 | head):
            return put_text_slowly(at, data, size)
        at[0] = data[0]
        at[size >> 1] = data[size >> 1]
        at[size - 1] = data[size - 1]
    at[size] = c'"'
    return at + size + 1


cdef inline uint8_t* put_ucs4_text(uint8_t* at, const ArrayView* view, Py_ssize_t i) noexcept nogil:
    """Write numpy's four-byte string ``i`` with its quotes. GIL: not needed."""
    cdef const uint8_t* data = item_at(view, i)
    cdef Py_ssize_t j
    cdef uint32_t unit = 0
    at[0] = c'"'
    at += 1
    for j in range(ucs4_units(view, data)):
        memcpy(&unit, data + 4 * j, 4)
        if view.swapped:
            unit = swap32(unit)
        at = put_escaped(at, <uint8_t>unit) if unit < 0x80 else put_utf8(at, unit)
    at[0] = c'"'
    return at + 1


cdef inline uint8_t* put_two(uint8_t* at, int64_t value, uint8_t behind) noexcept nogil:
    """Write two digits and a separator. GIL: not needed."""
    memcpy(at, twolane_pairs + 2 * (value % 100), 2)
    at[2] = behind
    return at + 3


cdef inline uint8_t* put_day(uint8_t* at, int64_t days) noexcept nogil:
    """Write ten characters of an ISO 8601 date; years 0 to 9999. GIL: not needed.

    Counted in eras of 400 years from a March, so that the leap day is the last of its year.
    """
    cdef int64_t shifted = days + 719_468
    cdef int64_t era = shifted // 146_097
    cdef int64_t day_of_era = shifted - era * 146_097
    cdef int64_t year_of_era = (day_of_era - day_of_era // 1_460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    cdef int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    cdef int64_t march_month = (5 * day_of_year + 2) // 153
    cdef int64_t month = march_month + 3 if march_month < 10 else march_month - 9
    cdef int64_t year = year_of_era + era * 400 + (month <= 2)
    memcpy(at, twolane_pairs + 2 * (year // 100 % 100), 2)
    at = put_two(at + 2, year % 100, c"-")
    at = put_two(at, month, c"-")
    memcpy(at, twolane_pairs + 2 * (day_of_year - (153 * march_month + 2) // 5 + 1), 2)
    return at + 2


cdef inline uint8_t* put_clock(uint8_t* at, int64_t nanos) noexcept nogil:
    """Write an ISO 8601 time of day: no fraction, six digits or nine of it, as needed. GIL: not needed."""
    cdef int64_t seconds = nanos // S_NS
    cdef int64_t fraction = nanos % S_NS
    cdef int digits = 6 if fraction % 1000 == 0 else 9
    cdef int i
    at = put_two(at, seconds // 3600, c":")
    at = put_two(at, seconds // 60 % 60, c":")
    memcpy(at, twolane_pairs + 2 * (seconds % 60), 2)
    at += 2
    if fraction:
        if digits == 6:
            fraction //= 1000
        at[0] = c"."
        for i in range(digits, 0, -1):
            at[i] = <uint8_t>(c"0" + fraction % 10)
            fraction //= 10
        at += 1 + digits
    return at


cdef inline uint8_t* put_base64(uint8_t* at, const uint8_t* data, Py_ssize_t size) noexcept nogil:
    """Write Base64 (RFC 4648, with padding) in quotes. GIL: not needed."""
    cdef Py_ssize_t i = 0
    cdef uint32_t three
    at[0] = c'"'
    at += 1
    while i < size:
        three = <uint32_t>data[i] << 16
        if i + 1 < size:
            three |= <uint32_t>data[i + 1] << 8
        if i + 2 < size:
            three |= data[i + 2]
        at[0] = twolane_base64[three >> 18]
        at[1] = twolane_base64[(three >> 12) & 63]
        at[2] = twolane_base64[(three >> 6) & 63] if i + 1 < size else c"="
        at[3] = twolane_base64[three & 63] if i + 2 < size else c"="
        at += 4
        i += 3
    at[0] = c'"'
    return at + 1


cdef inline uint8_t* put_scaled(uint8_t* at, const uint8_t* data, int width, int scale) noexcept nogil:
    """Write a decimal (little-endian two's complement of up to 32 bytes) in quotes, with its point. GIL: not needed."""
    at[0] = c'"'
    at = put_wide(at + 1, data, width, scale, (data[width - 1] & 0x80) != 0)
    at[0] = c'"'
    return at + 1


cdef inline uint8_t* put_wide(uint8_t* at, const uint8_t* data, int width, int scale, bint negative) noexcept nogil:
    """Write the same without quotes; where it is not ``negative``, two's complement has no sign. GIL: not needed."""
    cdef uint8_t number[32]
    cdef uint8_t digits[80]
    cdef int i, n = 0
    cdef uint32_t rest
    cdef bint more = True
    memcpy(number, data, width)
    if negative:        # ~number + 1
        rest = 1
        for i in range(width):
            rest += <uint8_t>~number[i]
            number[i] = <uint8_t>rest
            rest >>= 8
    # Long division by ten, from the top byte down, until nothing is left.
    while more or n <= scale:
        rest = 0
        more = False
        for i in range(width - 1, -1, -1):
            rest = (rest << 8) | number[i]
            number[i] = <uint8_t>(rest // 10)
            more = more or number[i] != 0
            rest %= 10
        digits[n] = <uint8_t>(c"0" + rest)
        n += 1
    if negative:
        at[0] = c"-"
        at += 1
    while n:
        if n == scale:
            at[0] = c"."
            at += 1
        n -= 1
        at[0] = digits[n]
        at += 1
    return at
