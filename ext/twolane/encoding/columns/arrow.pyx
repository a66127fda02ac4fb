"""Read anything with ``__arrow_c_stream__`` or ``__arrow_c_array__`` in place, without pyarrow.

The producer's capsules are moved into owners (ArrowType, ArrowChunk); the views made here borrow from them. What a capsule
held can be read once, so a call asks for it once. Structures that were released are refused, and so is what does not keep to
its format: counts of buffers and children, lengths, offsets, indices (checks.fault_of). What cannot be seen is trusted:
how long buffers are, and that text is UTF-8.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_IsValid
from libc.stdint cimport INT32_MAX, int32_t, int64_t, uint8_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset, strcmp, strlen
cimport cython

from twolane._units cimport DAY_NS, MS_NS
from twolane.encoding.columns.objects cimport narrow
from twolane.encoding.memory.utf8 cimport is_utf8
from twolane.encoding.columns.checks cimport buffers_of, children_of, fault_of, says_nothing, takes_no_bytes
from twolane.encoding.columns.array_view cimport Layout, LogicalType, ArrayView, int_at, is_valid, item_at

from twolane._units import ARROW_NS
from twolane.encoding.columns.arrow_formats import KNOWN_AS, STORED_AS_MEANT, parameters_of
from twolane.encoding.columns.frames import columns_of, is_frame, arrow_export_of
from twolane.errors import SerializationError

cdef extern from "Python.h":
    Py_ssize_t PY_SSIZE_T_MAX

cdef const char* NO_NAME = b""
cdef enum:
    MAX_DEPTH = 64
    MAX_TYPES = 1_000_000

# Formats of one layout each: kind, meaning, bytes per item, nanoseconds per tick.
cdef dict LAYOUTS = {
    b"n": (Layout.NULLS, LogicalType.PLAIN, 0, 0),
    b"b": (Layout.BIT, LogicalType.PLAIN, 0, 0),
    b"c": (Layout.INT8, LogicalType.PLAIN, 1, 0),
    b"C": (Layout.UINT8, LogicalType.PLAIN, 1, 0),
    b"s": (Layout.INT16, LogicalType.PLAIN, 2, 0),
    b"S": (Layout.UINT16, LogicalType.PLAIN, 2, 0),
    b"i": (Layout.INT32, LogicalType.PLAIN, 4, 0),
    b"I": (Layout.UINT32, LogicalType.PLAIN, 4, 0),
    b"l": (Layout.INT64, LogicalType.PLAIN, 8, 0),
    b"L": (Layout.UINT64, LogicalType.PLAIN, 8, 0),
    b"e": (Layout.FLOAT16, LogicalType.PLAIN, 2, 0),
    b"f": (Layout.FLOAT32, LogicalType.PLAIN, 4, 0),
    b"g": (Layout.FLOAT64, LogicalType.PLAIN, 8, 0),
    b"z": (Layout.BINARY32, LogicalType.PLAIN, 0, 0),
    b"Z": (Layout.BINARY64, LogicalType.PLAIN, 0, 0),
    b"vz": (Layout.BINARY_VIEW, LogicalType.PLAIN, 16, 0),
    b"u": (Layout.BINARY32, LogicalType.TEXT, 0, 0),
    b"U": (Layout.BINARY64, LogicalType.TEXT, 0, 0),
    b"vu": (Layout.BINARY_VIEW, LogicalType.TEXT, 16, 0),
    b"tdD": (Layout.INT32, LogicalType.DATE, 4, DAY_NS),
    b"tdm": (Layout.INT64, LogicalType.DATE, 8, MS_NS),
    b"tiM": (Layout.FIXED, LogicalType.MONTHS, 4, 0),
    b"tiD": (Layout.FIXED, LogicalType.MONTHS, 8, 0),
    b"tin": (Layout.FIXED, LogicalType.MONTHS, 16, 0),
    b"+l": (Layout.LIST32, LogicalType.PLAIN, 0, 0),
    b"+L": (Layout.LIST64, LogicalType.PLAIN, 0, 0),
    b"+vl": (Layout.LIST_VIEW32, LogicalType.PLAIN, 0, 0),
    b"+vL": (Layout.LIST_VIEW64, LogicalType.PLAIN, 0, 0),
    b"+s": (Layout.STRUCT, LogicalType.PLAIN, 0, 0),
    b"+m": (Layout.MAP, LogicalType.PLAIN, 0, 0),
    # Polars' own.
    b"_pli128": (Layout.FIXED, LogicalType.INTEGER, 16, 0),
    b"_plu128": (Layout.FIXED, LogicalType.INTEGER, 16, 0),
}
for letter, ns in ARROW_NS.items():
    LAYOUTS[b"tt" + letter] = (
        (Layout.INT32, LogicalType.TIME, 4, ns) if ns >= MS_NS else (Layout.INT64, LogicalType.TIME, 8, ns)
    )
    LAYOUTS[b"tD" + letter] = Layout.INT64, LogicalType.DURATION, 8, ns


cdef int lay_out(ArrayView* view, tuple layout) except -1:
    view.layout = <Layout><int>layout[0]
    view.logical = <LogicalType><int>layout[1]
    view.width = layout[2]
    view.stride = view.width
    view.tick_ns = layout[3]
    return 0


# The formats of one letter, which are most, by that letter: no object has to be made to look them up.
cdef ArrayView[128] LETTERS
memset(LETTERS, 0, sizeof(LETTERS))
for known in LAYOUTS:
    if len(known) == 1:
        lay_out(&LETTERS[<int>known[0]], LAYOUTS[known])


cdef bint may_have_nulls(Layout layout) noexcept nogil:
    """Return whether the first buffer is a bitmap of nulls; a union's children say what is null. GIL: not needed."""
    return layout not in (Layout.NULLS, Layout.UNREADABLE, Layout.UNION_DENSE, Layout.UNION_SPARSE)


