"""Python objects to Avro's binary encoding.

Source: https://avro.apache.org/docs/1.12.0/specification/#binary-encoding
"""
from cpython.dict cimport PyDict_GetItemWithError
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.math cimport isfinite
from libc.stdint cimport INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, int64_t
from libc.stdlib cimport free
from libc.string cimport memcpy
cimport cython

from twolane.batch cimport EncodedBatch
from twolane.encoding.arena cimport Arena, Buffer, append, append_byte, append_zigzag, make_room
from twolane.encoding.avro_logical cimport (
    Unit, put_date, put_decimal, put_duration, put_time, put_timestamp, put_uuid,
)

from collections.abc import Mapping, Sequence

import numpy as np

from twolane.encoding.avro_schema import MISSING
from twolane.encoding.mismatch import Mismatch

cdef extern from "Python.h":
    int Py_EnterRecursiveCall(const char* where) noexcept
    void Py_LeaveRecursiveCall()
    long long PyLong_AsLongLongAndOverflow(object value, int* overflow) except? -1

cdef object FLOATING = np.floating
cdef object INTEGER = np.integer
cdef object NUMPY_BOOL = np.bool_
cdef object NDARRAY = np.ndarray


cdef inline int enter() except -1:
    """Count one level of nesting; RecursionError beyond the interpreter's limit."""
    if Py_EnterRecursiveCall(" while encoding a record") != 0:     # not always -1
        return -1
    return 0


cdef class Writer:
    """Writes values of one Avro type."""

    cdef int put(self, object value, Buffer* out) except -1:
        """Append the value's bytes; Mismatch if it is not of this type."""
        raise NotImplementedError

    cdef int fits(self, object value) except -1:
        """How well a union's branch takes the value: 0 not, 1 by conversion, 2 or more by its own type."""
        raise NotImplementedError


@cython.final
cdef class NullWriter(Writer):
    cdef int put(self, object value, Buffer* out) except -1:
        if value is not None:
            raise Mismatch("null", value)
        return 0

    cdef int fits(self, object value) except -1:
        return 2 if value is None else 0


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

    cdef int fits(self, object value) except -1:
        return 2 if isinstance(value, (bool, NUMPY_BOOL)) else 0


@cython.final
cdef class IntegerWriter(Writer):
    cdef int64_t _low, _high

    cdef int put(self, object value, Buffer* out) except -1:
        cdef int overflow = 0
        cdef int64_t number
        if type(value) is not int:
            if isinstance(value, bool) or not isinstance(value, (int, INTEGER)):
                raise Mismatch(self.label, value)
            value = int(value)
        number = PyLong_AsLongLongAndOverflow(value, &overflow)
        if overflow or number < self._low or number > self._high:
            raise Mismatch(f"{self.label}, from {self._low} to {self._high}", value)
        return append_zigzag(out, number)

    cdef int fits(self, object value) except -1:
        if isinstance(value, (bool, NUMPY_BOOL)) or not isinstance(value, (int, INTEGER)):
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
        elif isinstance(value, (float, FLOATING)) or (
            isinstance(value, (int, INTEGER)) and not isinstance(value, bool)
        ):
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

    cdef int fits(self, object value) except -1:
        if isinstance(value, (float, FLOATING)):
            return 2
        if isinstance(value, (bool, NUMPY_BOOL)):
            return 0
        return 1 if isinstance(value, (int, INTEGER)) else 0


@cython.final
cdef class StringWriter(Writer):
    cdef int put(self, object value, Buffer* out) except -1:
        cdef Py_ssize_t size = 0
        cdef const char* data
        if not isinstance(value, str):
            raise Mismatch("string", value)
        try:
            data = PyUnicode_AsUTF8AndSize(value, &size)
        except UnicodeEncodeError:
            raise Mismatch("string that UTF-8 can hold (this has a lone surrogate)", value) from None
        append_zigzag(out, size)
        return append(out, data, size)

    cdef int fits(self, object value) except -1:
        return 2 if isinstance(value, str) else 0


@cython.final
cdef class BytesWriter(Writer):
    cdef int put(self, object value, Buffer* out) except -1:
        if type(value) is not bytes:
            if not isinstance(value, (bytes, bytearray, memoryview)):
                raise Mismatch("bytes", value)
            value = bytes(value)
        append_zigzag(out, PyBytes_GET_SIZE(value))
        return append(out, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))

    cdef int fits(self, object value) except -1:
        return 2 if isinstance(value, (bytes, bytearray, memoryview)) else 0


