"""Constants that more than one module needs, each stated here only. ``_units.pyx`` has the table of units for Python."""
from libc.stdint cimport int64_t

# Macros and not variables: the compiler divides by a constant through a multiplication.
cdef extern from *:
    """
    #include <stdint.h>
    #define TWOLANE_US_NS INT64_C(1000)
    #define TWOLANE_MS_NS INT64_C(1000000)
    #define TWOLANE_S_NS INT64_C(1000000000)
    #define TWOLANE_DAY_NS INT64_C(86400000000000)
    #define TWOLANE_DAY_US INT64_C(86400000000)
    #define TWOLANE_MAX_SINGLE 3.4028235677973366e+38
    #define TWOLANE_GUARD_FROM INT64_C(631152000000)
    #define TWOLANE_GUARD_TO INT64_C(4102444800000)
    """
    const int64_t US_NS "TWOLANE_US_NS"             # nanoseconds of a microsecond
    const int64_t MS_NS "TWOLANE_MS_NS"
    const int64_t S_NS "TWOLANE_S_NS"
    const int64_t DAY_NS "TWOLANE_DAY_NS"
    const int64_t DAY_US "TWOLANE_DAY_US"           # microseconds of a day
    # Milliseconds of 1990-01-01 and 2100-01-01: plain numbers outside are refused as timestamps in another unit.
    const int64_t GUARD_FROM "TWOLANE_GUARD_FROM"
    const int64_t GUARD_TO "TWOLANE_GUARD_TO"       # not included
    # Half way to the power of two above the largest float: doubles from here on become infinite floats.
    const double MAX_SINGLE "TWOLANE_MAX_SINGLE"
