"""What a stream takes as its source, and in which chunks it hands that over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from twolane import SerializationError
from twolane.streams.chunks import chunks_of

if TYPE_CHECKING:
    from collections.abc import Callable

N = 10


def table() -> pa.Table:
    return pa.table({"n": list(range(N))})


SOURCES: dict[str, Callable[[], Any]] = {
    "pyarrow reader": lambda: table().to_reader(max_chunksize=7),
    "pyarrow table": table,
    "pyarrow batch": lambda: table().to_batches()[0],
    "duckdb": lambda: duckdb.sql(f"select range as n from range({N})"),
    "polars lazy": lambda: pl.LazyFrame({"n": range(N)}),
    "polars": lambda: pl.DataFrame({"n": range(N)}),
    "pandas": lambda: pd.DataFrame({"n": range(N)}, index=range(100, 100 + N)),
    "numpy": lambda: np.array([(i,) for i in range(N)], dtype=[("n", "i8")]),
    "dict of arrays": lambda: {"n": np.arange(N)},
    "list": lambda: [{"n": i} for i in range(N)],
    "tuple": lambda: tuple({"n": i} for i in range(N)),
    "generator of rows": lambda: ({"n": i} for i in range(N)),
    "generator of batches": lambda: iter(table().to_batches(max_chunksize=7)),
    "generator of frames": lambda: (pl.DataFrame({"n": [i, i + 1]}) for i in range(0, N, 2)),
    "generator of arrays": lambda: ({"n": np.arange(i, i + 5)} for i in (0, 5)),
    "generator of lists": lambda: ([{"n": i}, {"n": i + 1}] for i in range(0, N, 2)),
    "generator of numpy rows": lambda: iter(np.array([(i,) for i in range(N)], dtype=[("n", "i8")])),
}


def numbers(values: Any) -> list[int]:
    if isinstance(values, dict):
        return values["n"].tolist()
    if isinstance(values, (list, tuple)):
        return [int(row["n"]) for row in values]
    column = values["n"]
    return (
        column.to_pylist()
        if hasattr(column, "to_pylist")
        else column.tolist()
        if hasattr(column, "tolist")
        else list(column)
    )


@pytest.mark.parametrize("name", SOURCES)
def test_every_row_comes_once_and_in_order(name: str) -> None:
    chunks = list(chunks_of(SOURCES[name](), 4))
    assert all(0 < chunk.n <= 4 for chunk in chunks)
    assert [number for chunk in chunks for number in numbers(chunk.values)] == list(range(N))
    assert [chunk.start for chunk in chunks] == list(np.cumsum([0] + [chunk.n for chunk in chunks])[:-1])


@pytest.mark.parametrize("source", [b"text", "text", 7, None, {"one": "row"}])
def test_what_is_no_source_is_refused(source: Any) -> None:
    with pytest.raises(SerializationError, match="expected a source"):
        list(chunks_of(source, 4))


def test_an_empty_source_has_no_chunks() -> None:
    for source in ([], iter(()), pa.table({"n": []}), pl.LazyFrame({"n": []})):
        assert list(chunks_of(source, 4)) == []


def test_a_source_is_read_no_further_than_asked() -> None:
    taken: list[int] = []

    def rows() -> Any:
        for i in range(100):
            taken.append(i)
            yield b"row"

    chunks = chunks_of(rows(), 4)
    next(chunks)
    assert len(taken) == 4


def test_a_lazy_query_that_is_not_read_to_its_end_is_stopped() -> None:
    chunks = chunks_of(pl.LazyFrame({"n": range(1000)}), 4)
    next(chunks)
    chunks.close()
