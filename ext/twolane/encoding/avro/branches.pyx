"""Which branch of a union a whole column takes: the one that the rows' writers (avro_writers) would choose for each value.

Where that depends on the value there is no such branch, and the column is encoded from Python objects.
"""
from twolane.encoding.columns.selection cimport with_nan_as_null
from twolane.encoding.columns.table cimport Column
from twolane.encoding.columns.objects cimport object_at
from twolane.encoding.columns.array_view cimport (
    NO_MEMBER, Layout, LogicalType, ArrayView, is_valid, list_size, list_start, union_child, union_item,
)

from twolane.errors import SerializationError, shown

cdef tuple INSTANTS = ("timestamp-millis", "timestamp-micros", "timestamp-nanos")
cdef tuple WALLS = ("local-timestamp-millis", "local-timestamp-micros", "local-timestamp-nanos")
cdef tuple TIMES = ("time-millis", "time-micros")
# By meaning: groups of types, the best first; within a group the first of the schema wins.
cdef dict BY_MEANING = {
    <int>LogicalType.DATE: (("date",), INSTANTS + WALLS),
    <int>LogicalType.TIME: (TIMES,),
    <int>LogicalType.DURATION: (("duration",),),
    <int>LogicalType.MONTHS: (("duration",),),
    <int>LogicalType.DECIMAL: (("decimal",),),
    <int>LogicalType.UUID: (("uuid",),),
    <int>LogicalType.INTEGER: (),
}
# By kind, where the column has no meaning: the group, and the types that would take some of the values first.
cdef dict BY_KIND = {
    <int>Layout.BIT: (("boolean",), ()),
    <int>Layout.BYTE_BOOL: (("boolean",), ()),
    <int>Layout.FLOAT16: (("float", "double"), ()),
    <int>Layout.FLOAT32: (("float", "double"), ()),
    <int>Layout.FLOAT64: (("float", "double"), ()),
    <int>Layout.UCS4: (("string",), ("enum", "uuid")),
    <int>Layout.LIST32: (("array",), ("duration",)),
    <int>Layout.LIST64: (("array",), ("duration",)),
    <int>Layout.LIST_VIEW32: (("array",), ("duration",)),
    <int>Layout.LIST_VIEW64: (("array",), ("duration",)),
    <int>Layout.FIXED_LIST: (("array",), ("duration",)),
    <int>Layout.SUBARRAY: (("array",), ("duration",)),
    <int>Layout.STRUCT: (("record",), ("map",)),
    <int>Layout.MAP: (("map",), ("record",)),
}
cdef tuple SEVERAL = ("record", "enum", "fixed", "uuid", "duration", "decimal")     # a union may have more than one


cdef str name_of(object branch):
    return branch.logical or branch.kind


cdef Py_ssize_t first_of(list names, tuple group) except -2:
    """Return the first branch of the group, or -1."""
    for i, name in enumerate(names):
        if name in group:
            return i
    return -1


cdef Py_ssize_t branch_of(object type, const ArrayView* view) except -2:
    """Return the branch that takes every value which is not null, if it can be written as that; -1 where it depends on the value."""
    cdef list names = [name_of(branch) for branch in type.branches]
    cdef const ArrayView* plain = view
    if view.layout == Layout.DICTIONARY:
        plain = view.dictionary
    cdef Layout layout = plain.layout
    cdef Py_ssize_t i
    others = [i for i, name in enumerate(names) if name != "null"]
    if len(others) == 1:
        return others[0]
    if plain.logical == LogicalType.TIMESTAMP:
        # A naive datetime is a wall clock, and an aware one is none; datetime64 and numpy's columns may be either.
        groups = (INSTANTS, WALLS) if plain.zoned else (INSTANTS + WALLS,)
    elif plain.logical == LogicalType.TEXT:
        groups, rivals = (("string",),), ("enum", "uuid")
        return -1 if first_of(names, rivals) >= 0 else first_of(names, groups[0])
    else:
        groups = BY_MEANING.get(<int>plain.logical)
    if groups is not None:
        for group in groups:
            i = first_of(names, group)
            if i >= 0:
                return i
        return -1
    if Layout.INT8 <= layout <= Layout.UINT64:
        i = first_of(names, ("int", "long"))
        # An int takes what fits into it, and leaves the rest to a long behind it.
        if i >= 0 and names[i] == "int" and "long" in names and layout in (Layout.INT64, Layout.UINT32, Layout.UINT64):
            return -1
        return i
    if layout in (Layout.FIXED, Layout.PADDED, Layout.BINARY32, Layout.BINARY64, Layout.BINARY_VIEW):
        return branch_of_bytes(type, plain, names)
    if layout == Layout.FLOAT64 and "float" in names and "double" in names:
        return -1       # a float takes what it holds exactly
    group, rivals = BY_KIND.get(<int>layout, ((), ()))
    i = first_of(names, group)
    if first_of(names, rivals) >= 0 or (i >= 0 and names[i] in SEVERAL and names.count(names[i]) > 1):
        return -1
    return i


