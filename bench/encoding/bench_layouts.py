"""Struct against the struct module, and bytes that are ready: ``python -m bench.encoding.bench_layouts``."""

from __future__ import annotations

import struct
from typing import Any

import pyarrow as pa

from bench.encoding._cases import run, through
from bench.encoding._data import five_columns, five_rows
from twolane.serializers import Bytes, Struct

N = 10_000
FORMAT = "<q5sd?q"
LAYOUT = [("id", "<i8"), ("sensor", "S5"), ("temp", "<f8"), ("flag", "?"), ("ts", "<i8")]


def rows() -> list[tuple[Any, ...]]:
    return [(r["id"], r["sensor"].encode(), r["temp"], r["flag"], r["ts"]) for r in five_rows(N)]


def packed() -> list[bytes]:
    return [struct.pack(FORMAT, *row) for row in rows()]


def struct_module() -> Any:
    given, pack = rows(), struct.Struct(FORMAT).pack

    def write() -> None:
        for row in given:
            pack(*row)

    return write


def struct_rows() -> Any:
    given, layout = rows(), Struct(LAYOUT)
    assert list(layout.encode_batch(given)) == packed()
    return lambda: layout.encode_batch(given)


def struct_columns() -> Any:
    given, layout = five_columns(N), Struct(LAYOUT)
    assert list(layout.encode_batch(given)) == packed()
    return lambda: through(layout.bind(given))


def bytes_list() -> Any:
    given = packed()
    assert list(Bytes().encode_batch(given)) == given
    return lambda: through(Bytes().bind(given))


def bytes_arrow() -> Any:
    given = pa.array(packed())
    assert list(Bytes().encode_batch(given)) == packed()
    return lambda: through(Bytes().bind(given))


CASES = {
    "struct5_struct_module_rows": struct_module,
    "struct5_rows": struct_rows,
    "struct5_numpy_columns": struct_columns,
    "bytes_list": bytes_list,
    "bytes_arrow": bytes_arrow,
}

if __name__ == "__main__":
    run(CASES, N)
