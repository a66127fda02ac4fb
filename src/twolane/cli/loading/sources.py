"""What ``twolane load`` reads: files by their ending, standard input, queries; as Arrow batches or as rows."""

from __future__ import annotations

import glob
import itertools
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import click

from twolane.cli.loading.missing import library, optional
from twolane.encoding.json_text import parsed
from twolane.errors import SerializationError, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

QUERY = "duckdb:"
STANDARD_INPUT = "-"
KINDS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".arrows": "arrow",
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".avro": "avro",
}
KIND_NAMES = sorted(set(KINDS.values()))


class Source(NamedTuple):
    """One file, query or standard input.

    Attributes
    ----------
    name : str
        As it was given; of a pattern each file has its own.
    kind : str
        One of `KIND_NAMES`, or ``"duckdb"``.
    """

    name: str
    kind: str

    @property
    def is_file(self) -> bool:
        """Whether it is a file with a name."""
        return self.kind != "duckdb" and self.name != STANDARD_INPUT

    def identity(self) -> list[Any]:
        """Return what a state file keeps of it: of a file its size and time, too."""
        if not self.is_file:
            return [self.name, self.kind]
        status = Path(self.name).stat()
        return [str(Path(self.name).resolve()), self.kind, status.st_size, status.st_mtime_ns]


class BadLine(NamedTuple):
    """A part of a source that is no row."""

    place: str
    text: str
    reason: str


def sources_of(names: Iterable[str], kind: str | None) -> list[Source]:
    """Return the sources that the command line names.

    Raises
    ------
    click.UsageError
        A file that is not there, a pattern without files, an unknown ending.
    """
    found: list[Source] = []
    for name in names:
        if name.startswith(QUERY):
            found.append(Source(name, "duckdb"))
        elif name == STANDARD_INPUT:
            if kind is None:
                raise click.UsageError("standard input has no name to go by: say --input parquet, csv, jsonl, ...")
            found.append(Source(name, kind))
        else:
            is_pattern = not Path(name).exists() and glob.has_magic(name)
            files = sorted(glob.glob(name, recursive=True)) if is_pattern else [name]  # noqa: PTH207 - as the shell's
            if not files:
                raise click.UsageError(f"{name}: no file matches")
            found += [Source(file, kind or _kind_of(file)) for file in files]
    return found


def _kind_of(name: str) -> str:
    path = Path(name)
    if not path.exists():
        raise click.UsageError(f"{name}: no such file")
    if path.is_dir():
        raise click.UsageError(f"{name}: a directory; name its files, as '{name}/*.parquet'")
    kind = KINDS.get(path.suffix.lower())
    if kind is None:
        raise click.UsageError(f"{name}: unknown ending; say --input {', '.join(KIND_NAMES)}")
    return kind


