"""Memory beyond the input while records are encoded: bounded, however many there are; measured in a child process."""

import json
import os
import subprocess
import sys

import pytest

from tests.support.processes import UNDER_SANITIZER
from twolane import Avro, Bytes, Json

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the high-water mark is read, and reset, through /proc"),
    pytest.mark.skipif(UNDER_SANITIZER, reason="a sanitizer's own memory would be counted"),
]

MOST_MIB = 64
# Of columns that C code reads in place: less than half of their records.
MOST_IN_PLACE_MIB = 12
RECORDS = 1_000_000
# More than are kept as they were encoded (KEPT_ROWS).
MANY_ROWS = 600_000
# The high-water mark starts anew once the input is there; what it reaches after that is the encoder's.
CODE = """
import json, pathlib, sys
import numpy as np
from twolane import Avro, Bytes, Json, Protobuf, Struct

def status(name):
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name + ":"))

n = {n}
rng = np.random.default_rng(7)
table = {{
    "id": rng.integers(0, 2**40, n), "level": rng.random(n), "flag": rng.random(n) < 0.5,
    "sensor": np.char.add("sensor-", (np.arange(n) % 1000).astype("U4")),
    "time": np.arange(n).astype("M8[ms]"),
}}
fields = [("id", "long"), ("level", "double"), ("flag", "boolean"), ("sensor", "string"),
          ("time", {{"type": "long", "logicalType": "timestamp-millis"}})]
schema = {{"type": "record", "name": "R", "fields": [dict(name=name, type=kind) for name, kind in fields]}}
layout = np.dtype([("id", ">i8"), ("level", ">f8"), ("flag", "?"), ("time", "M8[ms]")])
if {kind!r} == "Protobuf":
    from google.protobuf import descriptor_pb2, timestamp_pb2
    from tests.support.proto_files import proto_class, proto_file
    kinds = {{"id": "int64", "level": "double", "flag": "bool", "sensor": "string"}}
    kinds["time"] = ".google.protobuf.Timestamp"
    known = descriptor_pb2.FileDescriptorProto.FromString(timestamp_pb2.DESCRIPTOR.serialized_pb)
    file = proto_file("r.proto", {{"R": kinds}}, imports=[known.name])
    message = proto_class("n.R", known, file)
serializer, values = (Protobuf(message), table) if {kind!r} == "Protobuf" else {{
    "Avro": (Avro(schema), table), "Json": (Json(), table), "Struct": (Struct(layout), table),
    "Bytes": (Bytes(), table["sensor"]),
}}[{kind!r}]
{setup}
pathlib.Path("/proc/self/clear_refs").write_text("5")
before = status("VmRSS")
{work}
print(json.dumps({{"mib": status("VmHWM") - before, "records": n}}))
"""
# One row that is there many times: the input is a list of references.
ROWS = """
text, time = "s" * 200, np.datetime64(1, "ms")
row = (7, 0.5, True, text, time)
if {kind!r} == "Struct":
    serializer, row = Struct(np.dtype([*layout.descr, ("pad", "S200")])), (7, 0.5, True, time, b"p" * 200)
if {kind!r} == "Protobuf":
    from datetime import UTC, datetime
    row = (*row[:4], datetime.fromtimestamp(1, UTC))
values = [dict(zip(table, row)) if {kind!r} in ("Json", "Protobuf") else row] * n
"""
# Lists of one object that is there many times, but for a column that C code reads in place.
LISTS = """
values = {{**table, "sensor": ["s" * 200] * n, "level": [0.5] * n, "flag": np.array([True] * n, dtype=object)}}
if {kind!r} == "Struct":
    del values["sensor"]
"""
SLICES = """
source = serializer.bind(values)
for start in range(0, n, 65_536):
    batch = source.slice(start, min(start + 65_536, n))
    del batch
"""
# Connected, and with a window that is filled once: librdkafka's own memory is there before the count begins.
OPEN = """
from twolane import ThroughputProducer
producer = ThroughputProducer({{"bootstrap.servers": {servers!r}, "queue.buffering.max.messages": 50_000}})
first = {{name: column[:100_000] for name, column in table.items()}}
producer.send_batch({topic!r}, first, serializer=serializer).result(60)
"""
SEND = """
assert producer.send_batch({topic!r}, values, serializer=serializer).result(240).written == n
producer.close()
"""


