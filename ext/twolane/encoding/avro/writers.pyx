"""Writers of Avro's types but for records: one class per type, one virtual call per value.

Source: https://avro.apache.org/docs/1.12.0/specification/#binary-encoding
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItemWithError
from cpython.object cimport PyObject
from libc.math cimport isfinite
from libc.stdint cimport INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, int64_t, uint8_t, uintptr_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memmove
cimport cython

from twolane._units cimport MAX_SINGLE, MS_NS, US_NS
from twolane.encoding.memory.arena cimport Buffer, append, append_byte, append_zigzag, make_room, put_zigzag
from twolane.encoding.avro.logical cimport (
    is_day, put_date, put_decimal, put_duration, put_time, put_timestamp, put_uuid,
)
from twolane.encoding.columns.objects cimport NO_GIL, bytes_of, entries_of, is_integer, is_missing, is_missing_or_nan
from twolane.encoding.memory.utf8 cimport PyUnicode_DATA, PyUnicode_GET_LENGTH, PyUnicode_IS_COMPACT_ASCII, most_utf8, put_str

from collections.abc import Sequence
from enum import Enum

import numpy as np

from twolane._units import AVRO_NS
from twolane.encoding.mismatch import Mismatch
from twolane.errors import shown
from twolane.encoding.named_rows import by_name
from twolane.encoding.columns.objects import ColumnBytes

cdef extern from "Python.h":
    long long PyLong_AsLongLongAndOverflow(object value, int* overflow) except? -1

cdef object NDARRAY = np.ndarray
cdef object FLOATING = np.floating
cdef object NUMPY_BOOL = np.bool_
cdef double MAX_DOUBLE = 1.7976931348623157e+308


cdef class Writer:
    """Writes values of one Avro type."""

    cdef int put(self, object value, Buffer* out) except -1:
        """Append the value's bytes; Mismatch if it is not of this type."""
        raise NotImplementedError

    cdef int fits(self, object value, dict known) except -1:
        """Return how well a union's branch takes the value: 0 not, 1 by conversion, 2 or more by its own type.

        ``known`` is for unions below: what they have found, or None.
        """
        raise NotImplementedError


@cython.final
cdef class NullWriter(Writer):
    cdef int put(self, object value, Buffer* out) except -1:
        if not is_missing_or_nan(value):
            raise Mismatch("null", value)
        return 0

    cdef int fits(self, object value, dict known) except -1:
        return 2 if is_missing(value) else 1 if is_missing_or_nan(value) else 0


@cython.final
cdef class BooleanWriter(Writer):
    cdef int put(self, object value, Buffer* out) except -1:
        if value is True:
            return append_byte(out, 1)
        if value is False:
            return append_byte(out, 0)
        if isinstance(value, NUMPY_BOOL):
            return append_byte(out, 1 if value else 0)
        raise Mismatch("boolean", value)

    cdef int fits(self, object value, dict known) except -1:
        return 2 if isinstance(value, (bool, NUMPY_BOOL)) else 0


@cython.final
cdef class IntegerWriter(Writer):
    cdef int64_t _low, _high

    cdef int put(self, object value, Buffer* out) except -1:
        cdef int overflow = 0
        cdef int64_t number
        if type(value) is not int:
            if not is_integer(value):
                raise Mismatch(self.label, value)
            value = int(value)
        number = PyLong_AsLongLongAndOverflow(value, &overflow)
        if overflow or number < self._low or number > self._high:
            raise Mismatch(f"{self.label}, from {self._low} to {self._high}", value)
        return append_zigzag(out, number)

    cdef int fits(self, object value, dict known) except -1:
        if not is_integer(value):
            return 0
        return 2 if self._low <= int(value) <= self._high else 0


