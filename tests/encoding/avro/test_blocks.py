"""Avro from columns, block by block: the bytes that fastavro writes, and no byte read beyond a column."""

import os
import random
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from tests.support.avro import written
from twolane.errors import SerializationError
from twolane.serializers import Avro

MANY = [1, 63, 64, 65, 200]
# Where a number takes a byte more, on either side of zero.
EDGES = [sign * 2 ** (7 * k - 1) + by for k in range(1, 10) for sign in (1, -1) for by in (-1, 0, 1)]
EDGES += [0, 2**63 - 1, -(2**63)]
KINDS = {
    "long": pa.int64(), "int": pa.int32(), "string": pa.string(), "bytes": pa.large_binary(), "double": pa.float64(),
    "float": pa.float32(), "boolean": pa.bool_(),
}  # fmt: skip
TYPES = {f"{kind}{suffix}": (kind, arrow) for kind, arrow in KINDS.items() for suffix in ("", "_or_null")}
SCHEMA = {
    "type": "record",
    "name": "R",
    "fields": [
        {"name": name, "type": ["null", kind] if name.endswith("_or_null") else kind}
        for name, (kind, _) in TYPES.items()
    ],
}


def rows_of(n, length):
    """Rows of all kinds; `length` gives the lengths of strings."""
    draw = random.Random(n)
    values = {
        "long": lambda: draw.choice(EDGES),
        "int": lambda: draw.choice([edge for edge in EDGES if -(2**31) <= edge < 2**31]),
        "string": lambda: "".join(draw.choice("aé€") for _ in range(length(draw))),
        "bytes": lambda: draw.randbytes(length(draw)),
        "double": lambda: draw.choice([0.0, -1.5, 1e300, float("inf")]),
        "float": lambda: draw.choice([0.0, -1.5, float("-inf")]),
        "boolean": lambda: draw.random() < 0.5,
    }
    return [
        {
            name: None if name.endswith("_or_null") and draw.random() < 0.3 else values[kind]()
            for name, (kind, _) in TYPES.items()
        }
        for _ in range(n)
    ]


LENGTHS = {
    "short": lambda draw: draw.randrange(6),
    "about a move": lambda draw: draw.choice([0, 7, 8, 15, 16, 17, 63, 64]),
    "one in many long": lambda draw: 0 if draw.random() < 0.99 else 40_000,
    "all long": lambda draw: draw.randrange(3000, 5000),
}


