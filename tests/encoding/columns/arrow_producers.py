"""Arrow producers written by hand: the structs of the C data and C stream interfaces, so that a test can break them.

A producer copies the structs that pyarrow exports, borrows its buffers, and has release callbacks of its own.
"""

from __future__ import annotations

import ctypes
from ctypes import CFUNCTYPE, POINTER, c_char_p, c_int, c_int64, c_void_p
from typing import Any

capsule_new = ctypes.pythonapi.PyCapsule_New
capsule_new.restype, capsule_new.argtypes = ctypes.py_object, (c_void_p, c_char_p, c_void_p)
capsule_pointer = ctypes.pythonapi.PyCapsule_GetPointer
capsule_pointer.restype, capsule_pointer.argtypes = c_void_p, (ctypes.py_object, c_char_p)

SCHEMA, ARRAY, STREAM = b"arrow_schema", b"arrow_array", b"arrow_array_stream"


class ArrowSchema(ctypes.Structure):
    pass


class ArrowArray(ctypes.Structure):
    pass


class ArrowStream(ctypes.Structure):
    pass


RELEASE = CFUNCTYPE(None, c_void_p)
NEVER = ctypes.cast(None, RELEASE)
ArrowSchema._fields_ = [
    ("format", c_char_p), ("name", c_char_p), ("metadata", c_void_p), ("flags", c_int64), ("n_children", c_int64),
    ("children", POINTER(POINTER(ArrowSchema))), ("dictionary", POINTER(ArrowSchema)), ("release", RELEASE),
    ("private_data", c_void_p),
]  # fmt: skip
ArrowArray._fields_ = [
    ("length", c_int64), ("null_count", c_int64), ("offset", c_int64), ("n_buffers", c_int64), ("n_children", c_int64),
    ("buffers", POINTER(c_void_p)), ("children", POINTER(POINTER(ArrowArray))), ("dictionary", POINTER(ArrowArray)),
    ("release", RELEASE), ("private_data", c_void_p),
]  # fmt: skip
GET_SCHEMA = CFUNCTYPE(c_int, c_void_p, POINTER(ArrowSchema))
GET_NEXT = CFUNCTYPE(c_int, c_void_p, POINTER(ArrowArray))
GET_ERROR = CFUNCTYPE(c_void_p, c_void_p)
ArrowStream._fields_ = [
    ("get_schema", GET_SCHEMA), ("get_next", GET_NEXT), ("get_last_error", GET_ERROR), ("release", RELEASE),
    ("private_data", c_void_p),
]  # fmt: skip


# Who imported may call back until the interpreter ends.
ALIVE: list[Any] = []


class Node:
    """One array and its type, with children and dictionary as nodes of their own: a test changes them, then lends."""

    def __init__(self, schema: ArrowSchema, array: ArrowArray, keep: Any) -> None:
        self.keep = [keep]
        self.schema, self.array = ArrowSchema(), ArrowArray()
        for mine, lent in ((self.schema, schema), (self.array, array)):
            for name, _ in lent._fields_:
                setattr(mine, name, getattr(lent, name))
        self.buffers = [array.buffers[i] for i in range(array.n_buffers)]
        self.children = [
            Node(schema.children[i].contents, array.children[i].contents, keep) for i in range(array.n_children)
        ]
        self.dictionary = (
            Node(schema.dictionary.contents, array.dictionary.contents, keep) if array.dictionary else None
        )
        self.schema.release = self._release(ArrowSchema)
        self.array.release = self._release(ArrowArray)
        self.link()
        ALIVE.append(self)

    def _release(self, kind: Any) -> Any:
        def release(at: int) -> None:
            kind.from_address(at).release = NEVER

        callback = RELEASE(release)
        self.keep.append(callback)
        return callback

    def link(self) -> None:
        """Point the structs at buffers, children and dictionary as these are now."""
        self.array.buffers = (c_void_p * max(1, len(self.buffers)))(*self.buffers)
        n = max(1, len(self.children))
        self.schema.children = (POINTER(ArrowSchema) * n)(*(ctypes.pointer(child.schema) for child in self.children))
        self.array.children = (POINTER(ArrowArray) * n)(*(ctypes.pointer(child.array) for child in self.children))
        if self.dictionary is not None:
            self.schema.dictionary = ctypes.pointer(self.dictionary.schema)
            self.array.dictionary = ctypes.pointer(self.dictionary.array)

    def replace(self, buffer: int, data: bytes) -> None:
        """Put other bytes into the place of a buffer."""
        held = ctypes.create_string_buffer(data, len(data) + 1)
        self.keep.append(held)
        self.buffers[buffer] = ctypes.addressof(held)
        self.link()

    def below(self) -> list[Node]:
        """Give this node and all below it."""
        nodes = [self]
        for child in (*self.children, *((self.dictionary,) if self.dictionary else ())):
            nodes += child.below()
        return nodes


def node_of(array: Any) -> Node:
    """Give the node of a pyarrow array or batch."""
    schema, data = array.__arrow_c_array__()
    return Node(
        ArrowSchema.from_address(capsule_pointer(schema, SCHEMA)),
        ArrowArray.from_address(capsule_pointer(data, ARRAY)),
        (array, schema, data),
    )


class Holder:
    """Lends an array by the same capsules again and again, as an object that keeps its capsules does."""

    def __init__(self, node: Node) -> None:
        self.node, self.asked = node, 0
        self.capsules = (
            capsule_new(ctypes.addressof(node.schema), SCHEMA, None),
            capsule_new(ctypes.addressof(node.array), ARRAY, None),
        )

    def __arrow_c_array__(self, requested_schema: Any = None) -> Any:
        self.asked += 1
        return self.capsules


class Stream:
    """Lends a stream of arrays by one capsule: once, as those of nanoarrow and arro3 can be read."""

    def __init__(self, *nodes: Node, error: bytes | None = None) -> None:
        self.asked, self.nodes, self.error = 0, list(nodes), error
        self.left = list(nodes)
        said = ctypes.create_string_buffer(error or b"")
        self.stream = ArrowStream(
            GET_SCHEMA(self._schema),
            GET_NEXT(self._next),
            GET_ERROR(lambda _: ctypes.addressof(said)),
            RELEASE(self._release),
        )
        ALIVE.append(self)
        self.capsule = capsule_new(ctypes.addressof(self.stream), STREAM, None)

    def _schema(self, _: int, out: Any) -> int:
        ctypes.memmove(out, ctypes.addressof(self.nodes[0].schema), ctypes.sizeof(ArrowSchema))
        return 0

    def _next(self, _: int, out: Any) -> int:
        if self.error is not None and len(self.left) < len(self.nodes):
            return 5
        ctypes.memset(out, 0, ctypes.sizeof(ArrowArray))
        if self.left:
            ctypes.memmove(out, ctypes.addressof(self.left.pop(0).array), ctypes.sizeof(ArrowArray))
        return 0

    def _release(self, at: int) -> None:
        ArrowStream.from_address(at).release = NEVER

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        self.asked += 1
        return self.capsule