class Reader:
    """Reads sources one after another.

    Parameters
    ----------
    sources : list of Source
    rows : int
        Of a batch, where its size can be chosen.
    on_bad_line : callable or None
        Called with a BadLine for each part that is no row; None where that is an error.
    strings : bool
        Read every column of CSV as text.
    """

    def __init__(
        self, sources: list[Source], rows: int, on_bad_line: Callable[[BadLine], None] | None, *, strings: bool = False
    ) -> None:
        self._sources = sources
        self._rows = rows
        self._on_bad_line = on_bad_line
        self._strings = strings
        # Rows of all sources, where their files say it.
        self.total: int | None = None
        # Of an Avro file, as it says itself.
        self.avro_schema: Any = None

    def check(self) -> None:
        """Look into the files that can be looked into before anything is sent.

        Raises
        ------
        SerializationError
            One is cut off, or of another format.
        """
        total: int | None = 0
        for source in self._sources:
            if source.kind == "parquet" and source.is_file:
                with _as_bad_input(source):
                    metadata = library("pyarrow.parquet").read_metadata(source.name)
                total = None if total is None else total + int(metadata.num_rows)
            elif source.kind == "avro" and source.is_file:
                with _as_bad_input(source), Path(source.name).open("rb") as file:
                    self.avro_schema = self.avro_schema or library("fastavro").reader(file).writer_schema
                total = None
            else:
                total = None
        self.total = total

    def __iter__(self) -> Iterator[Any]:
        for source in self._sources:
            with _as_bad_input(source):
                yield from getattr(self, f"_{source.kind}")(source)

    def _parquet(self, source: Source) -> Iterator[Any]:
        parquet = library("pyarrow.parquet")
        # Standard input cannot be read from its end, where a Parquet file begins.
        file = source.name if source.is_file else library("pyarrow").BufferReader(sys.stdin.buffer.read())
        with parquet.ParquetFile(file) as opened:
            yield from opened.iter_batches(batch_size=self._rows)

    def _arrow(self, source: Source) -> Iterator[Any]:
        arrow, ipc = library("pyarrow"), library("pyarrow.ipc")
        if not source.is_file:
            yield from ipc.open_stream(sys.stdin.buffer)
            return
        with arrow.memory_map(source.name) as file:
            try:
                opened = ipc.open_file(file)
            except arrow.ArrowInvalid:
                file.seek(0)
                yield from ipc.open_stream(file)
                return
            for number in range(opened.num_record_batches):
                yield opened.get_batch(number)

    def _csv(self, source: Source, delimiter: str = ",") -> Iterator[Any]:
        csv = library("pyarrow.csv")
        convert = None
        if self._strings and source.is_file:
            with _opened(source) as file:
                names = csv.open_csv(file, parse_options=csv.ParseOptions(delimiter=delimiter)).schema.names
            convert = csv.ConvertOptions(column_types=dict.fromkeys(names, library("pyarrow").string()))

        def broken(row: Any) -> str:
            if self._on_bad_line is None:
                return "error"
            place = source.name if row.number is None else f"{source.name}, line {row.number}"
            reason = f"expected {row.expected_columns} columns, got {row.actual_columns}"
            self._on_bad_line(BadLine(place, row.text, reason))
            return "skip"

        with _opened(source) as file:
            # Without threads: rows keep their numbers, and no more is read ahead than a block.
            yield from csv.open_csv(
                file,
                read_options=csv.ReadOptions(use_threads=False),
                parse_options=csv.ParseOptions(delimiter=delimiter, invalid_row_handler=broken),
                convert_options=convert,
            )

    def _tsv(self, source: Source) -> Iterator[Any]:
        return self._csv(source, "\t")

    def _jsonl(self, source: Source) -> Iterator[Any]:
        return self._batched(self._json_rows(source))

    def _json_rows(self, source: Source) -> Iterator[Any]:
        loads: Callable[[bytes], Any] = getattr(optional("orjson"), "loads", parsed)
        with _opened(source) as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    row = loads(line)
                    if type(row) is not dict:
                        raise ValueError("expected a JSON object")
                except ValueError as error:
                    place = f"{source.name}, line {number}"
                    if self._on_bad_line is None:
                        raise SerializationError(f"{place}: {error}", value=line) from None
                    self._on_bad_line(BadLine(place, line.decode(errors="replace").rstrip("\n"), str(error)))
                    continue
                yield row

    def _avro(self, source: Source) -> Iterator[Any]:
        with _opened(source) as file:
            yield from self._batched(library("fastavro").reader(file))

    def _batched(self, rows: Iterable[Any]) -> Iterator[list[Any]]:
        left = iter(rows)
        while batch := list(itertools.islice(left, self._rows)):
            yield batch

    def _duckdb(self, source: Source) -> Iterator[Any]:
        relation = library("duckdb").sql(source.name.removeprefix(QUERY))
        if relation is None:
            raise SerializationError(f"{shown(source.name)}: no query that gives rows")
        name = "to_arrow_reader" if hasattr(relation, "to_arrow_reader") else "fetch_record_batch"
        library("pyarrow")
        yield from getattr(relation, name)(self._rows)


@contextmanager
def _opened(source: Source) -> Iterator[BinaryIO]:
    if source.is_file:
        with Path(source.name).open("rb") as file:
            yield file
    else:
        yield sys.stdin.buffer


@contextmanager
def _as_bad_input(source: Source) -> Iterator[None]:
    """Say of what a library raises in which source it was."""
    try:
        yield
    except (SerializationError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the system's; pyarrow raises others of what is broken
        from_library = type(error).__module__.partition(".")[0] in ("pyarrow", "fastavro", "duckdb", "_duckdb", "zlib")
        if not from_library and not isinstance(error, (ValueError, EOFError, OSError)):
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise SerializationError(reason if source.name in reason else f"{source.name}: {reason}") from error
