"""``twolane load --dry-run``: the first records as bytes, and what a reader makes of them."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import click

from twolane import Avro, Protobuf
from twolane.cli.loading.formats import serializer_of
from twolane.cli.loading.missing import library
from twolane.cli.loading.sources import Reader
from twolane.streams.chunks import chunks_of
from twolane.testing import FakeProducer

if TYPE_CHECKING:
    from twolane.cli.loading.load import LoadOptions

# Bytes of a value that are shown.
SHOWN = 96


def show_first(options: LoadOptions, count: int) -> None:
    """Print the first records. No broker and no registry is asked, so values have no id in front.

    Raises
    ------
    click.UsageError, SerializationError, TimestampError
        What the load itself would raise of these rows.
    """
    on_bad_line = _say_bad_line if options.skip else None
    reader = Reader(options.sources, max(1, count), on_bad_line, strings=options.strings)
    reader.check()
    shown = 0
    serializer: Any = None
    with FakeProducer() as fake:
        for chunk in chunks_of(iter(reader), max(1, count)):
            if chunk.start == 0:
                options.columns.check(chunk.values)
                serializer = serializer_of(options.format, None, chunk.values, reader)
            topic = options.columns.topic_of(chunk.values, options.topic)
            values, given = options.columns.arguments(chunk.values)
            given.pop("partitions", None)
            on_bad_row: Any = "skip" if options.skip else "raise"
            metadata = fake.send_batch(topic, values, serializer=serializer, on_bad_row=on_bad_row, **given)
            for error in metadata.refused:
                click.echo(f"refused: {error}")
            for record in fake.records[: count - shown]:
                _show(shown, record, serializer)
                shown += 1
            fake.clear()
            if shown >= count:
                break
    click.echo(f"{shown} records shown, none sent")


def _show(number: int, record: Any, serializer: Any) -> None:
    key = f"key {record.key!r}, timestamp {record.timestamp}, headers {record.headers}"
    click.echo(f"record {number}: topic {record.topic}, {key}")
    value = record.value
    if value is None:
        click.echo("  null")
        return
    click.echo(f"  {len(value)} bytes: {value[:SHOWN]!r}{'...' if len(value) > SHOWN else ''}")
    if serializer is not None:
        click.echo(f"  read back: {_read(value, serializer)}")


def _read(value: bytes, serializer: Any) -> str:
    """Return what a library that is not ours makes of a value."""
    if isinstance(serializer, Protobuf):
        message = library("google.protobuf.message_factory").GetMessageClass(serializer.descriptor)()
        message.ParseFromString(value)
        return " ".join(str(message).split())
    if isinstance(serializer, Avro):
        return str(library("fastavro").schemaless_reader(io.BytesIO(value), serializer.schema))
    return str(json.loads(value))


def _say_bad_line(line: Any) -> None:
    click.echo(f"refused: {line.place}: {line.reason}")
