"""Python objects to JSON, many at a time: rows, and columns of objects.

Objects made of what JSON itself knows (dicts, lists, tuples, texts, ints, doubles of everyday size, booleans, None, and
no classes derived from these) are written here. No code of theirs runs meanwhile, so with the GIL nothing changes under the
writer's hands. All others, and whatever has to be refused, are left to orjson, or to the standard library.

orjson is called with a list of some hundred objects instead of each alone: a call, its options and its bytes object cost
more than the copy here. Between the objects lie fragments that are a newline, which JSON text has nowhere else: control
characters in strings are escaped.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.object cimport PyObject, PyTypeObject
from libc.stdint cimport SIZE_MAX, uint8_t
from libc.string cimport memchr, memcpy

from twolane.encoding.memory.arena cimport Arena, Buffer, append, has_room, has_room_onwards
from twolane.encoding.memory.digits cimport put_signed
from twolane.encoding.json.text cimport put_text
from twolane.encoding.columns.objects cimport NO_GIL, is_missing
from twolane.encoding.json.shortest cimport put_everyday
from twolane.encoding.memory.utf8 cimport PyUnicode_DATA, PyUnicode_GET_LENGTH, PyUnicode_IS_COMPACT_ASCII, most_utf8, put_str

from twolane.encoding.mismatch import Mismatch

cdef extern from "Python.h":
    PyTypeObject PyUnicode_Type, PyLong_Type, PyFloat_Type, PyDict_Type, PyList_Type, PyTuple_Type
    PyObject* Py_None
    PyObject* Py_True
    PyObject* Py_False
    PyTypeObject* Py_TYPE(PyObject* value)
    void PyErr_Clear()
    void Py_DECREF(PyObject* value)
    long long PyLong_AsLongLongAndOverflow(PyObject* value, int* overflow)
    double PyFloat_AS_DOUBLE(PyObject* value)
    bint PyDict_Next(PyObject* fields, Py_ssize_t* place, PyObject** key, PyObject** value)
    PyObject* PyDict_Copy(PyObject* fields)
    PyObject* PyList_AsTuple(PyObject* items)
    Py_ssize_t PyList_GET_SIZE(PyObject* items)
    PyObject* PyList_GET_ITEM(PyObject* items, Py_ssize_t i)
    Py_ssize_t PyTuple_GET_SIZE(PyObject* items)
    PyObject* PyTuple_GET_ITEM(PyObject* items, Py_ssize_t i)

cdef enum:
    MANY = 256              # objects in a call of orjson, while they are small
    TEXT = 256 * 1024       # bytes that such a call should give
    LONG = 16 * 1024        # bytes of a text that orjson may write: here each has room to be escaped all over
    DEEP = 100              # levels, well below orjson's and the interpreter's limits
    SCALAR = 48             # bytes of a number and its separators
    RECORD = 1024
    FEW = 32                # fields of a dict


# The same few keys come in every row, most of them as the same str: found by its address, its text is ready. What stands
# here holds a reference, so no other str can have that address. Without the GIL each thread has its own, of interned strs
# only: those are immortal there, and so nothing has to be given back when the thread ends.
cdef extern from *:
    """
    #define TWOLANE_KEYS 1024
    #define TWOLANE_KEY_TEXT 48
    #if !defined(Py_GIL_DISABLED)
    #define TWOLANE_ONE_EACH
    #define twolane_lasts(text) (Py_INCREF(text), 1)
    #define twolane_forget(text) Py_XDECREF(text)
    #else
    #ifdef _MSC_VER
    #define TWOLANE_ONE_EACH __declspec(thread)
    #else
    #define TWOLANE_ONE_EACH __thread
    #endif
    #define twolane_lasts(text) (PyUnicode_CHECK_INTERNED(text) != 0)
    #define twolane_forget(text) ((void)(text))
    #endif

    typedef struct {
        PyObject* name;
        size_t size;
        unsigned char text[TWOLANE_KEY_TEXT];   /* with quotes and colon */
    } twolane_key;
    static TWOLANE_ONE_EACH twolane_key twolane_known_keys[TWOLANE_KEYS];

    /* References to the keys and values of a dict, taken under its lock; -1 if there are more than so many. */
    static Py_ssize_t twolane_entries(PyObject* fields, PyObject** pairs, Py_ssize_t most) {
        Py_ssize_t n = 0;
    #ifdef Py_GIL_DISABLED
        Py_ssize_t place = 0;
        Py_BEGIN_CRITICAL_SECTION(fields);
        if (PyDict_GET_SIZE(fields) > most) n = -1;
        else while (PyDict_Next(fields, &place, &pairs[2 * n], &pairs[2 * n + 1])) {
            Py_INCREF(pairs[2 * n]);
            Py_INCREF(pairs[2 * n + 1]);
            n++;
        }
        Py_END_CRITICAL_SECTION();
    #endif
        return n;
    }
    """
    enum:
        KEYS "TWOLANE_KEYS"
        KEY_TEXT "TWOLANE_KEY_TEXT"
    ctypedef struct Key "twolane_key":
        PyObject* name
        size_t size
        uint8_t* text
    Key* known_keys "twolane_known_keys"
    bint lasts "twolane_lasts"(PyObject* text) noexcept
    void forget "twolane_forget"(PyObject* text) noexcept
    Py_ssize_t entries_of "twolane_entries"(PyObject* fields, PyObject** pairs, Py_ssize_t most) noexcept


cdef Arena dump_objects(tuple values, object dump, object field, bint null_rows, size_t limit, Py_ssize_t* n_done):
    """Encode objects one behind the other; with ``null_rows`` a missing value is a null record, else JSON's null.

    None is begun when so many bytes are reached, but the first in any case.

    Raises SerializationError with the index of the first object that has no JSON form.
    """
    cdef Arena arena = Arena.__new__(Arena)
    cdef Py_ssize_t i = 0, n = len(values), step = 16
    cdef object many = getattr(dump, "many", None)
    cdef uint8_t* at
    arena.start(n)
    if null_rows:
        arena.mark_valid(n)
    try:
        while i < n and (i == 0 or arena.out.size < limit):
            if not has_room_onwards(&arena.out, RECORD, i, n - i):
                raise MemoryError()
            at = NULL
            if not null_rows or type(values[i]) is dict or not is_missing(values[i]):
                at = put_known(arena.out.data + arena.out.size, <PyObject*>values[i], &arena.out, 0)
            if at != NULL:
                arena.out.size = at - arena.out.data
                i += 1
                arena.offsets[i] = arena.out.size
                continue
            arena.out.size = arena.offsets[i]
            step = min(step, n - i)
            if many is not None and dump_many(values, i, i + step, arena, many, null_rows):
                i += step
                step = max(1, min(<Py_ssize_t>MANY, TEXT * i // max(1, <Py_ssize_t>arena.out.size)))
                continue
            # Objects that orjson refuses once, it will refuse again.
            many = None
            if null_rows and is_missing(values[i]):
                arena.valid[i] = 0
            else:
                append_text(arena, dump(values[i]))
            i += 1
            arena.offsets[i] = arena.out.size
    except Mismatch as error:
        raise error.as_error(i, field) from None
    n_done[0] = i
    return arena


# What follows gives the place behind what it wrote, or NULL: the value is none for here, or there is no memory, which the
# other way will notice too. Part of it may be written by then. Before every value and behind it is room for a SCALAR.


cdef uint8_t* moved(Buffer* out, uint8_t* at, size_t more) noexcept:
    out.size = at - out.data
    return out.data + out.size if has_room(out, more) else NULL


cdef inline uint8_t* room(Buffer* out, uint8_t* at, size_t more) noexcept:
    """Return the same place, with so much room behind it. ``out.size`` is not kept up: that is a load and a store for each move."""
    return at if <size_t>(out.data + out.capacity - at) >= more else moved(out, at, more)


cdef inline uint8_t* put_known(uint8_t* at, PyObject* value, Buffer* out, int depth) noexcept:
    """Write a value that JSON knows."""
    cdef PyTypeObject* kind = Py_TYPE(value)
    cdef long long number
    cdef int overflow = 0
    if kind == &PyUnicode_Type:
        return put_string(at, value, out)
    if kind == &PyLong_Type:
        number = PyLong_AsLongLongAndOverflow(value, &overflow)
        return put_signed(at, number) if overflow == 0 else NULL
    if kind == &PyFloat_Type:
        return <uint8_t*>put_everyday(<char*>at, PyFloat_AS_DOUBLE(value))
    if value == Py_None or value == Py_True:
        memcpy(at, b"null" if value == Py_None else b"true", 4)
        return at + 4
    if value == Py_False:
        memcpy(at, b"false", 5)
        return at + 5
    return put_nested(at, value, out, depth)


cdef uint8_t* put_nested(uint8_t* at, PyObject* value, Buffer* out, int depth) noexcept:
    cdef PyTypeObject* kind = Py_TYPE(value)
    if NO_GIL and depth < DEEP and (kind == &PyDict_Type or kind == &PyList_Type):
        return put_copy(at, value, kind == &PyDict_Type, out, depth)
    if depth < DEEP:
        if kind == &PyDict_Type:
            return put_dict(at, value, out, depth)
        if kind == &PyList_Type or kind == &PyTuple_Type:
            return put_items(at, value, kind == &PyList_Type, out, depth)
    return NULL


cdef uint8_t* put_string(uint8_t* at, PyObject* text, Buffer* out) noexcept:
    """Write a str that is not too long."""
    cdef const char* data
    cdef Py_ssize_t size
    cdef uint8_t* plain
    cdef uint8_t* end
    if PyUnicode_IS_COMPACT_ASCII(text):
        data = <const char*>PyUnicode_DATA(text)
        size = PyUnicode_GET_LENGTH(text)
        if size > LONG:
            return NULL
        at = room(out, at, 6 * size + 2 * SCALAR)
        return put_text(at, <const uint8_t*>data, size) if at != NULL else NULL
    size = most_utf8(text)
    if size > LONG:
        return NULL
    # Its UTF-8 is written behind the longest form that it may become, for a moment.
    at = room(out, at, 7 * size + 3 * SCALAR)
    if at == NULL:
        return NULL
    plain = at + 6 * size + 2 * SCALAR
    end = put_str(plain, text)
    return put_text(at, plain, end - plain) if end != NULL else NULL        # NULL: a lone surrogate


cdef inline uint8_t* put_key(uint8_t* at, PyObject* key, Buffer* out) noexcept:
    """Write a key and its colon, from the known ones if it is there."""
    cdef Key* known = &known_keys[(<size_t>key >> 4 ^ <size_t>key >> 12) % KEYS]
    if known.name == key:
        at = room(out, at, KEY_TEXT + SCALAR)
        if at == NULL:
            return NULL
        memcpy(at, known.text, 16)
        if known.size > 16:
            memcpy(at + 16, known.text + 16, KEY_TEXT - 16)
        return at + known.size
    return put_new_key(at, key, out, known)


cdef uint8_t* put_new_key(uint8_t* at, PyObject* key, Buffer* out, Key* place) noexcept:
    """Write a key and remember it."""
    cdef size_t size, start = at - out.data
    if Py_TYPE(key) != &PyUnicode_Type:
        return NULL
    at = put_string(at, key, out)
    if at == NULL:
        return NULL
    at[0] = c":"
    at += 1
    size = at - out.data - start
    if size <= KEY_TEXT and lasts(key):
        forget(place.name)
        place.name = key
        place.size = size
        memcpy(place.text, at - size, size)
    return at


cdef inline uint8_t* close(uint8_t* at, uint8_t bracket, Buffer* out) noexcept:
    """Write the closing bracket in the place of the last comma."""
    at = room(out, at, 2 * SCALAR)
    if at == NULL:
        return NULL
    at[0] = bracket
    return at + 1


cdef uint8_t* put_dict(uint8_t* at, PyObject* fields, Buffer* out, int depth) noexcept:
    """Write a dict."""
    cdef Py_ssize_t place = 0
    cdef PyObject* key = NULL
    cdef PyObject* value = NULL
    cdef bint empty = True
    at[0] = c"{"
    at += 1
    while PyDict_Next(fields, &place, &key, &value):
        at = put_key(at, key, out)
        if at != NULL:
            at = put_known(at, value, out, depth + 1)
        if at == NULL:
            return NULL
        at[0] = c","
        at += 1
        empty = False
    return close(at - (not empty), c"}", out)


cdef uint8_t* put_copy(uint8_t* at, PyObject* value, bint is_dict, Buffer* out, int depth) noexcept:
    """Write a dict or a list that another thread may change at any moment: as it is now, copied under its lock."""
    cdef PyObject* pairs[2 * FEW]
    cdef PyObject* copy
    cdef Py_ssize_t i, n = entries_of(value, pairs, FEW) if is_dict else -1
    if n >= 0:
        at[0] = c"{"
        at += 1
        for i in range(n):
            if at != NULL:
                at = put_key(at, pairs[2 * i], out)
            if at != NULL:
                at = put_known(at, pairs[2 * i + 1], out, depth + 1)
            if at != NULL:
                at[0] = c","
                at += 1
            Py_DECREF(pairs[2 * i])
            Py_DECREF(pairs[2 * i + 1])
        return close(at - (n > 0), c"}", out) if at != NULL else NULL
    copy = PyDict_Copy(value) if is_dict else PyList_AsTuple(value)
    if copy == NULL:
        PyErr_Clear()
        return NULL
    at = put_dict(at, copy, out, depth) if is_dict else put_items(at, copy, False, out, depth)
    Py_DECREF(copy)
    return at


cdef uint8_t* put_items(uint8_t* at, PyObject* items, bint is_list, Buffer* out, int depth) noexcept:
    """Write a list or a tuple."""
    cdef Py_ssize_t i, n = PyList_GET_SIZE(items) if is_list else PyTuple_GET_SIZE(items)
    at[0] = c"["
    at += 1
    for i in range(n):
        at = room(out, at, SCALAR)
        if at != NULL:
            at = put_known(at, PyList_GET_ITEM(items, i) if is_list else PyTuple_GET_ITEM(items, i), out, depth + 1)
        if at == NULL:
            return NULL
        at[0] = c","
        at += 1
    return close(at - (n > 0), c"]", out)


def dump_rows(rows, dump, limit=None):
    """Encode rows of an iterable into one block; an EncodedBatch. None becomes a null record.

    Parameters
    ----------
    rows : iterable
    dump : callable
        One Python object to JSON bytes; raises Mismatch. With ``dump.many``, orjson's function, its default, its options
        and a fragment of one newline, it is called for few rows or none.
    limit : int, optional
        Bytes; no rows are begun when they are reached. All are encoded without it.

    Raises
    ------
    SerializationError
        With the row and the path of the first value that has no JSON form.
    """
    cdef Py_ssize_t n = 0
    return dump_objects(tuple(rows), dump, None, True, SIZE_MAX if limit is None else limit, &n).batch(n, True)


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
        if null_rows and is_missing(values[i]):
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
