"""``twolane send``: messages from standard input or files, with kcat's flags."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from confluent_kafka import KafkaError

from twolane import SafeProducer
from twolane.cli.exits import Exit, of_counts, of_error, text_of
from twolane.cli.messages import Format, Records, delimiter_option
from twolane.cli.options import Connection, Lane, connection_options, json_option, lane_option
from twolane.cli.output import print_json, say
from twolane.errors import BatchError, DeliveryError, SerializationError, TwolaneError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from twolane import ThroughputProducer


@dataclass
class Summary:
    """What became of the messages that were read.

    Attributes
    ----------
    topic : str
    read : int
        Messages that were taken from the input.
    refused, written, not_written, unknown : int
    aborted : bool
        They were in a transaction, which was aborted.
    error : str or None
        Why it ended before the input did.
    """

    topic: str
    read: int = 0
    refused: int = 0
    written: int = 0
    not_written: int = 0
    unknown: int = 0
    aborted: bool = False
    error: str | None = None
    code: Exit = field(default=Exit.OK)

    def text(self) -> str:
        """Return it as a line."""
        counts = {"refused": self.refused, "not written": self.not_written, "unknown": self.unknown}
        parts = [f"{self.written} written to topic {self.topic!r}", *(f"{n} {what}" for what, n in counts.items() if n)]
        unsent = self.read - self.refused - self.written - self.not_written - self.unknown
        return ", ".join(parts + [f"{unsent} not sent"] * bool(unsent)) + "; aborted" * self.aborted


def _headers(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> list[Any]:
    pairs = [os.fsencode(text).partition(b"=") for text in values]
    if not all(name for name, *_ in pairs):
        raise click.BadParameter("expected NAME=VALUE, or NAME for null", context, parameter)
    return [(name.decode(errors="surrogateescape"), value if mark else None) for name, mark, value in pairs]


@click.command("send")
@click.option("-t", "--topic", required=True)
@click.option("-p", "--partition", type=click.IntRange(-1), default=-1, help="-1: by the key, or spread (default).")
@click.option(
    "-D", "--delimiter", default=r"\n", callback=delimiter_option, help=r"Between messages: text, \n, \t, \xNN."
)
@click.option("-K", "--key-delimiter", callback=delimiter_option, help="Between a message's key and its value.")
@click.option("-k", "--key", help="Key of messages that have none.")
@click.option("-H", "--header", "headers", multiple=True, callback=_headers, metavar="NAME=VALUE")
@click.option("-z", "--compression", type=click.Choice(["none", "gzip", "snappy", "lz4", "zstd"]))
@click.option("-l", "--lines", is_flag=True, help="FILES have a message per line; without it each file is one message.")
@click.option("-c", "--count", type=click.IntRange(1), help="End after so many messages.")
@click.option("-Z", "--null", "empty_is_null", is_flag=True, help="With -K: empty keys and values are null.")
@click.option("-P", "is_kcats", is_flag=True, hidden=True)
@lane_option("safe")
@connection_options
@json_option
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def command(connection: Connection, lane: Lane, as_json: bool, **given: Any) -> Exit:
    r"""Send messages from standard input, a line each, or from FILES. The flags are those of `kcat -P`.

    Ends with the first message that cannot be sent; the safe lane sends nothing behind one that was not written.

    \b
    tail -f app.log | twolane send -b kafka:9092 -t logs
    twolane send -b kafka:9092 -t orders -K : -l orders.txt
    twolane send -b kafka:9092 -t pictures -k cat cat.jpg
    """
    settings = {} if given["compression"] is None else {"compression.type": given["compression"]}
    options = {"check_topics": False} if lane == "safe" else {}
    producer = connection.producer(lane, settings, **options)
    source = Format(
        delimiter=given["delimiter"],
        key_delimiter=given["key_delimiter"],
        key=None if given["key"] is None else os.fsencode(given["key"]),
        empty_is_null=given["empty_is_null"],
        largest=int(producer.config["message.max.bytes"]),
    )
    records = _read(source, given["files"], by_line=given["lines"])
    summary = Summary(given["topic"])
    partition = None if given["partition"] == -1 else given["partition"]
    where = {"topic": given["topic"], "partitions": partition, "headers": given["headers"] or None}
    with producer:
        _send(producer, _first(records, given["count"]), summary, where)
    if summary.error is not None:
        say(summary.error)
    if as_json:
        print_json(asdict(summary))
    elif not connection.quiet:
        say(summary.text())
    return summary.code


def _read(source: Format, files: tuple[Path, ...], *, by_line: bool) -> Iterator[Records]:
    if not files:
        yield from source.split(sys.stdin.buffer)
    elif by_line:
        for path in files:
            with path.open("rb") as file:
                yield from source.split(file)
    else:
        yield from source.whole(files)


def _first(parts: Iterator[Records], count: int | None) -> Iterator[Records]:
    """Yield records until there were `count`, and read no further."""
    if count is None:
        yield from parts
        return
    for part in parts:
        yield part.until(count)
        count -= min(count, len(part))
        if not count:
            return


def _send(
    producer: SafeProducer | ThroughputProducer, parts: Iterator[Records], summary: Summary, where: dict[str, Any]
) -> None:
    """Send all that is read, end the producer, and fill in the summary."""
    stopped: BaseException | None = None
    is_transaction = "transactional.id" in producer.config
    try:
        if is_transaction:
            producer.init_transactions()
        with producer.transaction() if is_transaction else contextlib.nullcontext():
            for part in parts:
                summary.read += len(part)
                _send_part(producer, part, summary, where)
    except (TwolaneError, OSError, KeyboardInterrupt) as error:
        stopped = error
    try:
        if isinstance(stopped, KeyboardInterrupt):
            say("stopping; what was sent is waited for, Ctrl-C again gives it up")
        producer.close()
    except (TwolaneError, KeyboardInterrupt) as error:
        stopped = stopped or error
        with contextlib.suppress(TwolaneError):
            producer.close(0)  # a second Ctrl-C may have come before the first line of the other
    found = producer.stats()
    summary.written, summary.not_written, summary.unknown = found.written, found.not_written, found.unknown
    summary.aborted = is_transaction and stopped is not None
    summary.code = of_counts(refused=summary.refused, not_written=summary.not_written, unknown=summary.unknown)
    if stopped is not None:
        is_signal = isinstance(stopped, KeyboardInterrupt)
        summary.error = None if is_signal else text_of(stopped)
        if is_signal or summary.code is Exit.OK:
            summary.code = of_error(stopped)


def _send_part(
    producer: SafeProducer | ThroughputProducer, part: Records, summary: Summary, where: dict[str, Any]
) -> None:
    """Send some records; where one is refused, those before it."""
    try:
        producer.send_batch(values=part.values, keys=part.keys, **where)
    except (DeliveryError, SerializationError) as error:
        if isinstance(error, BatchError) or getattr(error, "delivery", None) is not None:
            raise
        if error.index:
            producer.send_batch(values=part.values[: error.index], keys=part.keys[: error.index], **where)
        if isinstance(error, SerializationError) or error.error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            summary.read -= len(part) - (error.index or 0) - 1
            summary.refused += 1
            raise SerializationError(
                f"message {summary.read} was refused: {getattr(error, 'detail', None) or error}"
            ) from None
        raise
