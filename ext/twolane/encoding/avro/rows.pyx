"""Python rows to Avro: writers of records, and the encoder that holds the tree of all writers.

Source: https://avro.apache.org/docs/1.12.0/specification/#binary-encoding
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItemWithError
from cpython.object cimport PyObject
from libc.stdint cimport SIZE_MAX
from libc.stdlib cimport free
from libc.string cimport memcpy
cimport cython

from twolane.batch cimport EncodedBatch
from twolane.encoding.memory.arena cimport Arena, Buffer, append, append_byte, append_zigzag, make_room
from twolane.encoding.avro.writers cimport (
    AMBIGUOUS, ArrayWriter, MapWriter, Py_LeaveRecursiveCall, UnionWriter, Writer, enter, enum_writer, logical_writer,
    plain_writer,
)
from twolane.encoding.columns.objects cimport NO_GIL, is_missing, item_of

import sys

from twolane.encoding.attributes import reader_of
from twolane.encoding.avro.schema import MISSING
from twolane.encoding.mismatch import Mismatch
from twolane.encoding.named_rows import fields_of, others_of
from twolane.errors import SerializationError, shown

cdef extern from "Python.h":
    dict PyObject_GenericGetDict(object value, void* context)
    ctypedef object (*PyCFunction)(object self, object arguments)
    ctypedef struct PyMethodDef:
        const char* ml_name
        PyCFunction ml_meth
        int ml_flags
        const char* ml_doc
    int METH_FASTCALL
    object PyCFunction_New(PyMethodDef* method, object self)

cdef object ABSENT = MISSING
cdef enum:
    MANY = 64              # objects that are read by one call
    MOST_STEPS = 1 << 20        # values of defaults that are encoded, tried branches of unions among them
    MOST_FILLED = 1 << 20       # bytes of defaults inside other defaults that are not written there


@cython.final
cdef class RecordWriter(Writer):
    cdef tuple _names
    cdef tuple _writers
    cdef list _defaults         # encoded bytes, or None where a value is needed
    cdef str _class_name
    cdef bint _strict           # refuse other fields
    cdef object _reader         # a function that reads objects' fields and hands them to a Receiver; None: there is none
    # The last classes found to be read by attributes, or from the instance's dict, whatever its __getattr__ does (pydantic):
    # asking ABCs costs more than a field. Two, because threads that share the writer could not read a class with a flag.
    cdef object _object_type
    cdef object _dict_type

    @cython.boundscheck(False)
    @cython.wraparound(False)
    cdef int put(self, object value, Buffer* out) except -1:
        cdef Py_ssize_t i = 0
        cdef PyObject* found
        cdef object fields = None
        cdef bint in_dict, lacks_all
        enter()
        try:
            if isinstance(value, dict):
                for i in range(len(self._writers)):
                    if NO_GIL:
                        item = item_of(<PyObject*>value, <PyObject*>self._names[i], <PyObject*>ABSENT)
                        found = <PyObject*>item if item is not ABSENT else NULL
                    else:
                        found = PyDict_GetItemWithError(value, self._names[i])
                    if found != NULL:
                        (<Writer>self._writers[i]).put(<object>found, out)
                    else:
                        self.put_default(i, out)
                if self._strict:
                    i = -1
                    self.refuse_others(value)
            elif type(value) is tuple:
                if len(value) != len(self._writers):
                    i = -1
                    raise Mismatch(f"{self.label}, a tuple of {len(self._writers)} fields", value)
                for i in range(len(self._writers)):
                    (<Writer>self._writers[i]).put((<tuple>value)[i], out)
            else:
                in_dict = type(value) is self._dict_type
                if not in_dict and type(value) is not self._object_type:
                    i = -1
                    fields = fields_of(value, self._names)
                    if fields is None:
                        raise Mismatch(f"record {self.label}", value)
                    if fields is not value:
                        self.put(fields, out)
                        return 0
                    in_dict = self.learn(value)
                if self._strict:
                    i = -1
                    self.refuse_others(value)
                fields = PyObject_GenericGetDict(value, NULL) if in_dict else None
                lacks_all = len(self._writers) > 0
                for i in range(len(self._writers)):
                    if fields is None:
                        item = getattr(value, self._names[i], ABSENT)
                    else:
                        item = item_of(<PyObject*>fields, <PyObject*>self._names[i], <PyObject*>ABSENT)
                        if item is ABSENT:
                            item = getattr(value, self._names[i], ABSENT)
                    if item is not ABSENT:
                        (<Writer>self._writers[i]).put(item, out)
                        lacks_all = False
                    else:
                        self.put_default(i, out)
                if lacks_all:
                    i = -1
                    raise Mismatch(f"record {self.label}, an object with some of its fields", value)
        except Mismatch as error:
            if i >= 0:
                error.path.append(self._names[i])
            raise
        finally:
            Py_LeaveRecursiveCall()
        return 0

    cdef bint learn(self, object value) except -1:
        """Find out whether fields are in the instance's dict, and remember that of the class."""
        # A pydantic dataclass may have slots instead.
        cdef bint in_dict = hasattr(type(value), "__pydantic_fields__") and hasattr(value, "__dict__")
        # Other threads compare their values' classes with the one stored here, and hold no lock meanwhile: it must not
        # die, and its address become another's, before it is gone from here.
        with cython.critical_section(self):
            if in_dict:
                before, self._dict_type = self._dict_type, type(value)
            else:
                before, self._object_type = self._object_type, type(value)
        del before
        return in_dict

    cdef bint are_alike(self, tuple rows, Py_ssize_t start, Py_ssize_t stop):
        """Return whether all are objects of the class whose attributes are read, so that the reader may read them in a row."""
        cdef Py_ssize_t i
        if self._reader is None:
            return False
        for i in range(start, stop):
            if type(rows[i]) is not self._object_type:
                return False
        return True

    cdef int refuse_others(self, object value) except -1:
        """Refuse a row that says more than the record has."""
        others = others_of(value, self._names)
        if others:
            raise Mismatch(f"record {self.label}, which has no field {shown(others[0])}", value)
        return 0

    cdef int put_default(self, Py_ssize_t i, Buffer* out) except -1:
        default = self._defaults[i]
        if default is None:
            raise Mismatch(f"{(<Writer>self._writers[i]).label} (the field is missing and has no default)", MISSING)
        return append(out, PyBytes_AS_STRING(default), PyBytes_GET_SIZE(default))

    cdef int fits(self, object value, dict known) except -1:
        cdef Py_ssize_t i, n_absent = 0
        cdef int score = 2
        cdef str name = type(value).__name__
        try:
            value = fields_of(value, self._names)
        except Mismatch:
            return 0
        if value is None or (type(value) is tuple and len(value) != len(self._names)):
            return 0
        if self._strict and type(value) is not tuple and others_of(value, self._names):
            return 0
        enter()
        try:
            for i in range(len(self._names)):
                if isinstance(value, dict):
                    item = value.get(self._names[i], MISSING)
                elif type(value) is tuple:
                    item = value[i]
                else:
                    item = getattr(value, self._names[i], MISSING)
                if item is MISSING:
                    if self._defaults[i] is None:
                        return 0
                    n_absent += 1
                elif (<Writer>self._writers[i]).fits(item, known):
                    score += 1      # of two records that take the value, the one that keeps more of it
                else:
                    return 0
        finally:
            Py_LeaveRecursiveCall()
        if n_absent and n_absent == len(self._names) and not isinstance(value, dict):
            return 0
        return score + 1_000_000 if name == self._class_name else score