@cython.final
cdef class FloatWriter(Writer):
    cdef bint _single

    cdef int put(self, object value, Buffer* out) except -1:
        cdef double number
        cdef float single
        if type(value) is float:
            number = <double>value
        elif isinstance(value, (float, FLOATING)) or is_integer(value):
            try:
                number = float(value)
            except OverflowError:
                raise Mismatch(self.label, value) from None
        else:
            raise Mismatch(self.label, value)
        if not self._single:
            return append(out, &number, 8)
        single = <float>number
        if not isfinite(single) and isfinite(number):
            raise Mismatch("float, within single precision's range", value)
        return append(out, &single, 4)

    cdef int fits(self, object value, dict known) except -1:
        cdef double limit = MAX_SINGLE if self._single else MAX_DOUBLE
        cdef double number
        if is_integer(value):
            return 1 if abs(int(value)) < limit else 0
        if not isinstance(value, (float, FLOATING)):
            return 0
        number = value
        if limit <= abs(number) <= MAX_DOUBLE and self._single:
            return 0
        # Of a float and a double, the one that loses nothing.
        return 2 if not self._single or number != number or <double><float>number == number else 1


cdef str text_of(object value):
    """Return the text that bytes of a column may stand for; None for anything else, and where they are no UTF-8."""
    if isinstance(value, ColumnBytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    return None


cdef int put_long_way(PyObject* text, Buffer* out) except -1:
    """Write a str that is not ASCII, or of a class of its own, before its length, which is known only then."""
    cdef uint8_t width[10]
    cdef uint8_t* at
    cdef uint8_t* end
    cdef Py_ssize_t n_width
    make_room(out, most_utf8(text) + sizeof(width))
    at = out.data + out.size
    end = put_str(at + 1, text)
    if end == NULL:
        raise Mismatch("string that UTF-8 can hold (this has a lone surrogate)", <object>text)
    n_width = put_zigzag(width, end - at - 1) - width
    if n_width > 1:
        memmove(at + n_width, at + 1, end - at - 1)
    memcpy(at, width, n_width)
    out.size = end - out.data + n_width - 1
    return 0


@cython.final
cdef class StringWriter(Writer):
    cdef int put(self, object value, Buffer* out) except -1:
        cdef PyObject* text
        if not isinstance(value, str):
            decoded = text_of(value)
            if decoded is None:
                raise Mismatch("string", value)
            value = decoded
        text = <PyObject*>value
        if not PyUnicode_IS_COMPACT_ASCII(text):
            return put_long_way(text, out)
        append_zigzag(out, PyUnicode_GET_LENGTH(text))
        return append(out, PyUnicode_DATA(text), PyUnicode_GET_LENGTH(text))

    cdef int fits(self, object value, dict known) except -1:
        return 2 if isinstance(value, str) else 1 if text_of(value) is not None else 0


@cython.final
cdef class BytesWriter(Writer):
    cdef int put(self, object value, Buffer* out) except -1:
        cdef bytes plain = <bytes>value if type(value) is bytes else bytes_of(value)
        if plain is None:
            raise Mismatch("bytes", value)
        append_zigzag(out, PyBytes_GET_SIZE(plain))
        return append(out, PyBytes_AS_STRING(plain), PyBytes_GET_SIZE(plain))

    cdef int fits(self, object value, dict known) except -1:
        return 2 if isinstance(value, (bytes, bytearray, memoryview)) else 0


@cython.final
cdef class FixedWriter(Writer):
    cdef Py_ssize_t _size

    cdef int put(self, object value, Buffer* out) except -1:
        cdef bytes plain = <bytes>value if type(value) is bytes else bytes_of(value)
        if plain is None or PyBytes_GET_SIZE(plain) != self._size:
            raise Mismatch(f"{self.label}, {self._size} bytes", value)
        return append(out, PyBytes_AS_STRING(plain), self._size)

    cdef int fits(self, object value, dict known) except -1:
        cdef bytes plain = bytes_of(value)
        return 3 if plain is not None and PyBytes_GET_SIZE(plain) == self._size else 0


@cython.final
cdef class EnumWriter(Writer):
    cdef dict _places
    cdef str _listed

    cdef int put(self, object value, Buffer* out) except -1:
        cdef PyObject* place = NULL
        if type(value) is str:
            place = PyDict_GetItemWithError(self._places, value)
        elif isinstance(value, Enum):
            return append_zigzag(out, self.place_of(value))
        elif isinstance(value, str):
            place = PyDict_GetItemWithError(self._places, value)
        elif isinstance(value, ColumnBytes):
            place = PyDict_GetItemWithError(self._places, text_of(value))
        if place == NULL:
            raise Mismatch(f"{self.label}, one of {self._listed}", value)
        return append_zigzag(out, <object>place)

    cdef object place_of(self, object member):
        """Return the symbol of a member of an enum.Enum: its name or its value, whichever is one."""
        name, value = member.name, member.value
        named = self._places.get(name) if isinstance(name, str) else None
        valued = self._places.get(value) if isinstance(value, str) else None
        if named is None and valued is None:
            raise Mismatch(f"{self.label}, one of {self._listed}", member)
        if named is not None and valued is not None and named != valued:
            raise Mismatch(f"{self.label} (its name and its value are both symbols: write .name or .value)", member)
        return valued if named is None else named

    cdef int fits(self, object value, dict known) except -1:
        # Above string: a symbol names its enum more closely.
        if isinstance(value, Enum):
            return 3 if value.name in self._places or isinstance(value.value, str) and value.value in self._places else 0
        if isinstance(value, str):
            return 3 if value in self._places else 0
        return 1 if isinstance(value, ColumnBytes) and text_of(value) in self._places else 0


@cython.final
cdef class TimestampWriter(Writer):
    cdef int64_t _unit        # nanoseconds
    cdef bint _local

    cdef int put(self, object value, Buffer* out) except -1:
        return put_timestamp(value, self._unit, self._local, out)

    cdef int fits(self, object value, dict known) except -1:
        return fits_by_trial(self, value, False)


@cython.final
cdef class LogicalWriter(Writer):
    cdef str _logical
    cdef object _type

    cdef int put(self, object value, Buffer* out) except -1:
        cdef str logical = self._logical
        if logical == "date":
            return put_date(value, out)
        if logical == "decimal":
            return put_decimal(value, self._type, out)
        if logical == "uuid":
            return put_uuid(value, self._type.kind == "fixed", out)
        if logical == "duration":
            return put_duration(value, out)
        return put_time(value, US_NS if logical == "time-micros" else MS_NS, out)

    cdef int fits(self, object value, dict known) except -1:
        cdef int score = fits_by_trial(self, value, self._logical == "date")
        if (score and self._logical == "uuid" and self._type.kind == "string"
                and isinstance(value, (bytes, bytearray, memoryview)) and not isinstance(value, ColumnBytes)):
            return 1        # sixteen bytes are bytes first
        if score and self._logical == "duration":
            if isinstance(value, list):
                return 1        # three ints in a list are an array first
            if type(value) is tuple:
                return 6        # and in a tuple a duration before a record of three fields, whose score is 5
        return score


cdef int fits_by_trial(Writer writer, object value, bint days) except -1:
    """Encode into the void: logical types have too many forms to judge by class. ``days`` says whether it is a date."""
    cdef Buffer scratch
    scratch.data = NULL
    scratch.size = 0
    scratch.capacity = 0
    try:
        writer.put(value, &scratch)
    except Mismatch:
        return 0
    finally:
        free(scratch.data)
    # An int is a time only if nothing else takes it; a str is a UUID before it is a string; of a datetime a date is but a part.
    if is_integer(value):
        return 1
    if days:
        return 3 if is_day(value) else 0
    return 1 if is_day(value) else 3


cdef Writer logical_writer(object type):
    """Return the writer of a logical type."""
    cdef TimestampWriter stamp
    cdef LogicalWriter other
    if "timestamp-" in type.logical:
        stamp = TimestampWriter.__new__(TimestampWriter)
        stamp._local = type.logical.startswith("local-")
        stamp._unit = AVRO_NS[type.logical.rpartition("-")[2]]
        stamp.label = type.label
        return stamp
    other = LogicalWriter.__new__(LogicalWriter)
    other._logical = type.logical
    other._type = type
    other.label = type.label
    return other


cdef Writer enum_writer(object type):
    """Return the writer of an enum's symbols."""
    cdef EnumWriter writer = EnumWriter.__new__(EnumWriter)
    writer._places = {symbol: i for i, symbol in enumerate(type.symbols)}
    writer._listed = ", ".join(type.symbols[:8]) + (", ..." if len(type.symbols) > 8 else "")
    writer.label = type.label
    return writer


cdef Writer plain_writer(str kind, object type):
    """Return the writer of a primitive or a fixed, whatever the logical type says."""
    cdef IntegerWriter integer
    cdef FloatWriter number
    cdef FixedWriter fixed
    cdef Writer writer
    if kind == "int" or kind == "long":
        integer = IntegerWriter.__new__(IntegerWriter)
        integer._low = INT32_MIN if kind == "int" else INT64_MIN
        integer._high = INT32_MAX if kind == "int" else INT64_MAX
        writer = integer
    elif kind == "float" or kind == "double":
        number = FloatWriter.__new__(FloatWriter)
        number._single = kind == "float"
        writer = number
    elif kind == "fixed":
        fixed = FixedWriter.__new__(FixedWriter)
        fixed._size = type.size
        writer = fixed
    else:
        writer = {
            "null": NullWriter, "boolean": BooleanWriter, "string": StringWriter, "bytes": BytesWriter,
        }[kind]()
    writer.label = type.label
    return writer


@cython.final
cdef class ArrayWriter(Writer):
    cdef int put(self, object value, Buffer* out) except -1:
        cdef Py_ssize_t i = 0, n
        if not is_array(value):
            raise Mismatch("array", value)
        if type(value) is set:
            return self.put(list(value), out)       # made at one moment, as a tuple of a list is, but not of a set
        # A snapshot: a writer below may run code that changes the list.
        cdef tuple items = tuple(value.tolist() if isinstance(value, NDARRAY) else value)
        n = len(items)
        if n:
            append_zigzag(out, n)
            enter()
            try:
                for i in range(n):
                    self.item.put(items[i], out)
            except Mismatch as error:
                error.path.append(i)
                raise
            finally:
                Py_LeaveRecursiveCall()
        return append_byte(out, 0)

    cdef int fits(self, object value, dict known) except -1:
        if not is_array(value):
            return 0
        if type(value) is set:
            return self.fits(list(value), known)
        if NO_GIL and type(value) is list:
            value = tuple(value)
        enter()
        try:
            for item in value:
                if not self.item.fits(item, known):
                    return 0
        finally:
            Py_LeaveRecursiveCall()
        return 2


cdef bint is_array(object value):
    if isinstance(value, NDARRAY):
        return value.ndim > 0
    if isinstance(value, (list, tuple, set, frozenset)):
        return True
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes, bytearray, memoryview)):
        return False
    return not is_missing(value)        # a null of Arrow is a sequence too