def run(code):
    """Run the code in a child; return what it printed, or fail with what it wrote to stderr."""
    # With this set glibc gives every large block back when it is freed. Else it raises the threshold as it goes, and
    # what it keeps of freed blocks depends on what lies beside them: 9 to 20 MiB that no encoder holds.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "MALLOC_MMAP_THRESHOLD_": str(2**17)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=290, check=False)
    assert not done.returncode, done.stderr
    return done.stdout


def beyond_the_input(kind, work, setup="", n=RECORDS):
    """Run the work in a child; return the MiB that it needed beyond its input."""
    return json.loads(run(CODE.format(n=n, kind=kind, work=work, setup=setup)))["mib"]


@pytest.mark.parametrize("kind", ["Avro", "Json", "Struct", "Bytes", "Protobuf"])
def test_encoding_in_slices(kind):
    assert beyond_the_input(kind, SLICES) < MOST_IN_PLACE_MIB


@pytest.mark.parametrize(
    ("kind", "n"), [("Avro", MANY_ROWS), ("Json", MANY_ROWS), ("Struct", RECORDS // 2), ("Protobuf", MANY_ROWS)]
)
def test_encoding_rows_in_slices(kind, n):
    assert beyond_the_input(kind, SLICES, ROWS.format(kind=kind), n) < MOST_MIB


@pytest.mark.parametrize(
    ("kind", "n"), [("Avro", MANY_ROWS), ("Json", MANY_ROWS), ("Struct", 4 * RECORDS), ("Protobuf", MANY_ROWS)]
)
def test_encoding_columns_of_objects_in_slices(kind, n):
    assert beyond_the_input(kind, SLICES, LISTS.format(kind=kind), n) < MOST_MIB


@pytest.mark.parametrize(
    ("value", "n"),
    [("b'x' * 100", 5 * RECORDS), ("'\u00fc' * 100", RECORDS), ("bytearray(100)", RECORDS)],
    ids=["bytes", "text", "bytearray"],
)
def test_ready_bytes_in_slices(value, n):
    assert beyond_the_input("Bytes", SLICES, f"values = [{value}] * n", n) < MOST_MIB


@pytest.mark.parametrize("serializer", [Avro({"type": "array", "items": "string"}), Json(), Bytes()])
def test_texts_do_not_grow(serializer):
    """CPython can keep the UTF-8 of a str with it: the input would grow by the size of its records."""
    texts = ["".join(["\u00fc", "\u20ac", "\U0001f600"][: i % 4]) + str(i) for i in range(100)]
    before = [sys.getsizeof(text) for text in texts]
    values = texts if isinstance(serializer, Bytes) else [texts, tuple(texts)]
    serializer.bind(values).slice(0, 2)
    assert [sys.getsizeof(text) for text in texts] == before


def test_encoding_through_a_lane(embedded_cluster, topic):
    name = topic(embedded_cluster, 4)
    places = {"servers": embedded_cluster.bootstrap_servers, "topic": name}
    assert beyond_the_input("Avro", SEND.format(**places), OPEN.format(**places)) < MOST_MIB


# Two strings of two GiB that are never touched: the kernel gives them one page of zeros.
HUGE = """
import mmap, resource
import pyarrow as pa
from twolane import Avro

size = 2**31 + 5
block = pa.py_buffer(mmap.mmap(-1, 2 * size))
offsets = pa.array([0, 3, 3 + size, 2 * size]).buffers()[1]
table = {"f": pa.LargeBinaryArray.from_buffers(pa.large_binary(), 3, [None, offsets, block])}
avro = Avro({"type": "record", "name": "R", "fields": [{"name": "f", "type": "bytes"}]})
source = avro.bind(table)
"""


def test_lengths_beyond_32_bits():
    """Their records are not cut to 32 bits but refused for want of memory, and the encoder works on."""
    limit = """
used = int(open("/proc/self/statm").read().split()[0]) * mmap.PAGESIZE
resource.setrlimit(resource.RLIMIT_AS, (used + 2**30, used + 2**30))
for call in (source.slice, lambda *rows: source.first_over(1000), lambda *rows: avro.encode({"f": memoryview(block)})):
    try:
        call(0, 3)
    except MemoryError:
        print("MemoryError")
print(source.slice(0, 1)[0].hex(), avro.encode_batch([{"f": b"a"}])[0].hex())
"""
    assert run(HUGE + limit).split() == ["MemoryError"] * 3 + ["06000000", "0261"]
