"""Many ticks to other ticks, at the speed of memory: for timestamps alone."""
from libc.stdint cimport INT64_MAX, int64_t, uint64_t

from twolane._units cimport MS_NS

# Division of many ticks. Each loop also gathers one word, whose top bit is set if any tick is below one millisecond
# (negative, NaT, which is the lowest int64) or above the limit: unsigned arithmetic that wraps on purpose.
# With AVX-512 (DQ: eight conversions and products of 64 bits at once) the quotient is estimated in doubles and put right
# by its remainder; the estimate is off by at most one while the quotient is < 2 ** 50. Measured on an EPYC, per value:
# 0.30 ns, against 0.88 ns for the multiplication by the reciprocal that compilers make of the plain loop, 1.9 ns for
# numpy's astype. The same trick in AVX2, which must build both conversions and products from pieces, is slower (1.15 ns).
cdef extern from *:
    """
    #include <stdint.h>
    static uint64_t twolane_divide_plain(const int64_t *restrict ticks, int64_t *restrict out, int64_t n,
                                         const uint64_t per_ms, uint64_t limit) {
        uint64_t bad = 0;
        for (int64_t i = 0; i < n; ++i) {
            uint64_t tick = (uint64_t)ticks[i];
            bad |= tick | (tick - per_ms) | (limit - tick);
            out[i] = (int64_t)(tick / per_ms);
        }
        return bad;
    }
    #if defined(__GNUC__) && defined(__x86_64__)
    __attribute__((target("avx512f,avx512dq,avx512vl,prefer-vector-width=512")))
    static uint64_t twolane_divide_wide(const int64_t *restrict ticks, int64_t *restrict out, int64_t n,
                                        const uint64_t per_ms, uint64_t limit) {
        const double reciprocal = 1.0 / (double)per_ms;
        uint64_t bad = 0;
        for (int64_t i = 0; i < n; ++i) {
            uint64_t tick = (uint64_t)ticks[i];
            bad |= tick | (tick - per_ms) | (limit - tick);
            uint64_t quotient = (uint64_t)(int64_t)((double)(int64_t)tick * reciprocal);
            uint64_t rest = tick - quotient * per_ms;
            out[i] = (int64_t)(quotient - (rest >> 63) + ((per_ms - 1 - rest) >> 63));
        }
        return bad;
    }
    #define twolane_has_wide() (__builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    #else
    #define twolane_divide_wide twolane_divide_plain
    #define twolane_has_wide() 0
    #endif
    """
    uint64_t twolane_divide_plain(const int64_t* ticks, int64_t* out, int64_t n, uint64_t per_ms, uint64_t limit) noexcept nogil
    uint64_t twolane_divide_wide(const int64_t* ticks, int64_t* out, int64_t n, uint64_t per_ms, uint64_t limit) noexcept nogil
    bint twolane_has_wide() noexcept nogil


cdef inline bint divide_all(const int64_t* ticks, int64_t* out, Py_ssize_t n, const uint64_t per_ms) noexcept nogil:
    """Set out = ticks // per_ms; return whether each is at least 1 (microseconds: < 2 ** 59). GIL: not needed."""
    cdef uint64_t limit = <uint64_t>1 << 59 if per_ms < MS_NS else <uint64_t>INT64_MAX
    if twolane_has_wide():
        return (twolane_divide_wide(ticks, out, n, per_ms, limit) >> 63) == 0
    return (twolane_divide_plain(ticks, out, n, per_ms, limit) >> 63) == 0


# Wraps on purpose (unsigned), and gathers one word: its sign bit is set if any value was out of range, NaT included.
cdef inline bint copy_all(const int64_t* ticks, int64_t* out, Py_ssize_t n, int64_t low, int64_t high,
                          int64_t factor) noexcept nogil:
    """Set out = ticks * factor; whether every tick lies in low..high. GIL: not needed."""
    cdef uint64_t bad = 0, value
    cdef Py_ssize_t i
    for i in range(n):
        value = <uint64_t>ticks[i]
        bad |= value | (value - <uint64_t>low) | (<uint64_t>high - value)
        out[i] = <int64_t>(value * <uint64_t>factor)
    return (bad >> 63) == 0