cdef str union_label(object type):
    return "one of " + ", ".join([branch.label for branch in type.branches])


@cython.final
cdef class Receiver:
    """Where a reader hands over the fields of one object after the other, to be written behind each other."""
    cdef RecordWriter _writer
    cdef Arena _arena
    cdef bytes _prefix
    cdef Py_ssize_t row         # the next one
    cdef bint failed            # in writing it, not in reading

    @cython.boundscheck(False)
    @cython.wraparound(False)
    cdef int put(self, PyObject* const* fields, Py_ssize_t n) except -1:
        cdef Py_ssize_t i = 0
        cdef tuple writers = self._writer._writers
        cdef Buffer* out = &self._arena.out
        self.failed = True
        append(out, PyBytes_AS_STRING(self._prefix), PyBytes_GET_SIZE(self._prefix))
        try:
            for i in range(n):
                (<Writer>writers[i]).put(<object>fields[i], out)
        except Mismatch as error:
            error.path.append(self._writer._names[i])
            raise
        self.failed = False
        self.row += 1
        self._arena.offsets[self.row] = out.size
        return 0


# A function of the interpreter's quickest kind of call: arguments lie on its stack, none of them in a tuple.
cdef object receive(object receiver, PyObject* const* fields, Py_ssize_t n):
    (<Receiver>receiver).put(fields, n)

