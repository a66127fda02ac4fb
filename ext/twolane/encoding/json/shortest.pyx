# distutils: language = c++
# cython: cdivision=True
"""The shortest decimal that reads back as the same double.

Doubles of everyday size are written here, in exact integer arithmetic; what is left, and every float, goes to C++17's
``std::to_chars`` (Ryu), which takes three times as long. Both need no GIL, and write what Python's repr does. The only C++ of
the project stands here by itself: CPython's own conversion (``PyOS_double_to_string``) allocates, and needs the GIL.
"""
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

from twolane.encoding.memory.digits cimport put_eight, put_unsigned

cdef extern from *:
    """
    #include <charconv>
    #include <cstring>
    #if defined(_MSC_VER)
    #include <intrin.h>
    #endif
    // Finite values only; at most 26 characters. The shortest digits, written as Python's repr writes them: with an exponent
    // below 1e-4 and from 1e16 on. JSON readers that tell integers from floats need the ".0".
    template <typename T> static char* twolane_put_any(char* at, T value) {
        char digits[40];
        const char* end = std::to_chars(digits, digits + 40, value, std::chars_format::scientific).ptr;
        const char* from = digits;
        if (*from == '-') *at++ = *from++;
        const char* e = end;
        while (*--e != 'e') {}
        int exponent = 0;
        for (const char* c = e + 2; c < end; ++c) exponent = 10 * exponent + (*c - '0');
        if (e[1] == '-') exponent = -exponent;
        if (exponent < -4 || exponent >= 16) {
            std::memcpy(at, from, end - from);
            return at + (end - from);
        }
        if (exponent < 0) {
            std::memcpy(at, "0.000", 5);
            at += 1 - exponent;
        }
        int places = exponent;                      // that are still to come before the point
        for (const char* c = from; c < e || places >= 0; ++c) {
            if (c < e && *c == '.') continue;
            *at++ = c < e ? *c : '0';
            if (places-- == 0) *at++ = '.';
        }
        if (at[-1] == '.') *at++ = '0';
        return at;
    }
    // The product of two numbers of 64 bits: its low half, and its high half through the pointer.
    static inline uint64_t twolane_multiply(uint64_t a, uint64_t b, uint64_t* high) {
    #if defined(__SIZEOF_INT128__)
        __extension__ typedef unsigned __int128 wide;
        const wide product = (wide)a * b;
        *high = (uint64_t)(product >> 64);
        return (uint64_t)product;
    #elif defined(_MSC_VER) && defined(_M_X64)
        return _umul128(a, b, high);
    #elif defined(_MSC_VER) && defined(_M_ARM64)
        *high = __umulh(a, b);
        return a * b;
    #else
        const uint64_t a0 = a & 0xFFFFFFFF, a1 = a >> 32, b0 = b & 0xFFFFFFFF, b1 = b >> 32;
        const uint64_t middle = a1 * b0 + ((a0 * b0) >> 32);
        *high = a1 * b1 + (middle >> 32) + ((a0 * b1 + (middle & 0xFFFFFFFF)) >> 32);
        return a * b;
    #endif
    }
    """
    char* twolane_put_any[T](char* at, T value) noexcept nogil
    uint64_t multiply "twolane_multiply"(uint64_t a, uint64_t b, uint64_t* high) noexcept nogil

cdef enum:
    FIVES = 21
    TENS = 17

cdef double LEAST = 0.0001220703125             # 2 ** -13
cdef double MOST = 9007199254740992             # 2 ** 53: below it every integer is a double
cdef uint64_t FIVE_TO[FIVES]
cdef uint64_t TEN_TO[TENS]
cdef int power
FIVE_TO[0] = TEN_TO[0] = 1
for power in range(1, FIVES):
    FIVE_TO[power] = 5 * FIVE_TO[power - 1]
for power in range(1, TENS):
    TEN_TO[power] = 10 * TEN_TO[power - 1]


