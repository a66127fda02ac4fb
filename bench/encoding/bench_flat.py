"""Avro and JSON from columns, and timestamps, at 10^3 to 10^7 records: the cost of a record stays what it is.

``python -m bench.encoding.bench_flat``; with ``--memory NAME`` (of CASES) it prints the bytes that one case needs
beyond its input and its result, and times nothing. numpy's astype is beside pack_timestamps: small arrays cost
the call, large ones the pages of a new result.
"""

from __future__ import annotations

import io
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import orjson

from bench.encoding._cases import run, through
from bench.encoding._data import FIVE, five_columns, rows_of
from twolane import pack_timestamps
from twolane.serializers import Avro, Json

POWERS = range(3, 8)
ENDS = 1000


def columns(n: int) -> dict[str, np.ndarray]:
    """Columns of any length, made of ten thousand rows."""
    return {name: np.resize(column, n) for name, column in five_columns(10_000).items()}


def avro_row(record: bytes) -> dict[str, Any]:
    row = fastavro.schemaless_reader(io.BytesIO(record), FIVE)
    return {**row, "ts": round(row["ts"].timestamp() * 1000)}


def encoding(serializer: Any, read: Callable[[bytes], Any], n: int) -> Callable[[], int]:
    """Make the case of a serializer; the first and the last records are read by another library."""

    def encode() -> int:
        through(serializer.bind(given))
        return 0  # no result is kept: slices are let go

    given = columns(n)
    source = serializer.bind(given)
    for start in (0, n - ENDS):
        rows = rows_of({name: column[start : start + ENDS] for name, column in given.items()})
        assert [read(record) for record in source.slice(start, start + ENDS)] == rows
    del source
    return encode


def times(n: int) -> np.ndarray:
    return (1_700_000_000_000_000_000 + np.arange(n) * 1_000_003).astype("M8[ns]")


def packing(n: int) -> Callable[[], int]:
    given = times(n)
    assert np.array_equal(pack_timestamps(given), given.astype("M8[ms]").view(np.int64))
    return lambda: pack_timestamps(given).nbytes


def numpys(n: int) -> Callable[[], int]:
    given = times(n)
    return lambda: given.astype("M8[ms]").nbytes


# By kind of case, what makes the one of n records: it returns the bytes of the result that it keeps.
KINDS: dict[str, Callable[[int], Callable[[], int]]] = {
    "avro5": lambda n: encoding(Avro(FIVE), avro_row, n),
    "json5": lambda n: encoding(Json(), orjson.loads, n),
    "pack": packing,
    "numpy": numpys,
}
SIZES = {f"{kind}_flat_1e{power}": 10**power for kind in KINDS for power in POWERS}
CASES = {name: lambda name=name, n=n: KINDS[name.partition("_")[0]](n) for name, n in SIZES.items()}


def status(name: str) -> int:
    """Return a line of Linux's status of this process, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def memory_beyond_input(name: str) -> int:
    """Return by how many bytes the process grows during one run of a case, its result not counted."""
    function = CASES[name]()
    if (
        sys.platform != "linux"
    ):  # no way to start the high-water mark anew: what was there while the case was made hides some
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        result = function()
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * (
            1 if sys.platform == "darwin" else 1024
        )
    else:
        Path("/proc/self/clear_refs").write_text("5")
        before = status("VmRSS")
        result = function()
        grown = status("VmHWM") - before
    return max(0, grown - (result if name.startswith("pack") else 0))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--memory"]:
        print(memory_beyond_input(sys.argv[2]))
    else:
        run(CASES, SIZES)