@pytest.mark.parametrize("length", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize("n", MANY)
def test_arrow_like_fastavro(n, length):
    rows = rows_of(n + 5, length)
    table = pa.Table.from_pylist(rows, pa.schema([(name, arrow) for name, (_, arrow) in TYPES.items()]))
    avro = Avro(SCHEMA, schema_id=7)
    framed = [b"\0\0\0\0\7" + record for record in written(SCHEMA, rows)]
    assert list(avro.encode_batch(table)) == framed
    # From the middle of a byte of the bitmaps, and in parts.
    source = avro.bind(table[5:])
    assert list(source.slice(0, n)) == framed[5:]
    assert list(source.slice(n // 3, n)) == framed[5 + n // 3 :]


@pytest.mark.parametrize("width", [*range(1, 19), 40])
def test_numpy_strings_like_fastavro(width):
    draw = random.Random(width)
    texts = ["".join(draw.choice("a\0b") for _ in range(draw.randrange(width + 1))) for _ in range(150)]
    columns = {"f": np.array(texts, f"S{width}"), "g": np.arange(150)}
    kinds = {"f": "string", "g": "long"}
    schema = {"type": "record", "name": "R", "fields": [{"name": name, "type": kind} for name, kind in kinds.items()]}
    rows = [{"f": text.rstrip("\0"), "g": i} for i, text in enumerate(texts)]
    assert list(Avro(schema).encode_batch(columns)) == written(schema, rows)
    assert list(Avro(schema).encode_batch({name: column[::-2] for name, column in columns.items()})) == (
        written(schema, rows[::-2])
    )


def test_what_lies_under_a_null_does_not_count():
    offsets = pa.array([0, 3, 40, 43], pa.int32()).buffers()[1]
    valid = pa.py_buffer(bytes([0b101]))
    texts = pa.Array.from_buffers(pa.string(), 3, [valid, offsets, pa.py_buffer(b"abc" + b"x" * 37 + b"def")])
    numbers = pa.Array.from_buffers(pa.int64(), 3, [valid, pa.array([1, 2**62, 3]).buffers()[1]])
    fields = [{"name": "f", "type": ["null", "string"]}, {"name": "g", "type": ["long", "null"]}]
    avro = Avro({"type": "record", "name": "R", "fields": fields})
    assert list(avro.encode_batch(pa.table({"f": texts, "g": numbers}))) == [b"\2\6abc\0\2", b"\0\2", b"\2\6def\0\6"]


# A column whose last byte is the last one of a page, before a page that may not be read.
GUARDED = """
import ctypes, mmap
import numpy as np
import pyarrow as pa
from twolane import Avro

def at_the_end(data):
    pages = mmap.mmap(-1, 2 * mmap.PAGESIZE)
    kept.append(pages)
    address = ctypes.addressof(ctypes.c_char.from_buffer(pages))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mprotect(ctypes.c_void_p(address + mmap.PAGESIZE), mmap.PAGESIZE, 0) == 0
    pages[mmap.PAGESIZE - len(data) : mmap.PAGESIZE] = data
    return address + mmap.PAGESIZE - len(data)

def buffer(data):
    return pa.foreign_buffer(at_the_end(data), len(data))

kept = []
for n in (1, 7, 8, 9, 63, 64, 65, 130):
    bits = bytes([255] * (n // 8) + [(1 << n % 8) - 1] * (n % 8 > 0))
    texts = b"abcde" * n
    columns = {
        "text": pa.Array.from_buffers(pa.string(), n, [
            buffer(bits), buffer(np.arange(0, 5 * n + 1, 5, dtype="i4").tobytes()), buffer(texts)]),
        "number": pa.Array.from_buffers(pa.int32(), n, [buffer(bits), buffer(np.arange(n, dtype="i4").tobytes())]),
        "truth": pa.Array.from_buffers(pa.bool_(), n, [buffer(bits), buffer(bits)]),
        "padded": np.frombuffer((ctypes.c_char * (5 * n)).from_address(at_the_end(texts)), "S5"),
    }
    types = {"text": ["null", "string"], "number": ["null", "int"], "truth": ["null", "boolean"], "padded": "bytes"}
    avro = Avro({"type": "record", "name": "R", "fields": [{"name": name, "type": types[name]} for name in types]})
    for start in (0, n // 2):
        records = avro.encode_batch({name: column[start:] for name, column in columns.items()})
        assert [record[-6:] for record in records] == [b"\\x0aabcde"] * (n - start)
print("done")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no mprotect")
def test_nothing_beyond_a_column_is_read():
    command = [sys.executable, "-c", GUARDED]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, env=environment)
    assert done.stdout == "done\n", done.stderr


def test_offsets_that_fall_are_refused():
    for kind, arrow in (("i4", pa.binary()), ("i8", pa.large_binary())):
        offsets = pa.py_buffer(np.array([0, 3, 1, 4], kind).tobytes())
        column = pa.Array.from_buffers(arrow, 3, [None, offsets, pa.py_buffer(b"abcd")])
        avro = Avro({"type": "record", "name": "R", "fields": [{"name": "f", "type": "bytes"}]})
        with pytest.raises(SerializationError, match="offsets that fall") as caught:
            avro.encode_batch({"f": column})
        assert caught.value.field == "f"
        assert list(avro.encode_batch({"f": [b"a"]})) == [b"\2a"]