@cython.final
cdef class FixedWriter(Writer):
    cdef Py_ssize_t _size

    cdef int put(self, object value, Buffer* out) except -1:
        if not isinstance(value, (bytes, bytearray, memoryview)):
            raise Mismatch(f"{self.label}, {self._size} bytes", value)
        value = bytes(value)
        if PyBytes_GET_SIZE(value) != self._size:
            raise Mismatch(f"{self.label}, {self._size} bytes", value)
        return append(out, PyBytes_AS_STRING(value), self._size)

    cdef int fits(self, object value) except -1:
        if not isinstance(value, (bytes, bytearray, memoryview)):
            return 0
        return 3 if len(bytes(value)) == self._size else 0


@cython.final
cdef class EnumWriter(Writer):
    cdef dict _places
    cdef str _listed

    cdef int put(self, object value, Buffer* out) except -1:
        cdef PyObject* place = NULL
        if isinstance(value, str):
            place = PyDict_GetItemWithError(self._places, value)
        elif hasattr(value, "name") and isinstance(value.name, str):       # a member of enum.Enum
            place = PyDict_GetItemWithError(self._places, value.name)
        if place == NULL:
            raise Mismatch(f"{self.label}, one of {self._listed}", value)
        return append_zigzag(out, <object>place)

    cdef int fits(self, object value) except -1:
        # Above string: a symbol names its enum more closely.
        return 3 if isinstance(value, str) and value in self._places else 0


@cython.final
cdef class TimestampWriter(Writer):
    cdef Unit _unit
    cdef bint _local

    cdef int put(self, object value, Buffer* out) except -1:
        return put_timestamp(value, self._unit, self._local, out)

    cdef int fits(self, object value) except -1:
        return fits_by_trial(self, value)


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
        return put_time(value, Unit.MICROS if logical == "time-micros" else Unit.MILLIS, out)

    cdef int fits(self, object value) except -1:
        return fits_by_trial(self, value)


cdef int fits_by_trial(Writer writer, object value) except -1:
    """Encode into the void: logical types have too many forms to judge by class."""
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
    # An int is a time only if nothing else takes it; a str is a UUID before it is a string.
    return 1 if isinstance(value, (int, INTEGER)) else 3


@cython.final
cdef class ArrayWriter(Writer):
    cdef Writer _item

    cdef int put(self, object value, Buffer* out) except -1:
        cdef Py_ssize_t i = 0, n
        if not is_array(value):
            raise Mismatch("array", value)
        # A snapshot: a writer below may run code that changes the list.
        cdef tuple items = tuple(value.tolist() if isinstance(value, NDARRAY) else value)
        n = len(items)
        if n:
            append_zigzag(out, n)
            enter()
            try:
                for i in range(n):
                    self._item.put(items[i], out)
            except Mismatch as error:
                error.path.append(i)
                raise
            finally:
                Py_LeaveRecursiveCall()
        return append_byte(out, 0)

    cdef int fits(self, object value) except -1:
        if not is_array(value):
            return 0
        for item in value:
            if not self._item.fits(item):
                return 0
        return 2


cdef bint is_array(object value):
    if isinstance(value, (list, tuple, NDARRAY, set, frozenset)):
        return True
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray, memoryview))


@cython.final
cdef class MapWriter(Writer):
    cdef Writer _item
    cdef StringWriter _key

    cdef int put(self, object value, Buffer* out) except -1:
        if not isinstance(value, (dict, Mapping)):
            raise Mismatch("map", value)
        cdef list entries = list(value.items())
        key = None
        if entries:
            append_zigzag(out, len(entries))
            enter()
            try:
                for key, item in entries:
                    self._key.put(key, out)
                    self._item.put(item, out)
            except Mismatch as error:
                error.path.append((key,))
                raise
            finally:
                Py_LeaveRecursiveCall()
        return append_byte(out, 0)

    cdef int fits(self, object value) except -1:
        if not isinstance(value, (dict, Mapping)):
            return 0
        for key, item in value.items():
            if not isinstance(key, str) or not self._item.fits(item):
                return 0
        return 2