@cython.final
cdef class MapWriter(Writer):
    cdef int put(self, object value, Buffer* out) except -1:
        fields = by_name(value)
        if fields is None:
            raise Mismatch("map", value)
        cdef list entries = entries_of(fields)
        key = None
        if entries:
            append_zigzag(out, len(entries))
            enter()
            try:
                for key, item in entries:
                    self.key.put(key, out)
                    self.item.put(item, out)
            except Mismatch as error:
                error.path.append((key,))
                raise
            finally:
                Py_LeaveRecursiveCall()
        return append_byte(out, 0)

    cdef int fits(self, object value, dict known) except -1:
        fields = by_name(value)
        if fields is None:
            return 0
        enter()
        try:
            for key, item in entries_of(fields):
                if not self.key.fits(key, known) or not self.item.fits(item, known):
                    return 0
        finally:
            Py_LeaveRecursiveCall()
        return 2


@cython.final
cdef class UnionWriter(Writer):
    cdef int put(self, object value, Buffer* out) except -1:
        cdef Py_ssize_t i
        if value is None or (self.null >= 0 and self.says_null(value)):
            if self.null < 0:
                raise Mismatch(self.label, value)
            return append_zigzag(out, self.null)
        if self.only >= 0 and type(value) is not tuple and not (
            self.only_record and type(value) is dict and "-type" in <dict>value
        ):
            append_zigzag(out, self.only)
            return (<Writer>self.branches[self.only]).put(value, out)
        i = self.named(value)
        if i >= 0:
            if type(value) is tuple:
                value = value[1]
        elif self.only >= 0:
            i = self.only
        else:
            i = self.choose(value)
            if i < 0:
                raise Mismatch(self.label, value)
        append_zigzag(out, i)
        return (<Writer>self.branches[i]).put(value, out)

    cdef bint says_null(self, object value) except -1:
        """Return whether the value stands for null; the commonest types do not."""
        if type(value) is str or type(value) is int or type(value) is dict:
            return False
        if type(value) is float:
            return not self.keeps_nan and <double>value != <double>value
        return is_missing(value) if self.keeps_nan else is_missing_or_nan(value)

    cdef Py_ssize_t named(self, object value) except -2:
        """Return the branch that a row names, by a tuple (branch, value) or by "-type" in a dict; -1 for none."""
        cdef Py_ssize_t i
        name = None
        if type(value) is tuple:
            if len(value) == 2:
                name = value[0]
        elif isinstance(value, dict):
            name = value.get("-type")
        if not isinstance(name, str):
            return -1
        i = self.by_name.get(name, -1)
        if i == AMBIGUOUS:
            raise Mismatch(f"{self.label}, by its full name where several have the name {shown(name)}", value)
        if i < 0 and type(value) is not tuple:
            if self.map < 0:
                raise Mismatch(f"{self.label} (no branch has the name {shown(name)}, which \"-type\" says)", value)
            return self.map     # a key like others
        return i

    cdef Py_ssize_t choose(self, object value) except -2:
        """Return the branch that takes the value best, the first among equals; -1 if none does."""
        cdef Py_ssize_t i, best = -1
        cdef int score, best_score = 0
        cdef dict known = {} if self.forks else None
        for i in range(len(self.branches)):
            score = (<Writer>self.branches[i]).fits(value, known)
            if score > best_score:
                best = i
                best_score = score
        return best

    cdef int fits(self, object value, dict known) except -1:
        if not self.forks or value is None or isinstance(value, (str, bytes, int, float)):
            return self.fits_any(value, known)
        # Each branch would ask the unions below about the same values again: twice the work level by level.
        if known is None:
            known = {}
        place = (<uintptr_t><PyObject*>self, <uintptr_t><PyObject*>value)
        found = known.get(place)
        if found is None:
            # The value is kept, so that its address stays its own.
            found = known[place] = (self.fits_any(value, known), value)
        return found[0]

    cdef int fits_any(self, object value, dict known) except -1:
        """Return 2 if any branch takes the value: to compare all of them would double the work too."""
        cdef Py_ssize_t i
        try:
            i = self.named(value)
        except Mismatch:
            return 0
        if i >= 0:
            return 2 if (<Writer>self.branches[i]).fits(value[1] if type(value) is tuple else value, known) else 0
        for branch in self.branches:
            if (<Writer>branch).fits(value, known):
                return 2
        return 0
