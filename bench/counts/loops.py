"""The loops that are counted; run by `bench.counts`, under Callgrind or with a tracer of Python's own instructions.

Every loop is run twice and counted the second time, when caches and symbols are in place. What is sent stays inside
librdkafka while the throughput lane is counted (a linger longer than the loop), so no report comes in between.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import twolane
from bench.contender import SCHEMA, reading
from twolane import DeliveryError, SafeProducer, ThroughputProducer
from twolane.encoding.columns.table import as_table
from twolane.encoding.protobuf.columns import ProtobufColumns
from twolane.encoding.protobuf.schema import Field, MessageType
from twolane.encoding.time.timestamps import pack_timestamps
from twolane.serializers import Avro, Json, Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    # Name of a loop, records of one run, the loop.
    Loop = tuple[str, int, Callable[[], object]]

PARTITIONS = 4
SLICE = 8_192
ONE_BY_ONE, WAITED, COLUMNS = 2_000, 200, 16_384
FIRST_TIMESTAMP = 1_700_000_000_000
VALUE, KEY = b"v" * 100, b"key-0001"
# Longer than any loop; the largest batch, so that a full one does not go out early either.
HELD_BACK = {
    "linger.ms": 500_000,
    "message.timeout.ms": 600_000,
    "batch.num.messages": 1_000_000,
    "batch.size": 100_000_000,
}


def encoding() -> Iterator[Loop]:
    """Give the loops of the encoders, without Kafka."""
    rows = [reading(i, FIRST_TIMESTAMP) for i in range(COLUMNS)]
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    columns["sensor"] = columns["sensor"].astype("S")
    layout = Struct([("id", "<i8"), ("sensor", "S5"), ("temp", "<f8"), ("flag", "?"), ("ts", "<i8")])
    for name, serializer in (("Avro", Avro(SCHEMA)), ("JSON", Json()), ("Struct", layout)):

        def encode(serializer: Any = serializer) -> None:
            source = serializer.bind(columns)
            for start in range(0, COLUMNS, SLICE):
                source.slice(start, start + SLICE)

        yield f"{name} columns", COLUMNS, encode
    kinds = {"id": "int64", "sensor": "string", "temp": "double", "flag": "bool", "ts": "int64"}
    fields = [
        Field(name, i, kind, False, False, False, False, None, None) for i, (name, kind) in enumerate(kinds.items(), 1)
    ]
    message, table = MessageType("Reading", False, False, tuple(fields)), as_table(columns)

    def protobuf() -> None:
        source = ProtobufColumns(message, None, table)
        for start in range(0, COLUMNS, SLICE):
            source.slice(start, start + SLICE)

    yield "Protobuf columns", COLUMNS, protobuf
    avro = Avro(SCHEMA)
    yield "Avro rows", COLUMNS, lambda: avro.encode_batch(rows)
    times = columns["ts"].astype("datetime64[ms]").astype("datetime64[ns]")
    yield "pack_timestamps", COLUMNS, lambda: pack_timestamps(times)


def throughput(bootstrap: str) -> Iterator[Loop]:
    """Give the loops of the throughput lane, up to librdkafka's queue."""
    producer = ThroughputProducer({"bootstrap.servers": bootstrap, **HELD_BACK})
    try:
        topic, send = "counts", producer.send

        def one_by_one() -> None:
            for i in range(ONE_BY_ONE):
                send(topic, VALUE, key=KEY, partition=i % PARTITIONS, timestamp=FIRST_TIMESTAMP + i)

        def hashed() -> None:
            for _ in range(ONE_BY_ONE):
                send(topic, VALUE, key=KEY)

        def on_delivery(error: Any, metadata: Any) -> None: ...

        def called_back() -> None:
            for i in range(ONE_BY_ONE):
                send(topic, VALUE, key=KEY, partition=i % PARTITIONS, on_delivery=on_delivery)

        values = [VALUE] * COLUMNS
        keys = [b"key-%04d" % (i % 1000) for i in range(COLUMNS)]
        timestamps = FIRST_TIMESTAMP + np.arange(COLUMNS)

        def batch() -> None:
            producer.send_batch(topic, values, keys=keys, timestamps=timestamps)

        producer.partitions_for(topic)
        yield "ThroughputProducer.send", ONE_BY_ONE, one_by_one
        yield "ThroughputProducer.send, partition by key", ONE_BY_ONE, hashed
        yield "ThroughputProducer.send, callback", ONE_BY_ONE, called_back
        yield "ThroughputProducer.send_batch", COLUMNS, batch
    finally:
        # Nothing was to be delivered.
        with contextlib.suppress(DeliveryError):
            producer.close(timeout=0)


def safe(bootstrap: str) -> Iterator[Loop]:
    """Give the loops of the safe lane, reports included: its caller takes them."""
    with SafeProducer({"bootstrap.servers": bootstrap}, check_topics=False) as producer:
        topic, values, timestamps = "counts", [VALUE] * SLICE, FIRST_TIMESTAMP + np.arange(SLICE)

        def waited() -> None:
            for i in range(WAITED):
                producer.send(topic, VALUE, key=KEY, partition=i % PARTITIONS, timestamp=FIRST_TIMESTAMP + i)

        yield "SafeProducer.send", WAITED, waited
        yield "SafeProducer.send_batch", SLICE, lambda: producer.send_batch(topic, values, timestamps=timestamps)


def loops(bootstrap: str) -> Iterator[Loop]:
    """Give all of them; each must be done with before the next is asked for."""
    yield from encoding()
    yield from throughput(bootstrap)
    yield from safe(bootstrap)


class Bytecodes:
    """Counts Python's instructions in the files of the package, in this thread."""

    def __init__(self) -> None:
        self._package = str(Path(twolane.__file__).parent)
        self.count = 0

    @contextlib.contextmanager
    def counting(self) -> Iterator[None]:
        """Count while the block runs."""
        self.count = 0
        sys.settrace(self._enter)
        try:
            yield
        finally:
            sys.settrace(None)

    def _enter(self, frame: Any, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(self._package):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._inside

    def _inside(self, frame: Any, event: str, argument: Any) -> Any:
        self.count += event == "opcode"
        return self._inside


def main() -> None:
    """Arguments: bootstrap servers, and the library of marks for a run under Callgrind.

    Without the library the bytecodes are counted; either way a JSON line says how many records each loop has.
    """
    bootstrap, *library = sys.argv[1:]
    marks = ctypes.CDLL(library[0]) if library else None
    tracer = Bytecodes()
    lines = {}
    gc.disable()  # It comes when it likes.
    for name, records, loop in loops(bootstrap):
        loop()
        if marks is not None:
            marks.begin_counting()
            loop()
            marks.end_counting(name.encode())
        else:
            with tracer.counting():
                loop()
        lines[name] = {"records": records, "bytecodes": tracer.count}
    print(json.dumps(lines))


if __name__ == "__main__":
    main()
