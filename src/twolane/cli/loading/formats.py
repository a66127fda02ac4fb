"""How ``twolane load`` makes records of rows: the serializer, and the columns with a role of their own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from twolane import Avro, Json, Protobuf, Timestamps, TopicColumn
from twolane.cli.loading.missing import library
from twolane.errors import SerializationError

if TYPE_CHECKING:
    from twolane.cli.loading.sources import Reader

FORMATS = "json, avro, avro:SCHEMA.avsc, protobuf:FILE.desc:MESSAGE, bytes:COLUMN"


@dataclass(frozen=True)
class Format:
    """What ``--format`` says.

    Attributes
    ----------
    name : {"json", "avro", "protobuf", "bytes"}
    detail : str
        The schema's file, or the column; empty where none is named.
    message : str
        Of Protobuf; empty where the file has one only.
    """

    name: str
    detail: str
    message: str = ""

    @property
    def schema(self) -> Path | None:
        """The schema's file."""
        return Path(self.detail) if self.name in ("avro", "protobuf") and self.detail else None

    @classmethod
    def of(cls, text: str) -> Format:
        """Read ``--format``'s value.

        Raises
        ------
        click.BadParameter
        """
        name, mark, detail = text.partition(":")
        takes = {"json": (False,), "avro": (False, True), "protobuf": (True,), "bytes": (True,)}
        if name not in takes or bool(mark) not in takes[name] or (mark and not detail):
            raise click.BadParameter(f"expected one of {FORMATS}, got {text!r}", param_hint="--format")
        message = ""
        if name == "protobuf" and not Path(detail).is_file():
            detail, _, message = detail.rpartition(":")
        found = cls(name, detail, message)
        if found.schema is not None and not found.schema.is_file():
            raise click.BadParameter(f"{detail}: no such file", param_hint="--format")
        return found

    def serializer(self, registry: str | None, first: Any, reader: Reader) -> Any:
        """Return the serializer.

        Parameters
        ----------
        registry : str or None
            URL; None writes bare bytes.
        first : columns or rows
            The first of the source, which a schema is made of where none is given.
        reader : Reader
            Knows the schema of Avro files.

        Raises
        ------
        click.UsageError
            The file is no schema, or lacks the message.
        SerializationError
            None can be made of the data.
        """
        if self.name == "bytes":
            return None
        asked = {"url": registry} if registry else None
        if self.name == "json":
            return Json() if asked is None else Json(registry=asked)
        if self.schema is not None:
            try:
                if self.name == "avro":
                    return Avro(self.schema, asked)
                # Columns with a role may be no fields.
                return Protobuf(self.schema, asked, message=self.message or None, strict=False)
            except ValueError as error:  # also SerializationError
                raise click.UsageError(f"--format {self.name}:{self.detail}: {error}") from None
        if reader.avro_schema is not None:
            return Avro(reader.avro_schema, asked)
        if hasattr(first, "schema"):
            return Avro.from_arrow(first.schema, registry=asked)
        return Avro.from_arrow(library("pyarrow").Table.from_pylist(first).schema, registry=asked)


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
