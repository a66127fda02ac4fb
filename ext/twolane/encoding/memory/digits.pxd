"""Decimal digits of integers, two at a time, straight to their place. All inline, all without the GIL."""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from *:
    """
    static const char twolane_pairs[] =
        "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
        "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
        "8081828384858687888990919293949596979899";
    """
    const char* twolane_pairs


cdef inline uint8_t* put_pair(uint8_t* at, uint32_t value) noexcept nogil:
    """Write two digits of a number below 100. GIL: not needed."""
    memcpy(at, twolane_pairs + 2 * value, 2)
    return at + 2


cdef inline uint8_t* put_four(uint8_t* at, uint32_t value) noexcept nogil:
    """Write four digits of a number below 10 ** 4. GIL: not needed."""
    return put_pair(put_pair(at, value // 100), value % 100)


cdef inline uint8_t* put_eight(uint8_t* at, uint64_t value) noexcept nogil:
    """Write eight digits of a number below 10 ** 8. GIL: not needed."""
    return put_four(put_four(at, <uint32_t>value // 10_000), <uint32_t>value % 10_000)


cdef inline uint8_t* put_first(uint8_t* at, uint32_t value) noexcept nogil:
    """Write the digits of a number below 10 ** 4 without zeros before them. GIL: not needed."""
    if value >= 1000:
        return put_four(at, value)
    if value >= 100:
        at[0] = <uint8_t>(c"0" + value // 100)
        return put_pair(at + 1, value % 100)
    if value >= 10:
        return put_pair(at, value)
    at[0] = <uint8_t>(c"0" + value)
    return at + 1


cdef inline uint8_t* put_unsigned(uint8_t* at, uint64_t value) noexcept nogil:
    """Write decimal digits, at most 20. GIL: not needed."""
    cdef uint64_t high
    if value < 10_000:
        return put_first(at, <uint32_t>value)
    if value < 100_000_000:
        at = put_first(at, <uint32_t>value // 10_000)
        return put_four(at, <uint32_t>value % 10_000)
    high = value // 100_000_000
    if high < 10_000:
        at = put_first(at, <uint32_t>high)
    elif high < 100_000_000:
        at = put_first(at, <uint32_t>high // 10_000)
        at = put_four(at, <uint32_t>high % 10_000)
    else:
        at = put_first(at, <uint32_t>(high // 100_000_000))
        at = put_eight(at, high % 100_000_000)
    return put_eight(at, value % 100_000_000)


cdef inline uint8_t* put_signed(uint8_t* at, int64_t value) noexcept nogil:
    """Write decimal digits with a minus sign, at most 20. GIL: not needed."""
    if value < 0:
        at[0] = c"-"
        return put_unsigned(at + 1, <uint64_t>0 - <uint64_t>value)
    return put_unsigned(at, <uint64_t>value)


cdef inline uint8_t* put_uuid(uint8_t* at, const uint8_t* data) noexcept nogil:
    """Write the 36 characters of a UUID of 16 bytes. GIL: not needed."""
    cdef const char* digits = "0123456789abcdef"
    cdef int i
    for i in range(16):
        if i == 4 or i == 6 or i == 8 or i == 10:
            at[0] = c"-"
            at += 1
        at[0] = <uint8_t>digits[data[i] >> 4]
        at[1] = <uint8_t>digits[data[i] & 15]
        at += 2
    return at
