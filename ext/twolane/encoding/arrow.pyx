"""Read anything with ``__arrow_c_stream__`` or ``__arrow_c_array__`` in place, without pyarrow.

The producer's capsules are moved into owners (ArrowType, ArrowChunk); the vectors made here borrow from them.
The library that made an array is trusted to keep Arrow's own rules (offsets that rise, indices inside the dictionary,
valid UTF-8), as every consumer of the interface trusts it; kinds, counts of buffers and children are checked.
"""
from cpython.bytes cimport PyBytes_AS_STRING
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset, strcmp
cimport cython

from twolane.encoding.vectors cimport NO_MEMBER, Kind, Meaning, Vector

from twolane.errors import SerializationError

cdef int MAX_DEPTH = 64

# Formats of one layout each: kind, meaning, bytes per item, nanoseconds per tick.
cdef dict LAYOUTS = {
    b"n": (Kind.NULLS, Meaning.PLAIN, 0, 0),
    b"b": (Kind.BIT, Meaning.PLAIN, 0, 0),
    b"c": (Kind.INT8, Meaning.PLAIN, 1, 0),
    b"C": (Kind.UINT8, Meaning.PLAIN, 1, 0),
    b"s": (Kind.INT16, Meaning.PLAIN, 2, 0),
    b"S": (Kind.UINT16, Meaning.PLAIN, 2, 0),
    b"i": (Kind.INT32, Meaning.PLAIN, 4, 0),
    b"I": (Kind.UINT32, Meaning.PLAIN, 4, 0),
    b"l": (Kind.INT64, Meaning.PLAIN, 8, 0),
    b"L": (Kind.UINT64, Meaning.PLAIN, 8, 0),
    b"e": (Kind.FLOAT16, Meaning.PLAIN, 2, 0),
    b"f": (Kind.FLOAT32, Meaning.PLAIN, 4, 0),
    b"g": (Kind.FLOAT64, Meaning.PLAIN, 8, 0),
    b"z": (Kind.BINARY32, Meaning.PLAIN, 0, 0),
    b"Z": (Kind.BINARY64, Meaning.PLAIN, 0, 0),
    b"vz": (Kind.VIEWED, Meaning.PLAIN, 16, 0),
    b"u": (Kind.BINARY32, Meaning.TEXT, 0, 0),
    b"U": (Kind.BINARY64, Meaning.TEXT, 0, 0),
    b"vu": (Kind.VIEWED, Meaning.TEXT, 16, 0),
    b"tdD": (Kind.INT32, Meaning.DATE, 4, 86_400_000_000_000),
    b"tdm": (Kind.INT64, Meaning.DATE, 8, 1_000_000),
    b"tts": (Kind.INT32, Meaning.TIME, 4, 1_000_000_000),
    b"ttm": (Kind.INT32, Meaning.TIME, 4, 1_000_000),
    b"ttu": (Kind.INT64, Meaning.TIME, 8, 1_000),
    b"ttn": (Kind.INT64, Meaning.TIME, 8, 1),
    b"tDs": (Kind.INT64, Meaning.DURATION, 8, 1_000_000_000),
    b"tDm": (Kind.INT64, Meaning.DURATION, 8, 1_000_000),
    b"tDu": (Kind.INT64, Meaning.DURATION, 8, 1_000),
    b"tDn": (Kind.INT64, Meaning.DURATION, 8, 1),
    b"tiM": (Kind.FIXED, Meaning.MONTHS, 4, 0),
    b"tiD": (Kind.FIXED, Meaning.MONTHS, 8, 0),
    b"tin": (Kind.FIXED, Meaning.MONTHS, 16, 0),
    b"+l": (Kind.LIST32, Meaning.PLAIN, 0, 0),
    b"+L": (Kind.LIST64, Meaning.PLAIN, 0, 0),
    b"+vl": (Kind.LIST_VIEW32, Meaning.PLAIN, 0, 0),
    b"+vL": (Kind.LIST_VIEW64, Meaning.PLAIN, 0, 0),
    b"+s": (Kind.STRUCT, Meaning.PLAIN, 0, 0),
    b"+m": (Kind.MAP, Meaning.PLAIN, 0, 0),
}
cdef dict TICKS = {b"s": 1_000_000_000, b"m": 1_000_000, b"u": 1_000, b"n": 1}


