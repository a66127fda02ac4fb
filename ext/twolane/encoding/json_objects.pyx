"""Python objects to JSON, many at a time: rows, and columns of objects.

orjson is called with a list of some hundred objects instead of each alone: a call, its options and its bytes object cost
more than the copy here. Between the objects stand fragments that are a newline, which JSON text has nowhere else: control
characters in strings are escaped.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memchr

from twolane.encoding.arena cimport Arena, append

from twolane.encoding.mismatch import Mismatch

cdef enum:
    MANY = 256              # objects in a call, while they are small
    TEXT = 256 * 1024       # bytes that a call should give


cdef Arena dump_objects(tuple values, object dump, object field, bint null_rows):
    """Encode objects one behind the other; with ``null_rows`` a None is a null record, else JSON's null.

    Raises SerializationError with the index of the first object that has no JSON form.
    """
    cdef Arena arena = Arena.__new__(Arena)
    cdef Py_ssize_t i = 0, n = len(values), step = 16
    cdef object many = getattr(dump, "many", None)
    arena.start(n)
    if null_rows:
        arena.mark_valid(n)
    try:
        while i < n:
            step = min(step, n - i)
            if many is not None and dump_many(values, i, i + step, arena, many, null_rows):
                i += step
                step = max(1, min(<Py_ssize_t>MANY, TEXT * i // max(1, <Py_ssize_t>arena.out.size)))
                continue
            # Objects that orjson refuses once, it will refuse again.
            many = None
            if null_rows and values[i] is None:
                arena.valid[i] = 0
            else:
                append_text(arena, dump(values[i]))
            i += 1
            arena.offsets[i] = arena.out.size
    except Mismatch as error:
        raise error.as_error(i, field) from None
    return arena


def dump_rows(rows, dump):
    """Encode rows into one block; an EncodedBatch. None becomes a null record.

    Parameters
    ----------
    rows : iterable
    dump : callable
        One Python object to JSON bytes; raises Mismatch. With ``dump.many``, orjson's function, its default, its options
        and a fragment of one newline, it is called for few rows or none.

    Raises
    ------
    SerializationError
        With the row and the path of the first value that has no JSON form.
    """
    cdef tuple kept = tuple(rows)
    return dump_objects(kept, dump, None, True).batch(len(kept), True)


cdef int append_text(Arena arena, bytes text) except -1:
    return append(&arena.out, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))


cdef bint dump_many(tuple values, Py_ssize_t start, Py_ssize_t stop, Arena arena, object many,
                    bint null_rows) except -1:
    """Encode objects by one call; False if one of them needs a closer look, and then nothing was written."""
    cdef Py_ssize_t i
    cdef bytes text
    cdef const char* at
    cdef const char* end
    cdef const char* newline
    dumps, default, options, separator = many
    cdef list items = [separator] * (2 * (stop - start))
    for i in range(start, stop):
        items[2 * (i - start)] = values[i]
    try:
        text = dumps(items, default, options)
    except (TypeError, ValueError, RecursionError):
        return False
    # [object,\n,object,\n]
    at = PyBytes_AS_STRING(text) + 1
    end = PyBytes_AS_STRING(text) + PyBytes_GET_SIZE(text)
    for i in range(start, stop):
        newline = <const char*>memchr(at, c"\n", end - at)
        if newline == NULL or newline == at:
            break
        if null_rows and values[i] is None:
            arena.valid[i] = 0
        else:
            append(&arena.out, at, newline - 1 - at)
        arena.offsets[i + 1] = arena.out.size
        at = newline + 2
    if at == end:
        return True
    # One of the objects is, or holds, a fragment with newlines of its own.
    arena.out.size = arena.offsets[start]
    return False