@cython.final
cdef class UnionWriter(Writer):
    cdef tuple _branches
    cdef dict _by_name          # full names, and names without namespace where they are unique
    cdef Py_ssize_t _null       # -1: no branch is null
    cdef Py_ssize_t _only       # the one branch beside null, or -1

    cdef int put(self, object value, Buffer* out) except -1:
        cdef Py_ssize_t i
        if value is None:
            if self._null < 0:
                raise Mismatch(self.label, value)
            return append_zigzag(out, self._null)
        if self._only >= 0:
            append_zigzag(out, self._only)
            return (<Writer>self._branches[self._only]).put(value, out)
        if type(value) is tuple and len(value) == 2 and type(value[0]) is str and value[0] in self._by_name:
            i = self._by_name[value[0]]
            value = value[1]
        else:
            i = self.choose(value)
            if i < 0:
                raise Mismatch(self.label, value)
        append_zigzag(out, i)
        return (<Writer>self._branches[i]).put(value, out)

    cdef Py_ssize_t choose(self, object value) except -2:
        """The branch that takes the value best, the first among equals; -1 if none does."""
        cdef Py_ssize_t i, best = -1
        cdef int score, best_score = 0
        if isinstance(value, dict):
            name = value.get("-type")
            if type(name) is str and name in self._by_name:
                return self._by_name[name]
        for i in range(len(self._branches)):
            score = (<Writer>self._branches[i]).fits(value)
            if score > best_score:
                best = i
                best_score = score
        return best

    cdef int fits(self, object value) except -1:
        return 2 if self.choose(value) >= 0 else 0


@cython.final
cdef class RecordWriter(Writer):
    cdef tuple _names
    cdef tuple _writers
    cdef list _defaults         # encoded bytes, or None where a value is needed
    cdef str _class_name

    cdef int put(self, object value, Buffer* out) except -1:
        cdef Py_ssize_t i = 0
        cdef PyObject* found
        enter()
        try:
            if isinstance(value, dict):
                for i in range(len(self._writers)):
                    found = PyDict_GetItemWithError(value, self._names[i])
                    if found != NULL:
                        (<Writer>self._writers[i]).put(<object>found, out)
                    else:
                        self.put_default(i, out)
            elif isinstance(value, tuple):
                if len(value) != len(self._writers):
                    i = -1
                    raise Mismatch(f"{self.label}, a tuple of {len(self._writers)} fields", value)
                for i in range(len(self._writers)):
                    (<Writer>self._writers[i]).put((<tuple>value)[i], out)
            else:
                i = -1
                if value is None or isinstance(value, (str, bytes, int, float, list, set)):
                    raise Mismatch(f"record {self.label}", value)
                if isinstance(value, Mapping):
                    value = dict(value)
                    for i in range(len(self._writers)):
                        found = PyDict_GetItemWithError(value, self._names[i])
                        if found != NULL:
                            (<Writer>self._writers[i]).put(<object>found, out)
                        else:
                            self.put_default(i, out)
                else:
                    for i in range(len(self._writers)):
                        item = getattr(value, self._names[i], MISSING)
                        if item is not MISSING:
                            (<Writer>self._writers[i]).put(item, out)
                        else:
                            self.put_default(i, out)
        except Mismatch as error:
            if i >= 0:
                error.path.append(self._names[i])
            raise
        finally:
            Py_LeaveRecursiveCall()
        return 0

    cdef int put_default(self, Py_ssize_t i, Buffer* out) except -1:
        default = self._defaults[i]
        if default is None:
            raise Mismatch(f"{(<Writer>self._writers[i]).label} (the field is missing and has no default)", MISSING)
        return append(out, PyBytes_AS_STRING(default), PyBytes_GET_SIZE(default))

    cdef int fits(self, object value) except -1:
        cdef Py_ssize_t i
        cdef int score = 2
        if value is None or isinstance(value, (str, bytes, int, float, list, set)):
            return 0
        if isinstance(value, tuple) and len(value) != len(self._names):
            return 0
        for i in range(len(self._names)):
            if isinstance(value, (dict, Mapping)):
                item = value.get(self._names[i], MISSING)
            elif isinstance(value, tuple):
                item = value[i]
            else:
                item = getattr(value, self._names[i], MISSING)
            if item is MISSING:
                if self._defaults[i] is None:
                    return 0
            elif (<Writer>self._writers[i]).fits(item):
                score += 1      # of two records that take the value, the one that keeps more of it
            else:
                return 0
        return score + 1_000_000 if type(value).__name__ == self._class_name else score