cdef PyMethodDef RECEIVE
RECEIVE.ml_name = "receive"
RECEIVE.ml_meth = <PyCFunction><void*>receive
RECEIVE.ml_flags = METH_FASTCALL
RECEIVE.ml_doc = NULL


cdef Writer writer_of(object type, dict made):
    """Return the writer of an AvroType; ``made`` holds those of named types, which may refer to themselves."""
    cdef Writer writer
    cdef UnionWriter union
    cdef RecordWriter record
    if type in made:
        return made[type]
    kind = type.kind
    if type.logical is not None:
        writer = logical_writer(type)
    elif kind == "array":
        writer = ArrayWriter.__new__(ArrayWriter)
        (<ArrayWriter>writer).item = writer_of(type.items, made)
    elif kind == "map":
        writer = MapWriter.__new__(MapWriter)
        (<MapWriter>writer).item = writer_of(type.items, made)
        (<MapWriter>writer).key = plain_writer("string", type)
    elif kind == "enum":
        writer = enum_writer(type)
    elif kind == "union":
        union = UnionWriter.__new__(UnionWriter)
        union.branches = tuple([writer_of(branch, made) for branch in type.branches])
        union.null = -1
        union.by_name = {}
        union.map = -1
        others = []
        for i, branch in enumerate(type.branches):
            if branch.kind == "null":
                union.null = i
            else:
                others.append(i)
            if branch.kind == "map":
                union.map = i
            short = (branch.name or branch.kind).rpartition(".")[2]
            union.by_name[short] = AMBIGUOUS if short in union.by_name else i
        for i, branch in enumerate(type.branches):
            union.by_name[branch.name or branch.kind] = i
        union.forks = sum([branch.kind in ("record", "array", "map") for branch in type.branches]) > 1
        union.only = others[0] if len(others) == 1 else -1
        union.only_record = union.only >= 0 and type.branches[union.only].kind == "record"
        union.keeps_nan = any([branch.kind in ("float", "double") for branch in type.branches])
        union.label = union_label(type)
        return union
    elif kind == "record":
        record = RecordWriter.__new__(RecordWriter)
        made[type] = record
        record.label = type.label
        record._class_name = type.name.rpartition(".")[2]
        record._names = tuple([sys.intern(field.name) for field in type.fields])
        record._strict = type.strict
        record._reader = None if type.strict else reader_of(record._names)
        record._writers = tuple([writer_of(field.type, made) for field in type.fields])
        record._defaults = [None] * len(type.fields)
        return record
    else:
        writer = plain_writer(kind, type)
    writer.label = type.label
    if type.name is not None:
        made[type] = writer
    return writer