cdef int lay_out(Vector* vector, tuple layout) except -1:
    vector.kind = <Kind><int>layout[0]
    vector.meaning = <Meaning><int>layout[1]
    vector.width = layout[2]
    vector.stride = vector.width
    vector.tick_ns = layout[3]
    return 0


# The formats of one letter, which are most, by that letter: no object has to be made to look them up.
cdef Vector[128] LETTERS
memset(LETTERS, 0, sizeof(LETTERS))
for known in LAYOUTS:
    if len(known) == 1:
        lay_out(&LETTERS[<int>known[0]], LAYOUTS[known])


cdef int buffers_of(Kind kind) noexcept nogil:
    """How many buffers an array brings at least: views add one per block. GIL: not needed."""
    if kind == Kind.NULLS or kind == Kind.UNREADABLE:
        return 0
    if kind == Kind.FIXED_LIST or kind == Kind.STRUCT or kind == Kind.UNION_SPARSE:
        return 1
    if kind in (Kind.BINARY32, Kind.BINARY64, Kind.VIEWED, Kind.LIST_VIEW32, Kind.LIST_VIEW64):
        return 3
    return 2


cdef bint may_have_nulls(Kind kind) noexcept nogil:
    """Whether the first buffer is a bitmap of nulls; a union's children say what is null. GIL: not needed."""
    return kind not in (Kind.NULLS, Kind.UNREADABLE, Kind.UNION_DENSE, Kind.UNION_SPARSE)


@cython.final
cdef class ArrowType:
    """Owner of one ArrowSchema."""

    def __cinit__(self):
        memset(&self.schema, 0, sizeof(ArrowSchema))

    def __dealloc__(self):
        if self.schema.release != NULL:
            self.schema.release(&self.schema)


@cython.final
cdef class ArrowChunk:
    """Owner of one ArrowArray and of the vectors that look into it."""

    def __cinit__(self):
        memset(&self.array, 0, sizeof(ArrowArray))
        memset(&self.root, 0, sizeof(Vector))
        self._pool = NULL
        self._used = 0
        self._size = 0
        self._members = []

    def __dealloc__(self):
        free(self._pool)
        if self.array.release != NULL:
            self.array.release(&self.array)

    cdef int read(self, ArrowType type) except -1:
        """Make the vectors. Call once, after `array` was filled."""
        self.type = type
        self._size = count_types(&type.schema, 0)
        self._pool = <Vector*>calloc(self._size, sizeof(Vector))
        if self._pool == NULL:
            raise MemoryError()
        self.fill(&self.root, &type.schema, &self.array)
        return 0

    cdef Vector* take(self, Py_ssize_t n) except NULL:
        """``n`` vectors of the pool, side by side."""
        if self._used + n > self._size:
            raise SerializationError("an Arrow array has more children than its schema says")
        self._used += n
        return self._pool + self._used - n

    cdef int fill(self, Vector* vector, const ArrowSchema* schema, const ArrowArray* array) except -1:
        """Describe one array, and its children and dictionary, as vectors."""
        cdef Py_ssize_t i
        read_format(vector, schema)
        vector.name = schema.name
        vector.length = array.length
        vector.offset = array.offset
        if schema.dictionary != NULL:
            if array.dictionary == NULL:
                raise SerializationError(f"the Arrow dictionary of {text(schema.name)!r} is missing")
            vector.dictionary = self.take(1)
            self.fill(vector.dictionary, schema.dictionary, array.dictionary)
            vector.index_kind = vector.kind
            vector.kind = Kind.DICTIONARY
            # What its items say is for who looks them up; text alone concerns the bytes behind the indices too.
            vector.meaning = Meaning.TEXT if vector.dictionary.meaning == Meaning.TEXT else Meaning.PLAIN
        if array.n_buffers < buffers_of(vector.kind) or array.n_children != schema.n_children:
            raise SerializationError(f"the Arrow array of {text(schema.name)!r} does not have the shape of its type")
        if may_have_nulls(vector.kind) and array.null_count != 0:
            vector.validity = <const uint8_t*>array.buffers[0]
        if vector.kind == Kind.BINARY32 or vector.kind == Kind.BINARY64:
            vector.offsets = array.buffers[1]
            vector.data = <const uint8_t*>array.buffers[2]
            if vector.offsets == NULL and vector.length:
                raise SerializationError(f"the Arrow offsets of {text(schema.name)!r} are missing")
            if vector.data == NULL:
                vector.data = <const uint8_t*>b""      # all strings are empty: some writers leave the block out
        elif vector.kind == Kind.VIEWED:
            vector.data = <const uint8_t*>array.buffers[1]
            vector.buffers = array.buffers + 2
        elif vector.kind in (Kind.LIST32, Kind.LIST64, Kind.MAP):
            vector.offsets = array.buffers[1]
        elif vector.kind in (Kind.LIST_VIEW32, Kind.LIST_VIEW64):
            vector.offsets = array.buffers[1]
            vector.sizes = array.buffers[2]
        elif vector.kind in (Kind.UNION_DENSE, Kind.UNION_SPARSE):
            vector.data = <const uint8_t*>array.buffers[0]
            if vector.kind == Kind.UNION_DENSE:
                vector.offsets = array.buffers[1]
            self._members.append(members_of(schema))
            vector.members = <const uint8_t*>PyBytes_AS_STRING(self._members[-1])
        elif vector.kind not in (Kind.NULLS, Kind.UNREADABLE, Kind.STRUCT, Kind.FIXED_LIST):
            vector.data = <const uint8_t*>array.buffers[1]
        if schema.n_children:
            vector.n_children = schema.n_children
            vector.children = self.take(schema.n_children)
            for i in range(schema.n_children):
                self.fill(&vector.children[i], schema.children[i], array.children[i])
        return 0


