# distutils: language = c++
"""The shortest decimal that reads back as the same double: C++17's ``std::to_chars`` (Ryu), which needs no GIL.

The only C++ of the project stands here by itself: CPython's own conversion (``PyOS_double_to_string``) allocates, and needs
the GIL.
"""

cdef extern from *:
    """
    #include <charconv>
    #include <cstring>
    // Finite values only; at most 26 characters. JSON readers that tell integers from floats need the ".0".
    template <typename T> static char* twolane_put_shortest(char* at, T value) {
        char* end = std::to_chars(at, at + 32, value).ptr;
        for (const char* c = at; c < end; ++c)
            if (*c == '.' || *c == 'e') return end;
        std::memcpy(end, ".0", 2);
        return end + 2;
    }
    """
    char* twolane_put_shortest[T](char* at, T value) noexcept nogil


cdef char* put_shortest(char* at, double value) noexcept nogil:
    """Write a finite double (room: 34 bytes), give the place behind it. GIL: not needed."""
    return twolane_put_shortest[double](at, value)


cdef char* put_shortest_single(char* at, float value) noexcept nogil:
    """Write a finite float with the digits that a float needs. GIL: not needed."""
    return twolane_put_shortest[float](at, value)
