"""``twolane load``: files, standard input and queries to a topic."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from twolane.cli.exits import Exit, of_counts, of_error, text_of
from twolane.cli.loading.dry_run import show_first
from twolane.cli.loading.formats import Columns
from twolane.cli.loading.load import Load, LoadOptions
from twolane.cli.loading.progress import text_of_result
from twolane.cli.loading.sources import KIND_NAMES, sources_of
from twolane.cli.options import connection_options, json_option, lane_option
from twolane.cli.output import print_json, say
from twolane.serializers.in_words import WORDS, Format

if TYPE_CHECKING:
    from twolane.cli.options import Connection, Lane

CHUNK = 65_536
DRY_ROWS = 5


@click.command("load")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@connection_options
@click.option("-t", "--topic", help="Where the records go.")
@click.option("--topic-column", metavar="COLUMN", help="Each record's own topic, in place of -t.")
@click.option("--input", "kind", type=click.Choice(KIND_NAMES), help="What the sources are, whatever their names.")
@click.option("--format", "format_text", default="json", show_default=True, help=f"Of the values: {WORDS}.")
@click.option("--registry", metavar="URL", help="Schema Registry: records are in Confluent's wire format.")
@click.option("--key", metavar="COLUMN", help="The records' keys; whole numbers become their digits.")
@click.option("--timestamp", metavar="COLUMN", help="The records' times; text is ISO 8601, without a zone in UTC.")
@click.option("--partition", metavar="COLUMN", help="The records' partitions.")
@click.option("--header", "headers", metavar="COLUMN", multiple=True, help="A header of each record, of that name.")
@lane_option("safe")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), metavar="ROWS", help="Rows a second, at most.")
@click.option("--limit", type=click.IntRange(min=0), metavar="ROWS", help="The first rows only.")
@click.option(
    "--chunk", type=click.IntRange(min=1), default=CHUNK, show_default=True, help="Rows handed over at a time."
)
@click.option("--dry-run", is_flag=True, help=f"Show the first {DRY_ROWS} records, or --limit; send nothing.")
@click.option(
    "--on-bad-row",
    type=click.Choice(["stop", "skip"]),
    default="stop",
    show_default=True,
    help="What is done where a row cannot be made into a record.",
)
@click.option(
    "--bad", type=click.Path(dir_okay=False, path_type=Path), help="File that skipped rows go to, as JSON lines."
)
@click.option("--state", type=click.Path(dir_okay=False, path_type=Path), help="File that remembers how far it came.")
@click.option("--resume", is_flag=True, help="Go on where the run before stopped, however it ended.")
@click.option("--csv-strings", "strings", is_flag=True, help="Read every column of CSV as text.")
@json_option
def command(
    connection: Connection,
    sources: tuple[str, ...],
    topic: str | None,
    topic_column: str | None,
    kind: str | None,
    format_text: str,
    registry: str | None,
    key: str | None,
    timestamp: str | None,
    partition: str | None,
    headers: tuple[str, ...],
    lane: Lane,
    rate: float | None,
    limit: int | None,
    chunk: int,
    dry_run: bool,
    on_bad_row: str,
    bad: Path | None,
    state: Path | None,
    resume: bool,
    strings: bool,
    as_json: bool,
) -> int:
    """Send each row of the sources as a record.

    A SOURCE is a Parquet, Arrow, Feather, CSV, JSON lines or Avro file, a pattern of them, - for standard input, or a
    query, as "duckdb:SELECT * FROM 'flights.parquet' ORDER BY id".
    """
    if (topic is None) == (topic_column is None):
        raise click.UsageError("where to? Say -t TOPIC or --topic-column COLUMN")
    if resume and state is None:
        raise click.UsageError("--resume: which load? Say --state FILE, as the run before did")
    if bad is not None and on_bad_row != "skip":
        raise click.UsageError("--bad takes the rows that --on-bad-row skip leaves out")
    how = Format.of(format_text, "--format")
    if registry is not None and how.name == "bytes":
        raise click.UsageError("--registry: the values of --format bytes have no schema")
    columns = Columns(key, timestamp, partition, headers, how.column or None, topic_column)
    options = LoadOptions(
        sources_of(sources, kind),
        topic,
        columns,
        how,
        registry,
        lane,
        rate,
        limit,
        chunk,
        on_bad_row == "skip",
        bad,
        state,
        resume,
        strings,
        connection.quiet or as_json,
    )
    if dry_run:
        show_first(options, DRY_ROWS if limit is None else limit)
        return Exit.OK
    load = Load(connection, options)
    problem: BaseException | None = None
    try:
        load.run()
    except click.ClickException:
        raise
    except BaseException as error:  # noqa: BLE001 - the summary comes first
        problem = error
    result = load.result()
    code = _code(result, problem)
    if problem is not None:
        result["error"] = _text(problem)
        if code is Exit.FAULT:
            raise problem
    if as_json:
        print_json(result)
    else:
        click.echo(text_of_result(result))
    if problem is not None:
        say(result["error"])
        if state is not None:
            say(f"go on with --state {state} --resume")
    return code


def _code(result: dict[str, Any], problem: BaseException | None) -> Exit:
    if result["stopped"] in ("SIGINT", "SIGTERM"):
        return Exit.INTERRUPTED if result["stopped"] == "SIGINT" else Exit.TERMINATED
    counted = of_counts(refused=result["refused"], not_written=result["not_written"], unknown=result["unknown"])
    if problem is None:
        return counted
    code = of_error(problem)
    return counted if code is Exit.NOT_WRITTEN and counted is Exit.UNKNOWN else code


def _text(error: BaseException) -> str:
    """Return the error's text; the summary is printed by itself."""
    notes = [note for note in getattr(error, "__notes__", ()) if not note.startswith("twolane: ")]
    error.__notes__ = notes
    if isinstance(error, KeyboardInterrupt):
        return "stopped at once: what was in flight may be in the log"
    return text_of(error)