cdef Py_ssize_t count_types(const ArrowSchema* schema, int depth) except -1:
    """How many vectors a schema needs: itself, what is below it, and dictionaries."""
    cdef Py_ssize_t total = 1
    cdef int64_t i
    if depth > MAX_DEPTH:
        raise SerializationError(f"Arrow types are nested deeper than {MAX_DEPTH}")
    for i in range(schema.n_children):
        total += count_types(schema.children[i], depth + 1)
    if schema.dictionary != NULL:
        total += count_types(schema.dictionary, depth + 1)
    return total


cdef str text(const char* name):
    return "" if name == NULL else (<bytes>name).decode("utf-8", "replace")


cdef bytes members_of(const ArrowSchema* schema):
    """The child of each type id, from a union's format: ``+ud:`` or ``+us:`` and the children's ids."""
    table = bytearray([NO_MEMBER]) * 256
    ids = (<bytes>schema.format)[4:].decode()
    for child, number in enumerate(ids.split(",") if ids else ()):
        table[int(number)] = child
    if schema.n_children > 128 or len(set(table)) != schema.n_children + 1:
        raise SerializationError(f"the Arrow union {text(schema.name)!r} does not have the shape of its type")
    return bytes(table)


cdef int read_format(Vector* vector, const ArrowSchema* schema) except -1:
    """Kind, meaning, width and unit from Arrow's format string, into a vector that is all zero."""
    cdef bytes format
    if schema.format[0] > 0 and schema.format[1] == 0:
        vector[0] = LETTERS[<int>schema.format[0]]
        return 0
    format = schema.format
    vector.kind = Kind.UNREADABLE
    if format in LAYOUTS:
        lay_out(vector, LAYOUTS[format])
    elif format.startswith(b"ts"):
        vector.kind = Kind.INT64
        vector.meaning = Meaning.TIMESTAMP
        vector.stride = 8
        vector.tick_ns = TICKS[format[2:3]]
        vector.zoned = len(format) > 4
    elif format.startswith(b"w:"):
        vector.kind = Kind.FIXED
        vector.width = int(format[2:])
        vector.stride = vector.width
    elif format.startswith(b"+w:"):
        vector.kind = Kind.FIXED_LIST
        vector.width = int(format[3:])
    elif format.startswith((b"+ud:", b"+us:")):
        vector.kind = Kind.UNION_DENSE if format.startswith(b"+ud:") else Kind.UNION_SPARSE
        vector.stride = 1
    elif format.startswith(b"d:"):
        numbers = [int(number) for number in format[2:].split(b",")]
        vector.kind = Kind.FIXED
        vector.meaning = Meaning.DECIMAL
        vector.precision = numbers[0]
        vector.scale = numbers[1]
        vector.width = (numbers[2] if len(numbers) > 2 else 128) // 8
        vector.stride = vector.width
    return 0


