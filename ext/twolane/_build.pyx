"""How the compiled modules were built: told by the compiler's own macros, so that it cannot be out of date."""

cdef extern from *:
    """
    #if defined(__clang__)
    #define TWOLANE_COMPILER __VERSION__
    #elif defined(__GNUC__)
    #define TWOLANE_COMPILER "GCC " __VERSION__
    #elif defined(_MSC_VER)
    #define TWOLANE_COMPILER "MSVC"
    #else
    #define TWOLANE_COMPILER "unknown compiler"
    #endif
    #ifdef TWOLANE_DEBUG
    #define TWOLANE_DEBUG_FLAG "debug "
    #else
    #define TWOLANE_DEBUG_FLAG
    #endif
    #ifdef TWOLANE_COVERAGE
    #define TWOLANE_COVERAGE_FLAG "coverage "
    #else
    #define TWOLANE_COVERAGE_FLAG
    #endif
    #ifdef __SANITIZE_ADDRESS__
    #define TWOLANE_SANITIZE_FLAG "sanitize "
    #else
    #define TWOLANE_SANITIZE_FLAG
    #endif
    #define TWOLANE_FLAGS TWOLANE_DEBUG_FLAG TWOLANE_COVERAGE_FLAG TWOLANE_SANITIZE_FLAG ""
    """
    const char* TWOLANE_COMPILER
    const char* TWOLANE_FLAGS
    const unsigned int CYTHON_HEX_VERSION

COMPILER = TWOLANE_COMPILER.decode()
CYTHON = ".".join([str(CYTHON_HEX_VERSION >> shift & 0xFF) for shift in (24, 16, 8)])
# Build switches of setup.py that were on.
FLAGS = tuple(TWOLANE_FLAGS.decode().split())
