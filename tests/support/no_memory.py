"""Fails one allocation after the other while a call runs, in a process of its own.

``python -m tests.support.no_memory MOST`` prints JSON: for each call how many allocations failed, how many raised
an error, and what was wrong. Those of the compiled modules fail in `no_memory.c`, loaded before libc; without it
those of Python do, by `_testcapi.set_nomemory`.
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from tests.support.proto_files import proto_file, proto_set
from twolane import Avro, Bytes, DeliveryError, Json, Protobuf, Struct, pack_timestamps
from twolane.encoding.columns.table import as_table
from twolane.encoding.json import rows as json_rows
from twolane.testing import FakeProducer, FakeThroughputProducer

if TYPE_CHECKING:
    from collections.abc import Callable

_testcapi: Any = import_module("_testcapi")
N = 50
SCHEMA = {
    "type": "record",
    "name": "R",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "name", "type": ["null", "string"]},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
    ],
}
ROWS = [{"id": i, "name": f"n{i}" if i % 3 else None, "tags": ["a", "b" * i]} for i in range(N)]
ARROW = pa.Table.from_pylist(ROWS)
FLAT = np.zeros(N, [("id", "<i8"), ("level", "<f8")])
FLAT_ROWS, TEXTS = FLAT.tolist(), pa.array([f"v{i}" for i in range(N)])
# What runs code that dies, or loses its error, without memory: google.protobuf's, CPython's compiler and locks.
OF_OTHERS = {"Protobuf rows", "descriptor", "Avro schema", "JSON schema"}
OF_OTHERS |= {"send()", "send_batch()", "throughput send()", "throughput send_batch()"}
FILE = proto_set(proto_file("r.proto", {"R": {"id": "int64", "name": "string", "tags": "repeated string"}}))


def records(batch: Any) -> list[Any]:
    """Return what a batch holds."""
    return list(batch)


def sent(kind: Any, send: Callable[[Any], Any]) -> Any:
    """Return what a fake producer got."""
    with kind(partitions={"t": 3}) as producer:
        send(producer)
        return [(one.key, one.value, one.headers) for one in producer.records]


def calls() -> dict[str, Callable[[], Any]]:
    """Return the calls by name: each returns what can be compared."""
    json_rows.orjson = None  # type: ignore[assignment]  # its Rust dies where Python has no memory for it
    avro, js, protobuf, layout = Avro(SCHEMA), Json(), Protobuf(FILE, message="R"), Struct(FLAT.dtype)
    plain = [{key: value for key, value in row.items() if value is not None} for row in ROWS]
    values = [f"v{i}" for i in range(N)]
    single = {"key": "k", "headers": {"h": b"1"}, "serializer": js}
    batch = {"keys": values, "headers": {"h": values}, "serializer": avro}
    return {
        "Avro rows": lambda: records(avro.encode_batch(ROWS)),
        "Avro columns": lambda: records(avro.encode_batch(ARROW)),
        "Json rows": lambda: records(js.encode_batch(ROWS)),
        "Json columns": lambda: records(js.encode_batch(ARROW)),
        "Protobuf rows": lambda: records(protobuf.encode_batch(plain)),
        "Protobuf columns": lambda: records(protobuf.encode_batch(ARROW)),
        "Struct rows": lambda: records(layout.encode_batch(FLAT_ROWS)),
        "Struct columns": lambda: records(layout.encode_batch(FLAT)),
        "Bytes": lambda: records(Bytes().encode_batch(values)),
        "Bytes of Arrow": lambda: records(Bytes().encode_batch(TEXTS)),
        "times": lambda: pack_timestamps(list(range(1, N)), "ms", guard=False).tolist(),
        "Arrow import": lambda: as_table(ARROW).names,
        "Avro schema": lambda: Avro(SCHEMA).encode(ROWS[1]),
        "JSON schema": lambda: Json('{"type": "object"}').encode(ROWS[1]),
        "descriptor": lambda: Protobuf(FILE, message="R").encode(plain[1]),
        "send()": lambda: sent(FakeProducer, lambda producer: producer.send("t", ROWS[0], **single)),
        "send_batch()": lambda: sent(FakeProducer, lambda producer: producer.send_batch("t", ROWS, **batch)),
        "throughput send()": lambda: sent(FakeThroughputProducer, lambda p: p.send("t", ROWS[0], **single)),
        "throughput send_batch()": lambda: sent(FakeThroughputProducer, lambda p: p.send_batch("t", ROWS, **batch)),
    }


class Native:
    """Allocations of the compiled modules."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None)
        self._asked = ctypes.c_long.in_dll(self._library, "no_memory_asked")
        self._fail = self._library.no_memory_fail
        self._fail.argtypes = (ctypes.c_long,)
        self._library.no_memory_add.argtypes = (ctypes.c_size_t, ctypes.c_size_t)
        for line in Path("/proc/self/maps").read_text().splitlines():
            place, flags, *_, name = line.split()
            if "x" in flags and "/twolane/" in name and name.endswith(".so"):
                low, high = (int(end, 16) for end in place.split("-"))
                self._library.no_memory_add(low, high)

    def begin(self, n: int) -> None:
        """Let the `n`-th allocation from now on fail."""
        self._before = self._asked.value
        self._fail(n)

    def end(self, n: int) -> bool:
        """Let none fail; return whether one did."""
        self._fail(0)
        return self._asked.value - self._before >= n