cdef uint8_t* put_fraction(uint8_t* at, double value) noexcept nogil:
    """Write a double between LEAST and MOST that is no integer.

    The double is c * 2**q, its neighbours are 2**q away on either side, and any decimal nearer than half of that reads back
    as it. With 10**-n at most 2**q, less than ten times, an integer of units 10**-n lies so near, and at most one
    multiple of ten: that one if there is one, else the nearest integer, is the shortest decimal. All is counted in
    parts of such a unit, ``one`` of them, so that nothing has to be rounded: 2c * 5**n fits into 128 bits. Powers of
    two, whose lower neighbour is nearer, are multiples of ten themselves, so it does not matter. GIL: not needed.
    """
    cdef uint64_t bits = 0, c, high = 0, low, units, rest, one, half, down, whole, fraction
    cdef int q, n, shift
    memcpy(&bits, &value, 8)
    c = (bits & ((<uint64_t>1 << 52) - 1)) | (<uint64_t>1 << 52)
    q = 1075 - <int>(bits >> 52)                # the exponent's opposite, 1 to 65
    n = (q * 78913 >> 18) + 1                   # q * log10(2), rounded up
    shift = q - n + 1
    one = <uint64_t>1 << shift
    half = FIVE_TO[n]                           # of 2**q
    low = multiply(2 * c, half, &high)
    units = (high << (64 - shift)) | (low >> shift)
    rest = low & (one - 1)
    down = units % 10 * one + rest              # never just half: the middle of two doubles has more places than n
    if down < half or 10 * one - down < half:
        units = units // 10 + (down > half)
        n -= 1
        if units % 100_000_000 == 0:            # at most 16 digits, so this happens once
            units //= 100_000_000
            n -= 8
        if units % 10_000 == 0:
            units //= 10_000
            n -= 4
        if units % 100 == 0:
            units //= 100
            n -= 2
        if units % 10 == 0:
            units //= 10
            n -= 1
    else:
        units += 2 * rest + (units & 1) > one       # to the even one from the middle
    whole = <uint64_t>value
    at = put_unsigned(at, whole)
    at[0] = c"."
    at += 1
    if n > 16:                                  # zeros, and a first digit (or another zero), before sixteen
        memcpy(at, b"000", 3)
        at[n - 17] = <uint8_t>(c"0" + units // TEN_TO[16])
        at += n - 16
        n = 16
        fraction = units % TEN_TO[16]
    else:
        fraction = (units - whole * TEN_TO[n]) * TEN_TO[16 - n]
    put_eight(at, fraction // 100_000_000)
    put_eight(at + 8, fraction % 100_000_000)
    return at + n


cdef char* put_everyday(char* at, double value) noexcept nogil:
    """Write a double without an exponent (room: 40 bytes); NULL, and nothing, if it is none for that. GIL: not needed.

    That is zero, and what lies between 2**-13 and 2**53: what all writers agree on.
    """
    cdef double size = -value if value < 0 else value
    cdef uint64_t bits = 0
    cdef uint8_t* start = <uint8_t*>at
    memcpy(&bits, &value, 8)
    if bits == 0:
        memcpy(at, b"0.0", 3)
        return at + 3
    if not LEAST <= size < MOST:
        return NULL
    if value < 0:
        start[0] = c"-"
        start += 1
    if size == <double><int64_t>size:
        start = put_unsigned(start, <uint64_t>size)
        memcpy(start, b".0", 2)
        return <char*>start + 2
    return <char*>put_fraction(start, size)


cdef char* put_shortest(char* at, double value) noexcept nogil:
    """Write a finite double (room: 40 bytes) as Python's repr does. GIL: not needed."""
    cdef char* end = put_everyday(at, value)
    return end if end != NULL else twolane_put_any[double](at, value)


cdef char* put_shortest_single(char* at, float value) noexcept nogil:
    """Write a finite float with the digits that a float needs. GIL: not needed."""
    return twolane_put_any[float](at, value)
