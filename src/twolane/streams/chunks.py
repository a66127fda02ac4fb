"""A source of a stream as chunks of rows: lists of rows, or columns that a library reads piece by piece."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from twolane.errors import ConfigError, SerializationError, shown

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Generator

SINGLE = (str, bytes, bytearray, memoryview)


class Chunk(NamedTuple):
    """Some rows of a source, one after another.

    Attributes
    ----------
    start : int
        The number of the first in the stream.
    n : int
    values : list or columns
        What ``send_batch()`` takes as values.
    """

    start: int
    n: int
    values: Any


def chunks_of(source: Any, rows: int, start: int = 0) -> Generator[Chunk, None, None]:
    """Read a source in chunks of `rows` rows at most.

    Parameters
    ----------
    source : object
        A DuckDB relation or a polars LazyFrame, which run as they are read; columns with ``__arrow_c_stream__`` or
        rows in memory; an iterable of rows, or of batches of them.
    rows : int
    start : int
        The number of the first row.

    Raises
    ------
    SerializationError
        If it is none of these, or takes pyarrow, which is not installed.
    """
    for values in _pieces_of(source, rows):
        n = length_of(values)
        if n:
            yield Chunk(start, n, values)
            start += n


async def async_chunks_of(source: AsyncIterable[Any], rows: int) -> AsyncGenerator[Chunk, None]:
    """Read an asynchronous iterable of rows, or of batches of them, in the same way."""
    start = 0
    kept: list[Any] = []
    async for item in source:
        if is_batch(item):
            for chunk in chunks_of(item, rows, start):
                yield chunk
                start = chunk.start + chunk.n
            continue
        kept.append(item)
        if len(kept) == rows:
            yield Chunk(start, rows, kept)
            start, kept = start + rows, []
    if kept:
        yield Chunk(start, len(kept), kept)


def _pieces_of(source: Any, rows: int) -> Iterator[Any]:
    if isinstance(source, SINGLE):
        raise SerializationError("expected a source of rows or columns", value=source)
    if hasattr(source, "collect_batches"):  # polars' LazyFrame
        return _split(_running(source.collect_batches(chunk_size=rows, lazy=True)), rows)
    for name in ("to_arrow_reader", "fetch_record_batch"):  # DuckDB's relation, whose own stream is read whole
        if hasattr(source, name):
            return _split(getattr(source, name)(rows), rows)
    if hasattr(source, "read_next_batch"):  # pyarrow's RecordBatchReader
        return _split(source, rows)
    if hasattr(source, "__len__") and (is_batch(source) or isinstance(source, tuple)):
        return _slices(source, rows)
    if hasattr(source, "__arrow_c_stream__"):
        return _split(_arrow_reader(source), rows)
    if isinstance(source, Iterable) and not isinstance(source, Mapping):
        return _of_iterator(iter(source), rows)
    raise SerializationError(
        "expected a source of rows or columns: something with __arrow_c_stream__, or an iterable of rows or of batches",
        value=source,
    )


def _running(batches: Any) -> Iterator[Any]:
    """Yield what a running query gives, and stop the query where that is not read to its end."""
    try:
        yield from batches
    finally:
        if hasattr(batches, "stop"):
            batches.stop()


def _arrow_reader(source: Any) -> Any:
    try:
        import pyarrow  # type: ignore[import-untyped]
    except ImportError:
        raise SerializationError(
            "a stream of Arrow data is read batch by batch with pyarrow, which is not installed: pip install pyarrow",
            value=type(source),
        ) from None
    return pyarrow.RecordBatchReader.from_stream(source)


def _of_iterator(items: Iterator[Any], rows: int) -> Iterator[Any]:
    for first in items:
        if is_batch(first):
            return _split(chain((first,), items), rows)
        return _gather(chain((first,), items), rows)
    return iter(())


def _gather(items: Iterator[Any], rows: int) -> Iterator[list[Any]]:
    while piece := list(islice(items, rows)):
        yield piece


def _split(batches: Iterable[Any], rows: int) -> Iterator[Any]:
    for batch in batches:
        if hasattr(batch, "__len__"):
            yield from _slices(batch, rows)
        else:
            yield from _pieces_of(batch, rows)


def _slices(values: Any, rows: int) -> Iterator[Any]:
    n = length_of(values)
    if n <= rows:
        yield values
        return
    for at in range(0, n, rows):
        yield cut(values, at, at + rows)


def cut(values: Any, start: int, stop: int) -> Any:
    """Return the rows from `start` to `stop` of values in memory."""
    if isinstance(values, Mapping):
        return {name: column[start:stop] for name, column in values.items()}
    return getattr(values, "iloc", values)[start:stop]  # slices of pandas' own may go by labels


def length_of(values: Any) -> int:
    """Return the number of rows."""
    if isinstance(values, Mapping):
        return max((len(column) for column in values.values()), default=0)
    return len(values)


def is_batch(item: Any) -> bool:
    """Return whether an item of a source is many rows: columns or a list, not one row."""
    if isinstance(item, Mapping):
        return bool(item) and all(_is_column(value) for value in item.values())
    return isinstance(item, list) or _is_column(item)


def _is_column(value: Any) -> bool:
    if isinstance(value, (np.generic, *SINGLE)):
        return False
    if getattr(value, "ndim", 0):
        return True
    return hasattr(value, "__arrow_c_stream__") or hasattr(value, "__arrow_c_array__")


def column_arguments(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of each chunk's ``send_batch()``: names of columns, and what is one for all rows.

    Raises
    ------
    ConfigError
        For an array: how many rows there will be is not known.
    """
    for name, given in arguments.items():
        parts = given.values() if isinstance(given, Mapping) else given if name == "headers" else (given,)
        named = name == "headers" and not isinstance(given, Mapping)
        for part in parts or ():
            if isinstance(part, list) or _is_column(part) or (named and not isinstance(part, (str, tuple))):
                raise ConfigError(
                    f"{name}: a stream takes names of its columns, or one value for all rows, got {shown(part)}",
                    key=name,
                )
    return arguments