cdef str union_label(object type):
    return "one of " + ", ".join([branch.label for branch in type.branches])


cdef Writer writer_of(object type, dict made):
    """The writer of an AvroType; ``made`` holds those of named types, which may refer to themselves."""
    cdef Writer writer
    cdef UnionWriter union
    cdef RecordWriter record
    cdef EnumWriter enum
    if type in made:
        return made[type]
    kind = type.kind
    if type.logical is not None:
        writer = logical_writer(type)
    elif kind == "array":
        writer = ArrayWriter.__new__(ArrayWriter)
        (<ArrayWriter>writer)._item = writer_of(type.items, made)
    elif kind == "map":
        writer = MapWriter.__new__(MapWriter)
        (<MapWriter>writer)._item = writer_of(type.items, made)
        (<MapWriter>writer)._key = StringWriter.__new__(StringWriter)
    elif kind == "enum":
        enum = EnumWriter.__new__(EnumWriter)
        enum._places = {symbol: i for i, symbol in enumerate(type.symbols)}
        enum._listed = ", ".join(type.symbols[:8]) + (", ..." if len(type.symbols) > 8 else "")
        writer = enum
    elif kind == "union":
        union = UnionWriter.__new__(UnionWriter)
        union._branches = tuple([writer_of(branch, made) for branch in type.branches])
        union._null = -1
        union._by_name = {}
        others = []
        for i, branch in enumerate(type.branches):
            if branch.kind == "null":
                union._null = i
            else:
                others.append(i)
            name = branch.name or branch.kind
            union._by_name[name] = i
            union._by_name.setdefault(name.rpartition(".")[2], i)
        union._only = others[0] if len(others) == 1 else -1
        union.label = union_label(type)
        return union
    elif kind == "record":
        record = RecordWriter.__new__(RecordWriter)
        made[type] = record
        record.label = type.label
        record._class_name = type.name.rpartition(".")[2]
        record._names = tuple([intern_name(field.name) for field in type.fields])
        record._writers = tuple([writer_of(field.type, made) for field in type.fields])
        record._defaults = [None] * len(type.fields)
        return record
    else:
        writer = plain_writer(kind, type)
    writer.label = type.label
    return writer


cdef Writer logical_writer(object type):
    cdef TimestampWriter stamp
    cdef LogicalWriter other
    if "timestamp-" in type.logical:
        stamp = TimestampWriter.__new__(TimestampWriter)
        stamp._local = type.logical.startswith("local-")
        ending = type.logical.rpartition("-")[2]
        stamp._unit = Unit.MILLIS if ending == "millis" else Unit.MICROS if ending == "micros" else Unit.NANOS
        return stamp
    other = LogicalWriter.__new__(LogicalWriter)
    other._logical = type.logical
    other._type = type
    return other


cdef object intern_name(str name):
    import sys

    return sys.intern(name)


cdef Writer plain_writer(str kind, object type):
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


cdef int fill_defaults(object type, dict made, set done) except -1:
    """Encode the defaults of every record below ``type`` once, now that all writers stand."""
    cdef RecordWriter record
    cdef Buffer out
    if type in done:
        return 0
    done.add(type)
    for branch in type.branches:
        fill_defaults(branch, made, done)
    if type.items is not None:
        fill_defaults(type.items, made, done)
    for field in type.fields:
        fill_defaults(field.type, made, done)
    if type.kind != "record":
        return 0
    record = made[type]
    for i, field in enumerate(type.fields):
        if field.default is MISSING:
            continue
        out.data = NULL
        out.size = 0
        out.capacity = 0
        try:
            put_default_value(field.type, field.default, made, &out)
            record._defaults[i] = PyBytes_FromStringAndSize(<char*>out.data, out.size)
        except Mismatch as error:
            error.path.append(field.name)
            error.expected += f" as the default of {type.name}"
            raise
        finally:
            free(out.data)
    return 0


