"""How ``twolane load`` makes records of rows: the serializer, and the columns with a role of their own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from twolane import Avro, Timestamps, TopicColumn
from twolane.cli.loading.missing import library
from twolane.errors import SerializationError

if TYPE_CHECKING:
    from twolane.cli.loading.sources import Reader
    from twolane.serializers.in_words import Format


def serializer_of(how: Format, registry: str | None, first: Any, reader: Reader) -> Any:
    """Return the serializer that ``--format`` names; None for bytes.

    Parameters
    ----------
    how : Format
    registry : str or None
        URL; None writes bare records.
    first : columns or rows
        The first of the source, which a schema is made of where none is given.
    reader : Reader
        Knows the schema of Avro files.

    Raises
    ------
    SerializationError
        No schema can be made of the data.
    """
    asked = {"url": registry} if registry else None
    if how.name != "avro" or how.schema is not None:
        return how.serializer(asked)
    if reader.avro_schema is not None:
        return Avro(reader.avro_schema, asked)
    rows = first if hasattr(first, "schema") else library("pyarrow").Table.from_pylist(first)
    return how.serializer(asked, rows.schema)


@dataclass(frozen=True)
class Columns:
    """The columns that are named on the command line.

    Attributes
    ----------
    value : str or None
        Of ``--format bytes:COLUMN``: the one column that is the value.
    """

    key: str | None
    timestamp: str | None
    partition: str | None
    headers: tuple[str, ...]
    value: str | None
    topic: str | None = None

    def check(self, values: Any) -> None:
        """Look whether the first rows have the columns.

        Raises
        ------
        click.UsageError
            They do not; the message lists those there are.
        """
        names = values.schema.names if hasattr(values, "schema") else {key: None for row in values for key in row}
        named = {
            "--topic-column": self.topic,
            "--key": self.key,
            "--timestamp": self.timestamp,
            "--partition": self.partition,
        }
        named |= {f"--header {name}": name for name in self.headers} | {"--format bytes": self.value}
        for option, name in named.items():
            if name is not None and name not in names:
                raise click.UsageError(f"{option}: no column {name!r}; the columns are {', '.join(map(repr, names))}")

    def topic_of(self, values: Any, topic: str | None) -> Any:
        """Return the topic of all rows, or the column with each row's own."""
        return topic if self.topic is None else TopicColumn(column(values, self.topic))

    def arguments(self, values: Any) -> tuple[Any, dict[str, Any]]:
        """Return what ``send_batch()`` takes for some rows: the values, and the arguments by name.

        Raises
        ------
        SerializationError
            A column that the rows do not have.
        """
        given: dict[str, Any] = {}
        if self.key is not None:
            given["keys"] = as_text(column(values, self.key))
        if self.timestamp is not None:
            given["timestamps"] = Timestamps(as_times(column(values, self.timestamp)), naive="utc")
        if self.partition is not None:
            given["partitions"] = column(values, self.partition)
        if self.headers:
            given["headers"] = {name: as_text(column(values, name)) for name in self.headers}
        return values if self.value is None else column(values, self.value), given


def topics_of(values: Any, name: str) -> set[str]:
    """Return the topics that a column names; what is none is left to ``send_batch()``."""
    found = column(values, name)
    each = found if isinstance(found, list) else found.unique().to_pylist()
    return {topic for topic in each if isinstance(topic, str) and topic}


def column(values: Any, name: str) -> Any:
    """Return a column of a batch, or of rows, where it may be missing."""
    if isinstance(values, list):
        return [row.get(name) for row in values]
    if name not in values.schema.names:
        raise SerializationError(f"no column {name!r}; the columns are {', '.join(map(repr, values.schema.names))}")
    return values.column(name)


def as_text(values: Any) -> Any:
    """Return keys or headers as they are, whole numbers as their digits."""
    if isinstance(values, list):
        return [str(value) if type(value) is int else value for value in values]
    arrow = library("pyarrow")
    return values.cast(arrow.string()) if arrow.types.is_integer(values.type) else values


def as_times(values: Any) -> Any:
    """Return times as they are, text as what it is by ISO 8601; text that is no time is left to ``send_batch()``."""
    if not isinstance(values, list):
        types = library("pyarrow").types
        if not (types.is_string(values.type) or types.is_large_string(values.type)):
            return values
        values = values.to_pylist()
    return [_time_of(value) if type(value) is str else value for value in values]


def _time_of(text: str) -> Any:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return text


def rows_of(values: Any, indices: list[int]) -> Any:
    """Return some rows of a batch or a list."""
    if isinstance(values, list):
        return [values[index] for index in indices]
    return values.take(library("pyarrow").array(indices, library("pyarrow").int64()))


def row_of(values: Any, index: int) -> Any:
    """Return one row as a dict."""
    return values[index] if isinstance(values, list) else values.slice(index, 1).to_pylist()[0]