@cython.final
cdef class ArrowData:
    """What one capsule held: a type and its arrays, in order."""

    def __cinit__(self):
        self.chunks = []

    cdef bint is_table(self):
        """Whether it is a table (a struct with named children) and not a single column."""
        return self.type.schema.format != NULL and strcmp(self.type.schema.format, "+s") == 0


cdef ArrowData read_array(object capsules):
    cdef ArrowData data = ArrowData.__new__(ArrowData)
    cdef ArrowChunk chunk = ArrowChunk.__new__(ArrowChunk)
    cdef ArrowType type = ArrowType.__new__(ArrowType)
    cdef ArrowSchema* schema
    cdef ArrowArray* array
    schema_capsule, array_capsule = capsules
    schema = <ArrowSchema*>PyCapsule_GetPointer(schema_capsule, "arrow_schema")
    array = <ArrowArray*>PyCapsule_GetPointer(array_capsule, "arrow_array")
    # Moving: the capsule's destructor does nothing once release is NULL.
    type.schema = schema[0]
    schema.release = NULL
    chunk.array = array[0]
    array.release = NULL
    data.type = type
    chunk.read(type)
    data.chunks.append(chunk)
    return data


cdef ArrowData read_stream(object capsule):
    cdef ArrowData data = ArrowData.__new__(ArrowData)
    cdef ArrowType type = ArrowType.__new__(ArrowType)
    cdef ArrowChunk chunk
    cdef ArrowArrayStream stream
    cdef ArrowArrayStream* lent = <ArrowArrayStream*>PyCapsule_GetPointer(capsule, "arrow_array_stream")
    cdef int code
    stream = lent[0]
    lent.release = NULL
    try:
        with nogil:     # a stream may run other threads that need the GIL
            code = stream.get_schema(&stream, &type.schema)
        if code:
            raise_stream_error(&stream, code)
        data.type = type
        while True:
            chunk = ArrowChunk.__new__(ArrowChunk)
            with nogil:
                code = stream.get_next(&stream, &chunk.array)
            if code:
                raise_stream_error(&stream, code)
            if chunk.array.release == NULL:
                return data
            if chunk.array.length:
                chunk.read(type)
                data.chunks.append(chunk)
    finally:
        if stream.release != NULL:
            stream.release(&stream)


cdef int raise_stream_error(ArrowArrayStream* stream, int code) except -1:
    cdef const char* reason = stream.get_last_error(stream)
    raise SerializationError(f"the Arrow stream failed with error {code}: {text(reason) or 'no reason given'}")


cdef ArrowData import_arrow(object values):
    """The Arrow data behind an object, or None if it offers neither protocol."""
    exporter = getattr(values, "__arrow_c_stream__", None)
    if exporter is not None:
        return read_stream(exporter())
    exporter = getattr(values, "__arrow_c_array__", None)
    if exporter is not None:
        return read_array(exporter())
    return None


cdef tuple described(const ArrowSchema* schema, int depth):
    if depth > MAX_DEPTH:
        raise SerializationError(f"Arrow types are nested deeper than {MAX_DEPTH}")
    children = [described(schema.children[i], depth + 1) for i in range(schema.n_children)]
    dictionary = None if schema.dictionary == NULL else described(schema.dictionary, depth + 1)
    # Flag 2: ARROW_FLAG_NULLABLE.
    return (<bytes>schema.format).decode(), text(schema.name), bool(schema.flags & 2), children, dictionary


def describe(values):
    """Describe an Arrow type: anything with ``__arrow_c_schema__``, or data whose type is wanted.

    Returns
    -------
    tuple
        (format, name, nullable, children, dictionary), the format as in the Arrow C data interface.

    Raises
    ------
    TypeError
        If it offers no Arrow protocol.
    """
    cdef ArrowType type = ArrowType.__new__(ArrowType)
    cdef ArrowSchema* lent
    exporter = getattr(values, "__arrow_c_schema__", None)
    if exporter is None:
        exporter = getattr(getattr(values, "schema", None), "__arrow_c_schema__", None)
    if exporter is None:
        data = import_arrow(values)
        if data is None:
            raise TypeError(f"expected an Arrow schema or Arrow data, got {values.__class__.__name__}")
        type = (<ArrowData>data).type
    else:
        capsule = exporter()
        lent = <ArrowSchema*>PyCapsule_GetPointer(capsule, "arrow_schema")
        type.schema = lent[0]
        lent.release = NULL
    return described(&type.schema, 0)
