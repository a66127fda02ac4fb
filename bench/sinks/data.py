"""The rows that are written, what each has to be when it is read back, and how other libraries read it."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import fastavro
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY = "sensor"
SENSORS = 1_000
FIRST = 1_700_000_000_000
PROTOBUF = "reading.desc"
AVRO = {"id": "long", "sensor": "string", "value": "double", "good": "boolean", "at": "long"}
_FIELD = descriptor_pb2.FieldDescriptorProto
_PROTOBUF = {"long": _FIELD.TYPE_INT64, "string": _FIELD.TYPE_STRING, "double": _FIELD.TYPE_DOUBLE}


def row(index: int) -> dict[str, Any]:
    """Return a row as it has to be read."""
    return {
        "id": index,
        "sensor": f"sensor-{index % SENSORS:04}",
        "value": index % 997 / 8,
        "good": index % 2 == 0,
        "at": FIRST + index,
    }


def table(first: int, rows: int) -> pa.Table:
    """Return some rows. Times are whole numbers: the JSON of Ray's own sink has no others."""
    index = np.arange(first, first + rows)
    sensors = np.array([f"sensor-{number:04}" for number in range(SENSORS)])
    return pa.table(
        {
            "id": index,
            "sensor": sensors[index % SENSORS],
            "value": index % 997 / 8,
            "good": index % 2 == 0,
            "at": FIRST + index,
        }
    )


def write(folder: Path, rows: int, tasks: int) -> None:
    """Write a Parquet file per task, and the descriptor of the rows' Protobuf message."""
    for task in range(tasks):
        first, stop = rows * task // tasks, rows * (task + 1) // tasks
        pq.write_table(table(first, stop - first), folder / f"{task:03}.parquet")
    (folder / PROTOBUF).write_bytes(_descriptors().SerializeToString())


def tables(folder: Path) -> list[pa.Table]:
    """Return what each task has to write."""
    return [pq.read_table(path) for path in sorted(folder.glob("*.parquet"))]


def _descriptors() -> descriptor_pb2.FileDescriptorSet:
    found = descriptor_pb2.FileDescriptorSet()
    file = found.file.add(name="reading.proto", package="bench", syntax="proto3")
    message = file.message_type.add(name="Reading")
    for number, (name, kind) in enumerate(AVRO.items(), 1):
        kind_of = _PROTOBUF.get(kind, _FIELD.TYPE_BOOL)
        message.field.add(name=name, number=number, type=kind_of, label=_FIELD.LABEL_OPTIONAL)
    return found


def _avro(null_first: bool) -> Callable[[bytes], dict[str, Any]]:
    fields = [{"name": name, "type": ["null", kind] if null_first else [kind, "null"]} for name, kind in AVRO.items()]
    schema = fastavro.parse_schema({"type": "record", "name": "Reading", "fields": fields})
    return lambda value: fastavro.schemaless_reader(io.BytesIO(value), schema, None)  # type: ignore[return-value]


def _protobuf() -> Callable[[bytes], dict[str, Any]]:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(_descriptors().file[0])
    message = message_factory.GetMessageClass(pool.FindMessageTypeByName("bench.Reading"))

    def read(value: bytes) -> dict[str, Any]:
        found = message.FromString(value)
        return {name: getattr(found, name) for name in AVRO}

    return read


# Spark's own Avro has null behind the type.
READERS: dict[str, Callable[[bytes], dict[str, Any]]] = {
    "json": json.loads,
    "avro": _avro(True),
    "spark-avro": _avro(False),
    "protobuf": _protobuf(),
}