cdef int put_default_value(object type, object value, dict made, Buffer* out) except -1:
    """Encode a default from its JSON form: bytes are strings of code points, a union's default is of any branch."""
    cdef size_t start = out.size
    kind = type.kind
    if kind == "union":
        # 1.12 allows every branch, earlier versions only the first: the first that takes it.
        for i, branch in enumerate(type.branches):
            try:
                append_zigzag(out, i)
                return put_default_value(branch, value, made, out)
            except Mismatch:
                out.size = start
        raise Mismatch(union_label(type), value)
    if kind in ("bytes", "fixed") and isinstance(value, str):
        try:
            return plain_writer(kind, type).put(value.encode("latin-1"), out)
        except UnicodeEncodeError:
            pass
        raise Mismatch("a string of code points up to U+00FF", value)
    if kind == "array" and isinstance(value, list):
        if value:
            append_zigzag(out, len(value))
        for item in value:
            put_default_value(type.items, item, made, out)
        return append_byte(out, 0)
    if kind == "map" and isinstance(value, dict):
        if value:
            append_zigzag(out, len(value))
        for key, item in value.items():
            plain_writer("string", type).put(key, out)
            put_default_value(type.items, item, made, out)
        return append_byte(out, 0)
    if kind == "record" and isinstance(value, dict):
        for field in type.fields:
            item = value.get(field.name, field.default)
            if item is MISSING:
                raise Mismatch(f"a value for {field.name!r}", value)
            put_default_value(field.type, item, made, out)
        return 0
    if type.logical is not None:
        return plain_writer(kind, type).put(value, out)
    return writer_of(type, made).put(value, out)


cdef int put_checked(Writer writer, object value, Buffer* out, Py_ssize_t row, str field) except -1:
    """Put one value; what goes wrong becomes a SerializationError with its row (-1: none) and the path below ``field``."""
    try:
        return writer.put(value, out)
    except Mismatch as error:
        raise error.as_error(None if row < 0 else row, field) from None
    except RecursionError:
        raise Mismatch("a value that is not nested so deep", value).as_error(None if row < 0 else row, field) from None


@cython.final
cdef class RowEncoder:
    """Rows to Avro: dicts, mappings, tuples, and objects with attributes (dataclasses, attrs, pydantic).

    Parameters
    ----------
    schema : AvroType
    prefix : bytes
        Stands before each record: the Confluent framing, or nothing.

    Raises
    ------
    SerializationError
        If a default of the schema is not of its field's type.
    """

    def __init__(self, schema, bytes prefix=b""):
        made = {}
        self.root = writer_of(schema, made)
        self._prefix = prefix
        try:
            fill_defaults(schema, made, set())
        except Mismatch as error:
            raise error.as_error(None, None) from None

    cdef Writer field_writer(self, Py_ssize_t i):
        """The writer of field ``i`` of the record at the root."""
        return (<RecordWriter>self.root)._writers[i]

    cdef bytes field_default(self, Py_ssize_t i):
        """The encoded default of field ``i`` of the record at the root, or None."""
        return (<RecordWriter>self.root)._defaults[i]

    def encode(self, record):
        """Encode one record as bytes; None stays None (a tombstone)."""
        cdef Buffer out
        if record is None:
            return None
        out.data = NULL
        out.size = 0
        out.capacity = 0
        try:
            append(&out, PyBytes_AS_STRING(self._prefix), PyBytes_GET_SIZE(self._prefix))
            put_checked(self.root, record, &out, -1, "")
            return PyBytes_FromStringAndSize(<char*>out.data, out.size)
        finally:
            free(out.data)

    def encode_rows(self, rows):
        """Encode all rows of an iterable; an EncodedBatch. None becomes a null record."""
        return self.encode_objects(tuple(rows))

    cdef EncodedBatch encode_objects(self, tuple rows):
        cdef Arena arena = Arena.__new__(Arena)
        cdef Py_ssize_t i = 0, n = len(rows)
        cdef Py_ssize_t prefix = PyBytes_GET_SIZE(self._prefix)
        cdef bint nulls = False
        cdef object row = None
        cdef Writer root = self.root
        arena.start(n)
        try:
            for i in range(n):
                row = rows[i]
                if row is None:
                    if not nulls:
                        arena.mark_valid(n)
                        nulls = True
                    arena.valid[i] = 0
                else:
                    make_room(&arena.out, prefix)
                    memcpy(arena.out.data + arena.out.size, PyBytes_AS_STRING(self._prefix), prefix)
                    arena.out.size += prefix
                    root.put(row, &arena.out)
                arena.offsets[i + 1] = arena.out.size
        except Mismatch as error:
            raise error.as_error(i, "") from None
        except RecursionError:
            raise Mismatch("a value that is not nested so deep", row).as_error(i, "") from None
        return arena.batch(n, nulls)
