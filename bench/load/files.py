"""The tables that are loaded, as Parquet and as JSON lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from bench.demo import flights

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Rows that are made and written at a time.
PIECE = 500_000


class Files(NamedTuple):
    """One table in two files."""

    parquet: Path
    jsonl: Path
    rows: int


def flights_table(rows: int | None) -> Iterator[pa.Table]:
    """Yield the first flights, all without `rows`."""
    yield pa.Table.from_pandas(flights.load(rows), preserve_index=False)


def synthetic_table(rows: int) -> Iterator[pa.Table]:
    """Yield sensor readings: a number, a key of a thousand, a float, a flag, a time."""
    sensors = np.array([f"sensor-{number:04}" for number in range(1_000)])
    for first in range(0, rows, PIECE):
        index = np.arange(first, min(first + PIECE, rows))
        yield pa.table(
            {
                "id": index,
                "sensor": sensors[index % 1_000],
                "value": index % 997 / 8,
                "good": index % 2 == 0,
                "at": (1_700_000_000_000 + index).astype("M8[ms]"),
            }
        )


def write(folder: Path, pieces: Iterator[pa.Table]) -> Files:
    """Write a table as Parquet and as JSON lines."""
    files, rows, writer = (folder / "table.parquet", folder / "table.jsonl"), 0, None
    with files[1].open("wb") as lines:
        for piece in pieces:
            writer = writer or pq.ParquetWriter(files[0], piece.schema)
            writer.write_table(piece)
            rows += len(piece)
            for batch in piece.to_batches(10_000):
                lines.write(b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in batch.to_pylist()))
    if writer is not None:
        writer.close()
    return Files(*files, rows)
