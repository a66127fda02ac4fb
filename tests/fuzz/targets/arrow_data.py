"""Arrow's C structs with faults in lengths, offsets, counts, pointers, formats and data: records, or our error.

Arrow's structs do not say how long their buffers are, so no consumer can see a length that is only a little too large.
The arrays here are the first items of ones forty times as long: such a length stays within their buffers.
"""

from __future__ import annotations

from ctypes import POINTER, c_void_p, pointer
from functools import cache
from typing import Any

import pyarrow as pa

from tests.encoding.columns.arrow_producers import ALIVE, NEVER, ArrowArray, ArrowSchema, Holder, Node, Stream, node_of
from tests.encoding.columns.test_arrow_imports import ARRAYS, FORMATS
from tests.fuzz.draw import Draw
from tests.fuzz.targets.json_rows import strict
from twolane import Avro, Bytes, Json, SerializationError, Struct
from twolane.encoding.columns.table import as_table

ITEMS, TIMES = 5, 40
JSON = Json(binary="base64")
# Nothing between what the buffers hold and what no buffer could hold.
NUMBERS = [0, 1, 2, 3, 4, 6, 7, 20, -1, -2, -(2**31), 2**62, 2**63 - 1, -(2**63)]
SMALL = [number for number in NUMBERS if number < 2**62]
PLACES = 64
NAMES = list(ARRAYS)
READERS = [Avro("long"), Avro("string"), Avro({"type": "array", "items": "long"}), Struct("<q"), Bytes()]


@cache
def array(name: str) -> Any:
    """Return an array whose buffers have more items behind its own."""
    one = ARRAYS[name]
    if name.startswith("runs"):
        ends = pa.array(range(1, ITEMS * TIMES + 1), pa.int32())
        return pa.RunEndEncodedArray.from_arrays(ends, pa.concat_arrays([one.values] * 100)[: ITEMS * TIMES])[:ITEMS]
    if name == "dictionary":
        return pa.DictionaryArray.from_arrays(
            pa.array(range(100), pa.int32()), pa.array([f"w{i}" for i in range(100)])
        )[:ITEMS]
    return pa.concat_arrays([one] * TIMES)[:ITEMS]


def make(name: str) -> Node:
    """Return structs of a batch with one column that a test may change."""
    node = node_of(pa.RecordBatch.from_arrays([array(name)], ["f"]))
    for one in node.below():
        link(one)
    return node


def link(node: Node) -> None:
    """Point the structs at buffers and children as these are now, with places behind them for a count that lies."""
    node.link()
    node.array.buffers = (c_void_p * PLACES)(*node.buffers)
    node.schema.children = (POINTER(ArrowSchema) * PLACES)(*(pointer(child.schema) for child in node.children))
    node.array.children = (POINTER(ArrowArray) * PLACES)(*(pointer(child.array) for child in node.children))


def replace(node: Node, buffer: int, data: bytes) -> None:
    """Put other bytes into the place of a buffer."""
    node.replace(buffer, data)
    link(node)


def spoil(draw: Draw, root: Node) -> None:
    """Change something in one of the structs."""
    node = draw.choice(root.below())
    how = draw.below(16)
    if how < 4:
        number = draw.choice(NUMBERS)
        setattr(node.array, ["length", "offset", "null_count", "null_count"][how], number)
    elif how == 4:
        node.array.n_buffers = draw.choice(NUMBERS)
    elif how == 5:
        node.array.n_children = draw.choice(NUMBERS)
    elif how == 6:
        node.schema.n_children = draw.choice(NUMBERS)
    elif how == 7 and node.buffers:
        node.buffers[draw.below(len(node.buffers))] = None
        link(node)
    elif how == 8 and node.children:
        i = draw.below(len(node.children))
        (node.array if draw.below(2) else node.schema).children[i] = None
    elif how == 9:
        (node.array if draw.below(2) else node.schema).dictionary = None
    elif how == 10:
        node.schema.format = draw.choice(FORMATS)
    elif how == 11:
        node.schema.name = draw.choice([None, b"", b"\xff", b"f", b"x" * 300])
    elif how == 12:
        (node.array if draw.below(2) else node.schema).release = NEVER
    elif how == 13:
        node.schema.flags = draw.choice(NUMBERS)
    elif how == 14 and len(node.buffers) > 1 and node.buffers[1] and draw.below(2):
        # Other offsets, sizes, indices or ends of runs, in as many bytes.
        wide = 8 if node.schema.format in (b"U", b"Z", b"+L") else 4
        numbers = [draw.choice(SMALL) % 2 ** (8 * wide) for _ in range(ITEMS * TIMES + 1)]
        replace(node, 1, b"".join(number.to_bytes(wide, "little") for number in numbers) * 4)
    elif how == 15 and node.buffers:
        # Bits of the bitmap, types of a union: a byte for each item is enough for any of them.
        replace(node, 0, bytes(draw.take(1) for _ in range(8)) * 32)


def run(data: bytes) -> None:
    draw = Draw(data)
    try:
        _run(draw)
    finally:
        ALIVE.clear()


def _run(draw: Draw) -> None:
    name = draw.choice(NAMES)
    nodes = [make(name) for _ in range(1 + draw.below(2))]
    for _ in range(1 + draw.below(3)):
        spoil(draw, draw.choice(nodes))
    lies = draw.below(4) == 0
    lent: Any = Holder(nodes[0]) if draw.below(2) else Stream(*nodes, error=b"out of luck" if lies else None)
    reader = draw.choice([JSON, JSON, *READERS])
    try:
        if reader is JSON:
            table = as_table(lent)
            source = JSON.bind(table)
            records = list(source.slice(0, min(len(source), 3 * ITEMS)))
            for record in records:
                strict(record)
        else:
            list(reader.encode_batch({"f": lent} if draw.below(2) else lent))
    except SerializationError:
        pass
