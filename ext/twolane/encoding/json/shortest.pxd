"""The shortest decimal that reads back as the same double (or float)."""


cdef char* put_everyday(char* at, double value) noexcept nogil
cdef char* put_shortest(char* at, double value) noexcept nogil
cdef char* put_shortest_single(char* at, float value) noexcept nogil