@cython.final
cdef class Defaults:
    """Encodes the defaults of every record below a type, each once: where one default leaves a field out, that field's own
    stands there as bytes. What has to be done for any schema is bounded."""
    cdef dict _made             # writers by type
    cdef set _done              # types
    cdef set _begun             # (type, field): defaults that are being encoded
    cdef readonly Py_ssize_t steps, filled

    def __cinit__(self, dict made):
        self._made = made
        self._done = set()
        self._begun = set()

    cdef int fill(self, object type) except -1:
        """Encode all of the defaults below, now that all writers exist."""
        if type in self._done:
            return 0
        self._done.add(type)
        for branch in type.branches:
            self.fill(branch)
        if type.items is not None:
            self.fill(type.items)
        for field in type.fields:
            self.fill(field.type)
        if type.kind == "record":
            for i, field in enumerate(type.fields):
                if field.default is not MISSING:
                    self.of_field(type, i)
        return 0

    cdef bytes of_field(self, object type, Py_ssize_t i):
        """Return the default of a record's field, which has one."""
        cdef RecordWriter record = self._made[type]
        field = type.fields[i]
        if record._defaults[i] is not None:
            return record._defaults[i]
        if (type, i) in self._begun:
            raise RecursionError("a default that contains itself")
        self._begun.add((type, i))
        try:
            record._defaults[i] = self.encoded(field.type, field.default, {})
        except Mismatch as error:
            error.path.append(field.name)
            error.expected += f" as the default of {type.name}"
            raise
        finally:
            self._begun.discard((type, i))
        return record._defaults[i]

    cdef bytes encoded(self, object type, object value, dict known):
        """Encode a default from its JSON form: bytes are strings of code points, a union's default is of any branch.

        ``known`` holds what unions have found for their values: several branches may ask those below about the same.
        """
        cdef Buffer out
        out.data = NULL
        out.size = 0
        out.capacity = 0
        try:
            self.put(type, value, known, &out)
            return PyBytes_FromStringAndSize(<char*>out.data, out.size)
        finally:
            free(out.data)

    cdef tuple of_union(self, object type, object value, dict known):
        """Return the first branch that takes the value, and its bytes; None if no branch does.

        1.12 allows every branch, earlier versions only the first.
        """
        for i, branch in enumerate(type.branches):
            try:
                return i, self.encoded(branch, value, known)
            except Mismatch:
                continue
        return None

    cdef int put(self, object type, object value, dict known, Buffer* out) except -1:
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise SerializationError(f"Avro schema: defaults of more than {MOST_STEPS} values")
        enter()
        try:
            return self.put_parts(type, value, known, out)
        finally:
            Py_LeaveRecursiveCall()

    cdef int put_parts(self, object type, object value, dict known, Buffer* out) except -1:
        cdef bytes filled
        kind = type.kind
        if kind == "union":
            place = (id(type), id(value))
            if place not in known:
                known[place] = self.of_union(type, value, known)
            found = known[place]
            if found is None:
                raise Mismatch(union_label(type), value)
            append_zigzag(out, found[0])
            return append(out, PyBytes_AS_STRING(found[1]), PyBytes_GET_SIZE(found[1]))
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
                self.put(type.items, item, known, out)
            return append_byte(out, 0)
        if kind == "map" and isinstance(value, dict):
            if value:
                append_zigzag(out, len(value))
            for key, item in value.items():
                plain_writer("string", type).put(key, out)
                self.put(type.items, item, known, out)
            return append_byte(out, 0)
        if kind == "record" and isinstance(value, dict):
            self.steps += len(type.fields)
            for i, field in enumerate(type.fields):
                if field.name in value:
                    self.put(field.type, value[field.name], known, out)
                    continue
                if field.default is MISSING:
                    raise Mismatch(f"a value for {field.name!r}", value)
                filled = self.of_field(type, i)
                self.filled += PyBytes_GET_SIZE(filled)
                if self.filled > MOST_FILLED:
                    raise SerializationError(f"Avro schema: defaults of more than {MOST_FILLED} bytes inside defaults")
                append(out, PyBytes_AS_STRING(filled), PyBytes_GET_SIZE(filled))
            return 0
        if type.logical is not None:
            return plain_writer(kind, type).put(value, out)
        return writer_of(type, self._made).put(value, out)


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
        Written before each record: the Confluent framing, or nothing.

    Raises
    ------
    SerializationError
        If a default of the schema is not of its field's type.
    """

    def __init__(self, schema, bytes prefix=b""):
        made = {}
        cdef Defaults defaults = Defaults.__new__(Defaults, made)
        self.root = writer_of(schema, made)
        self._prefix = prefix
        try:
            defaults.fill(schema)
            self.default_steps = defaults.steps
            self.default_bytes = defaults.filled
        except Mismatch as error:
            raise error.as_error(None, None) from None
        except RecursionError:
            raise SerializationError("Avro schema: a default that is nested too deep, or never ends") from None

    cdef tuple field_names(self):
        """Return the names of the fields of the record at the root."""
        return (<RecordWriter>self.root)._names

    cdef Writer field_writer(self, Py_ssize_t i):
        """Return the writer of field ``i`` of the record at the root."""
        return (<RecordWriter>self.root)._writers[i]

    cdef bytes field_default(self, Py_ssize_t i):
        """Return the encoded default of field ``i`` of the record at the root, or None."""
        return (<RecordWriter>self.root)._defaults[i]

    def encode(self, record):
        """Encode one record as bytes; None stays None (a tombstone)."""
        cdef Buffer out
        if is_missing(record):
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

    def encode_rows(self, rows, limit=None):
        """Encode rows of an iterable into one block; an EncodedBatch. None becomes a null record.

        Parameters
        ----------
        rows : iterable
        limit : int, optional
            Bytes; no rows are begun when they are reached. All are encoded without it.
        """
        return self.encode_objects(tuple(rows), SIZE_MAX if limit is None else limit)

    cdef EncodedBatch encode_objects(self, tuple rows, size_t limit):
        cdef Arena arena = Arena.__new__(Arena)
        cdef Py_ssize_t i = 0, n = len(rows)
        cdef Py_ssize_t prefix = PyBytes_GET_SIZE(self._prefix)
        cdef bint nulls = False
        cdef object row = None
        cdef Writer root = self.root
        cdef RecordWriter record = root if isinstance(root, RecordWriter) else None
        cdef Receiver receiver = Receiver.__new__(Receiver)
        cdef Py_ssize_t stop
        arena.start(n)
        receiver._writer = record
        receiver._arena = arena
        receiver._prefix = self._prefix
        receive = PyCFunction_New(&RECEIVE, receiver)
        try:
            while i < n and (i == 0 or arena.out.size < limit):
                row = rows[i]
                if record is not None and i % MANY == 0:
                    stop = min(i + MANY, n)
                    if record.are_alike(rows, i, stop):
                        receiver.row = i
                        try:
                            record._reader(rows[i:stop], receive)
                        except Exception:
                            i = receiver.row
                            row = rows[i]
                            if receiver.failed:
                                raise
                            # An attribute is not there, or its code failed: the others one by one.
                        else:
                            i = stop
                            continue
                if type(row) is not dict and is_missing(row):
                    if not nulls:
                        arena.mark_valid(n)
                        nulls = True
                    arena.valid[i] = 0
                else:
                    make_room(&arena.out, prefix)
                    memcpy(arena.out.data + arena.out.size, PyBytes_AS_STRING(self._prefix), prefix)
                    arena.out.size += prefix
                    root.put(row, &arena.out)
                i += 1
                arena.offsets[i] = arena.out.size
        except Mismatch as error:
            raise error.as_error(i, "") from None
        except RecursionError:
            raise Mismatch("a value that is not nested so deep", row).as_error(i, "") from None
        return arena.batch(i, nulls)