class Python:
    """Allocations of Python objects, and of whatever else asks Python for memory."""

    def begin(self, n: int) -> None:
        """Let the `n`-th allocation from now on fail."""
        _testcapi.set_nomemory(n, n + 1)

    def end(self, n: int) -> bool:
        """Let none fail; return whether one may have."""
        _testcapi.remove_mem_hooks()
        return True


def attempt(call: Callable[[], Any], which: Any, n: int) -> tuple[bool, Any]:
    """Return whether an allocation may have failed, and what the call returned or raised."""
    gc.collect()
    result: Any = None
    which.begin(n)
    try:
        result = call()
    except BaseException as error:  # noqa: BLE001 - judged by the caller
        result = error
    failed = which.end(n)
    return failed, result


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says so: a MemoryError, or one of ours that was caused by it."""
    return isinstance(error, MemoryError) or (
        isinstance(error, DeliveryError) and isinstance(error.__cause__ or error.__context__, MemoryError)
    )


def fail_each(name: str, call: Callable[[], Any], which: Any, most: int) -> dict[str, Any]:
    """Let each allocation of a call fail in turn; return how many raised a MemoryError, and what was wrong."""
    want = call()
    outcome: dict[str, Any] = {"raised": 0, "tried": 0, "wrong": []}
    unharmed = 0
    for n in range(1, most + 1):
        print(f"{name} {type(which).__name__} {n}", file=sys.stderr)
        failed, result = attempt(call, which, n)
        if not failed:
            break
        outcome["tried"] += 1
        if isinstance(result, BaseException):
            unharmed = 0
            outcome["raised"] += 1
            if not is_out_of_memory(result):
                outcome["wrong"].append(f"allocation {n}: {result!r}")
        else:
            unharmed += 1
            if result != want:
                outcome["wrong"].append(f"allocation {n}: another result")
            if unharmed == 100:  # the call has no more allocations
                break
    if call() != want:
        outcome["wrong"].append("another result when there is memory again")
    return outcome


def main() -> None:
    """Fail the allocations of each call."""
    faulthandler.enable()
    gc.collect()
    gc.freeze()
    most = int(sys.argv[1])
    only = sys.argv[2:]
    which = Native() if os.environ.get("LD_PRELOAD") else Python()
    print(
        json.dumps(
            {
                name: fail_each(name, call, which, most)
                for name, call in calls().items()
                if (name in only if only else isinstance(which, Native) or name not in OF_OTHERS)
            }
        )
    )


if __name__ == "__main__":
    main()