cdef int refuse(const char* name, str what) except -1:
    raise SerializationError(f"expected Arrow data that keeps to its format: {what}", field=text(name) or None)


@cython.final
cdef class ArrowType:
    """Owner of one ArrowSchema."""

    def __dealloc__(self):
        if self.schema.release != NULL:
            self.schema.release(&self.schema)


@cython.final
cdef class ArrowChunk:
    """Owner of one ArrowArray and of the views that look into it."""

    def __cinit__(self):
        self._kept = []

    def __dealloc__(self):
        free(self._pool)
        if self.array.release != NULL:
            self.array.release(&self.array)

    cdef int read(self, ArrowType type) except -1:
        """Make the views. Called once, after `array` was filled."""
        cdef const ArrayView* where = NULL
        cdef const char* fault
        self.type = type
        self._size = count_types(&type.schema, 0)
        self._pool = <ArrayView*>calloc(self._size, sizeof(ArrayView))
        if self._pool == NULL:
            raise MemoryError()
        self.fill(&self.root, &type.schema, &self.array)
        with nogil:
            fault = fault_of(&self.root, 0, self.root.length, &where)
        if fault != NULL:
            refuse(where.name, (<bytes>fault).decode())
        return 0

    cdef ArrayView* take(self, Py_ssize_t n) except NULL:
        """Return ``n`` views of the pool, side by side."""
        if self._used + n > self._size:
            raise SerializationError("an Arrow array has more children than its schema says")
        self._used += n
        return self._pool + self._used - n

    cdef int fill(self, ArrayView* view, const ArrowSchema* schema, const ArrowArray* array) except -1:
        """Describe one array, and its children and dictionary, as views."""
        cdef bytes extension
        if array == NULL or array.release == NULL:
            refuse(schema.name, "the array was released already")
        if array.length < 0 or array.offset < 0 or array.length > PY_SSIZE_T_MAX // 8 - array.offset:
            refuse(schema.name, f"a length of {array.length} and an offset of {array.offset}")
        if array.n_buffers < 0 or (array.n_buffers and array.buffers == NULL):
            refuse(schema.name, f"{array.n_buffers} buffers, but none are given")
        if array.n_children != schema.n_children or (array.n_children and array.children == NULL):
            refuse(schema.name, f"an array with {array.n_children} children, a type with {schema.n_children}")
        if strcmp(schema.format, "+r") == 0:
            self.fill_runs(view, schema, array)
        else:
            read_format(view, schema, self._kept)
            view.length = array.length
            view.offset = array.offset
            if schema.dictionary != NULL and view.layout != Layout.UNREADABLE:
                if not Layout.INT8 <= view.layout <= Layout.UINT64 or view.logical != LogicalType.PLAIN:
                    refuse(schema.name, f"a dictionary with indices of the format {text(schema.format)!r}")
                view.dictionary = self.take(1)
                self.fill(view.dictionary, schema.dictionary, array.dictionary)
                view.index_layout = view.layout
                view.layout = Layout.DICTIONARY
                # The dictionary's own view has their logical type; TEXT is set here too, for code that reads bytes through the indices.
                view.logical = LogicalType.TEXT if view.dictionary.logical == LogicalType.TEXT else LogicalType.PLAIN
            if view.layout != Layout.UNREADABLE:
                self.fill_values(view, schema, array)
                if view.layout == Layout.DICTIONARY and says_nothing(view):
                    view.layout = Layout.NULLS
        view.name = NO_NAME if schema.name == NULL else schema.name
        if schema.metadata != NULL:
            extension = extension_of(schema)
            if extension is not None:
                extend(view, extension, self._kept)
        return 0

    cdef int fill_values(self, ArrayView* view, const ArrowSchema* schema, const ArrowArray* array) except -1:
        """Fill in buffers and children of a type that can be read."""
        cdef Py_ssize_t i, n_children = children_of(view.layout)
        cdef bint empty = array.length == 0
        # A view names its block by 32 bits: more of them there cannot be, and their place in memory would wrap.
        if array.n_buffers < buffers_of(view.layout) or array.n_buffers - 3 > INT32_MAX or (
            array.n_buffers > buffers_of(view.layout) and view.layout != Layout.BINARY_VIEW
            and (view.layout != Layout.NULLS or array.n_buffers > 1)      # polars has one
        ):
            refuse(schema.name, f"{array.n_buffers} buffers of an array of the format {text(schema.format)!r}")
        if n_children >= 0 and schema.n_children != n_children:
            refuse(schema.name, f"{schema.n_children} children of an array of the format {text(schema.format)!r}")
        if may_have_nulls(view.layout) and array.null_count != 0:
            view.validity = <const uint8_t*>array.buffers[0]
            if view.validity == NULL and array.null_count > 0 and not empty:
                refuse(schema.name, f"{array.null_count} nulls, and no bitmap that says which")
        for i in range(1 if may_have_nulls(view.layout) else 0, buffers_of(view.layout)):
            # Of strings that are all empty, and of views that need no blocks, some writers leave the last one out.
            if array.buffers[i] == NULL and not empty and i < 2 and not (view.layout == Layout.FIXED and view.width == 0):
                refuse(schema.name, f"buffer {i} is missing")
        if view.layout == Layout.BINARY32 or view.layout == Layout.BINARY64:
            view.offsets = array.buffers[1]
            view.data = <const uint8_t*>array.buffers[2]
            if view.data == NULL:
                if not empty and not takes_no_bytes(view):
                    refuse(schema.name, "buffer 2 is missing")
                view.data = <const uint8_t*>b""
        elif view.layout == Layout.BINARY_VIEW:
            view.data = <const uint8_t*>array.buffers[1]
            view.buffers = array.buffers + 2
            view.n_buffers = array.n_buffers - 3
            view.sizes = array.buffers[array.n_buffers - 1]
        elif view.layout in (Layout.LIST32, Layout.LIST64, Layout.MAP):
            view.offsets = array.buffers[1]
        elif view.layout in (Layout.LIST_VIEW32, Layout.LIST_VIEW64):
            view.offsets = array.buffers[1]
            view.sizes = array.buffers[2]
            if view.sizes == NULL and not empty:
                refuse(schema.name, "buffer 2 is missing")
        elif view.layout in (Layout.UNION_DENSE, Layout.UNION_SPARSE):
            view.data = <const uint8_t*>array.buffers[0]
            if view.layout == Layout.UNION_DENSE:
                view.offsets = array.buffers[1]
            if view.n_children != schema.n_children:
                refuse(schema.name, f"{schema.n_children} members of a union of the format {text(schema.format)!r}")
        elif view.layout not in (Layout.NULLS, Layout.STRUCT, Layout.FIXED_LIST):
            view.data = <const uint8_t*>array.buffers[1]
            if view.logical == LogicalType.INTEGER:
                narrow(view, self._kept)
        if schema.n_children:
            view.n_children = schema.n_children
            view.children = self.take(schema.n_children)
            for i in range(schema.n_children):
                self.fill(&view.children[i], schema.children[i], array.children[i])
        if view.layout == Layout.MAP and (view.children[0].layout != Layout.STRUCT or view.children[0].n_children != 2):
            refuse(schema.name, "a map whose entries are no struct of key and value")
        return 0

    cdef int fill_runs(self, ArrayView* view, const ArrowSchema* schema, const ArrowArray* array) except -1:
        """Make runs into items: of numbers, times and the like the values, of others indices into the values."""
        cdef ArrayView* ends
        cdef ArrayView* values
        cdef Py_ssize_t i, run = 0, stride = 4
        cdef int32_t number
        cdef int64_t end = 0, before = 0
        cdef uint8_t* out
        cdef uint8_t* bits = NULL
        cdef bint flat
        if schema.n_children != 2 or array.n_buffers != 0:
            refuse(schema.name, f"{schema.n_children} children and {array.n_buffers} buffers of an array of the format '+r'")
        ends = self.take(2)
        values = ends + 1
        self.fill(ends, schema.children[0], array.children[0])
        self.fill(values, schema.children[1], array.children[1])
        if values.layout == Layout.UNREADABLE:
            view[0] = values[0]
            view.length = array.length
            return 0
        if ends.layout not in (Layout.INT16, Layout.INT32, Layout.INT64) or ends.validity != NULL or (
            ends.length > values.length or values.length > INT32_MAX
        ):
            refuse(schema.name, "run ends that are no integers, or more than there are values")
        for i in range(ends.length):
            end = int_at(ends, i)
            if end <= before:
                refuse(schema.name, "run ends that do not rise")
            before = end
        if end < array.offset + array.length:
            refuse(schema.name, f"{array.offset + array.length} items, and runs that end at {end}")
        flat = Layout.INT8 <= values.layout <= Layout.FLOAT64 or values.layout == Layout.FIXED
        if flat:
            view[0] = values[0]
            stride = values.stride
        else:
            view.layout = Layout.DICTIONARY
            view.index_layout = Layout.INT32
            view.logical = LogicalType.TEXT if values.logical == LogicalType.TEXT else LogicalType.PLAIN
            view.stride = view.width = 4
            view.dictionary = values
        view.length = array.length
        view.offset = 0
        view.validity = NULL
        self._kept.append(PyBytes_FromStringAndSize(NULL, array.length * stride + 1))
        out = <uint8_t*>PyBytes_AS_STRING(self._kept[-1])
        view.data = out
        if values.validity != NULL or values.layout == Layout.NULLS:
            self._kept.append(bytes(array.length // 8 + 1))
            bits = <uint8_t*>PyBytes_AS_STRING(self._kept[-1])
            view.validity = bits
        for i in range(array.length):
            while int_at(ends, run) <= array.offset + i:
                run += 1
            if flat:
                memcpy(out + i * stride, values.data + (values.offset + run) * stride, stride)
            else:
                number = <int32_t>run
                memcpy(out + 4 * i, &number, 4)
            if bits != NULL and is_valid(values, run):
                bits[i >> 3] |= <uint8_t>(1 << (i & 7))
        return 0


cdef Py_ssize_t count_types(const ArrowSchema* schema, int depth) except -1:
    """Return how many views a schema needs: itself, what is below it, and dictionaries. It is sound at the top."""
    cdef Py_ssize_t total = 1
    cdef int64_t i
    if depth > MAX_DEPTH:
        raise SerializationError(f"Arrow types are nested deeper than {MAX_DEPTH}")
    if schema == NULL or schema.release == NULL:
        raise SerializationError("expected Arrow data, but its type was released already")
    if schema.format == NULL:
        refuse(schema.name, "a type without a format")
    if schema.name != NULL and not is_utf8(<const uint8_t*>schema.name, strlen(schema.name)):
        refuse(schema.name, "a name that is no UTF-8")
    if schema.n_children < 0 or schema.n_children > MAX_TYPES or (schema.n_children and schema.children == NULL):
        refuse(schema.name, f"{schema.n_children} children, but none are given")
    for i in range(schema.n_children):
        total += count_types(schema.children[i], depth + 1)
        if total > MAX_TYPES:
            raise SerializationError(f"expected Arrow types of at most {MAX_TYPES} parts")
    if schema.dictionary != NULL:
        total += count_types(schema.dictionary, depth + 1)
    return total


cdef str text(const char* name):
    return "" if name == NULL else (<bytes>name).decode("utf-8", "replace")


cdef bytes extension_of(const ArrowSchema* schema):
    """Return the name of an extension type, from the metadata: how many pairs, then of each key and value the length and bytes."""
    cdef const char* at = schema.metadata
    cdef int32_t n = 0, size = 0
    cdef int i
    cdef bytes key = b"", word = b""
    if at == NULL:
        return None
    memcpy(&n, at, 4)
    at += 4
    for i in range(2 * max(n, 0)):
        memcpy(&size, at, 4)
        if size < 0:
            refuse(schema.name, "metadata of a negative length")
        word = at[4:4 + size]
        at += 4 + size
        if i % 2 and key == b"ARROW:extension:name":
            return word
        key = word
    return None


cdef int extend(ArrayView* view, bytes extension, list kept) except -1:
    """Take up what an extension type means beyond its storage; another one than these is known by name only."""
    if extension == b"arrow.uuid" and view.layout == Layout.FIXED and view.width == 16:
        view.logical = LogicalType.UUID
    elif extension == b"arrow.bool8" and view.layout == Layout.INT8:
        view.layout = Layout.BYTE_BOOL
        # Any byte but 0 is true; code that copies booleans needs 1.
        made = bytes([item_at(view, i)[0] != 0 for i in range(view.length)])
        kept.append(made)
        view.data = <const uint8_t*>PyBytes_AS_STRING(made) - view.offset
    elif extension not in STORED_AS_MEANT:
        leave_unread(view, b"Arrow's extension type " + extension, kept)
    return 0


cdef int leave_unread(ArrayView* view, bytes what, list kept) except -1:
    """Mark it as UNREADABLE, with the name of its type for messages."""
    view.layout = Layout.UNREADABLE
    view.logical = LogicalType.PLAIN
    view.n_children = 0
    view.validity = NULL
    kept.append(what)
    view.unread = what
    return 0


cdef int read_format(ArrayView* view, const ArrowSchema* schema, list kept) except -1:
    """Read layout, meaning, width and unit from Arrow's format string, into a view that is all zero."""
    cdef bytes format
    if schema.format[0] > 0 and schema.format[1] == 0:
        view[0] = LETTERS[<int>schema.format[0]]
        if view.layout == Layout.UNREADABLE:
            leave_unread(view, b"Arrow's format " + schema.format, kept)
        return 0
    format = schema.format
    try:
        if format in LAYOUTS:
            lay_out(view, LAYOUTS[format])
            view.precision = format == b"_plu128"
        elif not read_parameters(view, format, kept):
            leave_unread(view, b"Arrow's format " + format, kept)
    except (ValueError, KeyError, OverflowError):
        refuse(schema.name, f"the format {text(schema.format)!r}")
    return 0


cdef bint read_parameters(ArrayView* view, bytes format, list kept) except -1:
    """Read a format with parameters; False for one that is not known, ValueError or KeyError for parameters."""
    found = parameters_of(format)
    if found is None:
        return False
    what, first, second, third = found
    if what == "timestamp":
        view.layout = Layout.INT64
        view.logical = LogicalType.TIMESTAMP
        view.width = view.stride = 8
        view.tick_ns = first
        view.zoned = second is not None
        if view.zoned:
            kept.append(second)
            view.zone = <const void*>second
    elif what == "list":
        view.layout = Layout.FIXED_LIST
        view.width = first
    elif what == "dense" or what == "sparse":
        view.layout = Layout.UNION_DENSE if what == "dense" else Layout.UNION_SPARSE
        view.stride = 1
        view.n_children = second      # how many there have to be
        kept.append(first)
        view.members = <const uint8_t*>PyBytes_AS_STRING(first)
    else:
        view.layout = Layout.FIXED
        view.stride = view.width = first if what == "fixed" else third
        if what == "decimal":
            view.logical = LogicalType.DECIMAL
            view.precision = first
            view.scale = second
    return True


@cython.final
cdef class ArrowData:
    """What one capsule held: a type and its arrays, in order."""

    def __cinit__(self):
        self.chunks = []

    cdef bint is_table(self):
        """Return whether it is a table (a struct with named children) and not a single column."""
        return strcmp(self.type.schema.format, "+s") == 0 and extension_of(&self.type.schema) is None


cdef object used_up(str what):
    return SerializationError(f"expected Arrow data, got {what} that was released, or read to its end, before")


cdef object opened(object capsule, const char* name):
    """Return the capsule, if it is one of that name."""
    if not PyCapsule_IsValid(capsule, name):
        raise SerializationError(f"expected an Arrow capsule named {text(name)}", value=capsule)
    return capsule


cdef ArrowData read_array(tuple capsules):
    cdef ArrowData data = ArrowData.__new__(ArrowData)
    cdef ArrowChunk chunk = ArrowChunk.__new__(ArrowChunk)
    cdef ArrowArray* array
    if len(capsules) != 2:
        raise SerializationError(f"expected two Arrow capsules, a schema and an array, got {len(capsules)}")
    data.type = read_schema(capsules[0])
    array = <ArrowArray*>PyCapsule_GetPointer(opened(capsules[1], "arrow_array"), "arrow_array")
    # Moving: the capsule's destructor does nothing once release is NULL.
    with cython.critical_section(capsules[1]):
        chunk.array = array[0]
        array.release = NULL
    if chunk.array.release == NULL:
        raise used_up("an array")
    chunk.read(data.type)
    data.chunks.append(chunk)
    return data


cdef ArrowType read_schema(object capsule):
    cdef ArrowType type = ArrowType.__new__(ArrowType)
    cdef ArrowSchema* schema = <ArrowSchema*>PyCapsule_GetPointer(opened(capsule, "arrow_schema"), "arrow_schema")
    with cython.critical_section(capsule):
        type.schema = schema[0]
        schema.release = NULL
    if type.schema.release == NULL:
        raise used_up("a schema")
    count_types(&type.schema, 0)
    return type


cdef ArrowData read_stream(object capsule):
    cdef ArrowData data = ArrowData.__new__(ArrowData)
    cdef ArrowType type = ArrowType.__new__(ArrowType)
    cdef ArrowChunk chunk
    cdef ArrowArrayStream stream
    cdef ArrowArrayStream* exported = <ArrowArrayStream*>PyCapsule_GetPointer(
        opened(capsule, "arrow_array_stream"), "arrow_array_stream"
    )
    cdef int code
    with cython.critical_section(capsule):
        stream = exported[0]
        exported.release = NULL
    if stream.release == NULL:
        raise used_up("a stream")
    try:
        if stream.get_schema == NULL or stream.get_next == NULL:
            raise SerializationError("expected an Arrow stream, got one without functions")
        with nogil:     # a stream may run other threads that need the GIL
            code = stream.get_schema(&stream, &type.schema)
        if code:
            raise_stream_error(&stream, code)
        if type.schema.release == NULL:
            raise used_up("a stream's schema")
        count_types(&type.schema, 0)
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
        stream.release(&stream)


cdef int raise_stream_error(ArrowArrayStream* stream, int code) except -1:
    cdef const char* reason = NULL
    if stream.get_last_error != NULL:
        reason = stream.get_last_error(stream)
    raise SerializationError(f"the Arrow stream failed with error {code}: {text(reason) or 'no reason given'}")


cdef ArrowData read_export(object exported):
    """Return what lies in the capsules."""
    return read_array(exported) if type(exported) is tuple else read_stream(exported)


cdef tuple described(const ArrowSchema* schema, int depth):
    if depth > MAX_DEPTH:
        raise SerializationError(f"Arrow types are nested deeper than {MAX_DEPTH}")
    children = [described(schema.children[i], depth + 1) for i in range(schema.n_children)]
    dictionary = None if schema.dictionary == NULL else described(schema.dictionary, depth + 1)
    form = text(schema.format)
    extension = extension_of(schema)
    # Flag 2: ARROW_FLAG_NULLABLE.
    nullable = bool(schema.flags & 2)
    if form == "+r" and len(children) == 2:
        return children[1][0], text(schema.name), nullable or children[1][2], *children[1][3:]
    if extension is not None and extension not in STORED_AS_MEANT:
        form = KNOWN_AS.get((extension, form)) or extension.decode("utf-8", "replace")
    return form, text(schema.name), nullable, children, dictionary


def describe(values):
    """Describe an Arrow type: anything with ``__arrow_c_schema__``, or data whose type is wanted.

    Returns
    -------
    tuple
        (format, name, nullable, children, dictionary), the format as in the Arrow C data interface; of an extension type
        its name, and ``"uuid"`` of Arrow's own. Runs are what they are runs of.

    Raises
    ------
    TypeError
        If it offers no Arrow protocol.
    """
    exporter = getattr(values, "__arrow_c_schema__", None)
    if exporter is None:
        exporter = getattr(getattr(values, "schema", None), "__arrow_c_schema__", None)
    if exporter is not None:
        return described(&read_schema(exporter()).schema, 0)
    if is_frame(values):
        # Each column on its own: the whole would bring the index.
        return "+s", "", False, [(found[0], name, True, *found[3:]) for name, found in [
            (name, describe(series)) for name, series in columns_of(values)
        ]], None
    exported = arrow_export_of(values, "")
    if exported is None:
        raise TypeError(f"expected an Arrow schema or Arrow data, got {values.__class__.__name__}")
    return described(&read_export(exported).type.schema, 0)