cdef Py_ssize_t branch_of_bytes(object type, const ArrayView* view, list names) except -2:
    """Return the branch for bytes: a fixed of that size, bytes, or a string, which they may stand for; -1 if that depends."""
    cdef Py_ssize_t i
    if first_of(names, ("uuid", "duration")) >= 0:
        return -1
    if view.layout == Layout.FIXED:
        for i, branch in enumerate(type.branches):
            if names[i] == "fixed" and branch.size == view.width:
                return i
    elif "fixed" in names:
        return -1
    i = first_of(names, ("bytes",))
    return i if i >= 0 or "enum" in names else first_of(names, ("string",))


cdef Py_ssize_t branch_named(object type, str name) except -2:
    """Return the branch of that full name, or the one of that name without its namespace; -1 for none."""
    cdef Py_ssize_t found = -1
    names = [branch.name or branch.kind for branch in type.branches]
    if name in names:
        return names.index(name)
    for i, full in enumerate(names):
        if full.rpartition(".")[2] == name:
            if found >= 0:
                raise SerializationError(f"several branches of the union have the name {shown(name)}: give the full one")
            found = i
    return found


cdef bint is_union(const ArrayView* view) noexcept nogil:
    return view.layout == Layout.UNION_DENSE or view.layout == Layout.UNION_SPARSE


cdef bint has_union(const ArrayView* view) noexcept nogil:
    """Return whether it is a union of Arrow, or has one below it. GIL: not needed."""
    cdef Py_ssize_t i
    for i in range(view.n_children):
        if has_union(&view.children[i]):
            return True
    return is_union(view)


cdef object value_at(object type, const ArrayView* view, Py_ssize_t i):
    """Return item ``i`` as a Python object; a union's with its branch's name, where Arrow's member has one."""
    cdef const ArrayView* child
    cdef Py_ssize_t j, first, branch
    if not has_union(view) or not is_valid(view, i):
        return object_at(view, i)
    if is_union(view):
        j = union_child(view, i)
        if j == NO_MEMBER:
            return object_at(view, i)     # refuses it
        child = &view.children[j]
        branch = branch_named(type, (<bytes>child.name).decode()) if type.kind == "union" and child.name != NULL else -1
        if branch < 0 or type.branches[branch].kind == "null":
            return value_at(type, child, union_item(view, i))
        type = type.branches[branch]
        value = value_at(type, child, union_item(view, i))
        return None if value is None else (type.name or type.kind, value)
    if type.kind == "union":
        branch = branch_of(type, view)
        if branch < 0:
            return object_at(view, i)
        type = type.branches[branch]
    if type.kind == "record" and view.layout == Layout.STRUCT:
        types = {field.name: field.type for field in type.fields}
        made = {}
        for j in range(view.n_children):
            name = (<bytes>view.children[j].name).decode()
            if name in types:
                made[name] = value_at(types[name], &view.children[j], view.offset + i)
            elif type.strict:
                made[name] = None       # refused by its name
        return made
    first = list_start(view, i) if view.layout >= Layout.LIST32 and view.layout != Layout.STRUCT else 0
    child = view.children
    if type.kind == "array" and view.layout in (
        Layout.LIST32, Layout.LIST64, Layout.LIST_VIEW32, Layout.LIST_VIEW64, Layout.FIXED_LIST
    ):
        return [value_at(type.items, child, first + j) for j in range(list_size(view, i))]
    if type.kind == "map" and view.layout == Layout.MAP:
        first += child.offset
        return {
            object_at(&child.children[0], first + j): value_at(type.items, &child.children[1], first + j)
            for j in range(list_size(view, i))
        }
    return object_at(view, i)


cdef Column with_nulls(object type, Column column):
    """Return a column of pandas whose NaN, which is how pandas says that a value is missing, are null where the type has null."""
    return with_nan_as_null(column) if type.kind == "union" and branch_named(type, "null") >= 0 else column
