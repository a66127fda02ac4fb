"""``twolane perf``: kafka-producer-perf-test's flags and lines, on either lane."""

from __future__ import annotations

import contextlib
import itertools
import math
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from confluent_kafka import KafkaException

from twolane.cli.exits import Exit, Stop, of_counts, of_error, text_of
from twolane.cli.loading.tail import LogTail
from twolane.cli.messages import delimiter_option
from twolane.cli.options import Connection, Lane, connection_options, json_option, lane_option
from twolane.cli.output import print_json, say
from twolane.errors import TwolaneError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from twolane import SafeProducer, ThroughputProducer
    from twolane.stats import LatencyHistogram, Stats

MIB = 1024 * 1024
# Records of a call, and bytes of the different values that are made for them.
CALL, POOL_BYTES = 10_000, 16 * MIB
# With a rate: calls per second.
TICKS = 100
# kafka-producer-perf-test's names for what has another name here; the settings take any number of words.
_RENAMED = {"--producer.config": "-F", "--command-config": "-F", "--bootstrap-server": "-b"}
_PROPERTIES = ("--producer-props", "--command-property")


class _JavaFlags(click.Command):
    """A command that knows the Java tool's own spelling, too."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Parse, after the Java tool's flags are replaced."""
        return super().parse_args(context, list(_renamed(args)))


def _renamed(args: Sequence[str]) -> Iterator[str]:
    in_properties = False
    for word in args:
        name, mark, value = word.partition("=")
        if name in _PROPERTIES:
            in_properties = True
            if mark:
                yield from ("-X", value)
        elif word.startswith("-"):
            in_properties = False
            yield from (_RENAMED[name], *([value] if mark else [])) if name in _RENAMED else (word,)
        elif in_properties:
            yield from ("-X", word)
        else:
            yield word


@dataclass(frozen=True)
class Figures:
    """What a run, or a part of it, came to.

    Attributes
    ----------
    records : int
        Written.
    seconds : float
    records_per_second, mb_per_second : float
        MB of 2**20 bytes of values, as the Java tool counts.
    avg_ms, max_ms, p50_ms, p95_ms, p99_ms, p999_ms : float
        Milliseconds from the call to the acknowledgement.
    """

    records: int
    seconds: float
    records_per_second: float
    mb_per_second: float
    avg_ms: float
    max_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    p999_ms: float

    @classmethod
    def between(cls, before: Stats, after: Stats, seconds: float) -> Figures:
        """Return those of the records that were written between two moments."""
        records = after.written - before.written
        accepted = max(1, after.accepted - before.accepted)
        bytes_written = records * (after.accepted_bytes - before.accepted_bytes) / accepted
        latency = _since(before.latency, after.latency)
        rate = 1 / seconds if seconds else 0.0
        percentiles = (latency.percentile(percent) * 1e3 for percent in (50, 95, 99, 99.9))
        return cls(
            records,
            seconds,
            records * rate,
            bytes_written / MIB * rate,
            latency.mean * 1e3,
            latency.maximum * 1e3,
            *percentiles,
        )

    def line(self) -> str:
        """Return kafka-producer-perf-test's summary line."""
        return (
            f"{self.records} records sent, {self.records_per_second:f} records/sec ({self.mb_per_second:.2f} MB/sec), "
            f"{self.avg_ms:.2f} ms avg latency, {self.max_ms:.2f} ms max latency, {self.p50_ms:.0f} ms 50th, "
            f"{self.p95_ms:.0f} ms 95th, {self.p99_ms:.0f} ms 99th, {self.p999_ms:.0f} ms 99.9th."
        )

    def window_line(self) -> str:
        """Return the line that it prints every few seconds."""
        return (
            f"{self.records} records sent, {self.records_per_second:.1f} records/sec "
            f"({self.mb_per_second:.2f} MB/sec), {self.avg_ms:.1f} ms avg latency, {self.max_ms:.1f} ms max latency."
        )


def _since(before: LatencyHistogram, after: LatencyHistogram) -> LatencyHistogram:
    """Return the entries of a histogram that an earlier one has not; the largest to within its bucket."""
    pairs = itertools.zip_longest(after.counts, before.counts, fillvalue=0)
    counts = tuple(late - early for late, early in pairs)
    bounds = [bound for bound, count in zip(after.bounds, counts, strict=True) if count]
    largest = min(bounds[-1], after.maximum) if bounds else 0.0
    return type(after)(counts, after.bounds, after.total - before.total, largest)


class Payloads:
    """Values to send: random letters, lines of a file, or numbers."""

    def __init__(self, count: int, size: int | None, lines: Sequence[bytes] | None) -> None:
        self._random = np.random.default_rng(0)
        self._lines, self._next, self._pool = lines, 0, None
        self.call = min(count, CALL)
        if lines is not None:
            self.call = max(1, min(self.call, POOL_BYTES // max(1, max(map(len, lines)))))
        elif size is not None:
            self.call = max(1, min(self.call, POOL_BYTES // size))
            letters = self._random.integers(65, 91, (self.call, size), dtype=np.uint8)
            self._pool = letters.view(f"S{size}").ravel()

    def take(self, count: int) -> Any:
        """Return values for the next records, at most `call`."""
        if self._pool is not None:
            return self._pool[:count]
        if self._lines is not None:
            return [self._lines[number] for number in self._random.integers(len(self._lines), size=count)]
        first, self._next = self._next, self._next + count
        return [b"%d" % number for number in range(first, self._next)]


@dataclass
class Run:
    """One run's arguments, and what it prints on the way."""

    producer: SafeProducer | ThroughputProducer
    topic: str
    payloads: Payloads
    rate: float
    every: float
    quiet: bool
    transaction_seconds: float | None = None

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[float]:
        """Send within a transaction, where the run has them; yield when it is to end."""
        if self.transaction_seconds is None:
            yield math.inf
        else:
            with self.producer.transaction():
                yield time.perf_counter() + self.transaction_seconds

    def send(self, count: int) -> Figures:
        """Send so many records, wait for all, return their figures."""
        first = shown = self.producer.stats()
        started = showed = time.perf_counter()
        sent = 0
        call = self.payloads.call if self.rate <= 0 else max(1, min(self.payloads.call, int(self.rate / TICKS)))
        try:
            while sent < count:
                with self._transaction() as end:
                    while sent < count and time.perf_counter() < end:
                        number = min(call, count - sent)
                        if self.rate > 0:
                            time.sleep(max(0.0, started + sent / self.rate - time.perf_counter()))
                        self.producer.send_batch(self.topic, self.payloads.take(number))
                        sent += number
                        now = time.perf_counter()
                        if now - showed >= self.every and not self.quiet:
                            stats = self.producer.stats()
                            click.echo(Figures.between(shown, stats, now - showed).window_line())
                            shown, showed = stats, now
            self.producer.flush()
        finally:
            self.so_far = Figures.between(first, self.producer.stats(), time.perf_counter() - started)
        return self.so_far


@click.command("perf", cls=_JavaFlags)
@click.option("-t", "--topic", required=True)
@click.option("--num-records", type=click.IntRange(1), required=True)
@click.option("--record-size", type=click.IntRange(1), metavar="BYTES", help="Random letters; or one of the next two.")
@click.option("--payload-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Lines, at random.")
@click.option("--payload-monotonic", is_flag=True, help="0, 1, 2, ... as text.")
@click.option("--payload-delimiter", default=r"\n", callback=delimiter_option, help="Between the payloads of the file.")
@click.option("--throughput", type=float, default=-1, help="Records per second; -1: as fast as it goes.")
@click.option("--warmup-records", type=click.IntRange(0), default=0, help="Sent before, not measured.")
@click.option("--reporting-interval", type=click.IntRange(1), default=5000, metavar="MS")
@click.option("--transactional-id", metavar="ID", help="Send in transactions.")
@click.option(
    "--transaction-duration-ms", type=click.IntRange(1), metavar="MS", help="Commit so often.  [default: 3000]"
)
@click.option("--print-metrics", is_flag=True, help="The producer's counters at the end.")
@lane_option("throughput")
@connection_options
@json_option
def command(connection: Connection, lane: Lane, as_json: bool, **given: Any) -> Exit:
    r"""Measure a producer on your cluster. The flags and lines are those of kafka-producer-perf-test.

    \b
    twolane perf --topic t --num-records 1000000 --record-size 100 --throughput -1 \
        --producer-props bootstrap.servers=kafka:9092 acks=all linger.ms=20

    What is printed was verified: every record acknowledged, and the log longer by at least as many.
    """
    payloads = Payloads(given["num_records"], given["record_size"], _lines(given))
    defaults = {"statistics.interval.ms": "500"} if given["print_metrics"] else {}
    seconds = None
    if given["transactional_id"] is not None or given["transaction_duration_ms"] is not None:
        seconds = (given["transaction_duration_ms"] or 3000) / 1000
        defaults["transactional.id"] = given["transactional_id"] or f"perf-{uuid.uuid4().hex}"
    options: dict[str, Any] = {"check_topics": False} if lane == "safe" else {}
    producer = connection.producer(lane, defaults, **options)
    quiet = as_json or connection.quiet
    topic = given["topic"]
    run = Run(producer, topic, payloads, given["throughput"], given["reporting_interval"] / 1000, quiet, seconds)
    stopped: BaseException | None = None
    with producer:
        partitions = producer.partitions_for(topic)
        ends = _Ends(connection.checked(lane).native, topic, partitions)
        if seconds is not None:
            producer.init_transactions()
        try:
            if given["warmup_records"]:
                warm = run.send(given["warmup_records"])
                if not quiet:
                    click.echo(f"{warm.records} warmup records sent.")
            run.send(given["num_records"])
        except (TwolaneError, KeyboardInterrupt) as error:
            stopped = error
        stats = producer.stats()
    final = producer.stats()
    growth = ends.growth(final.written)
    figures = run.so_far
    if as_json:
        problem = None if stopped is None else text_of(stopped)
        counts = {"not_written": final.not_written, "unknown": final.unknown, "log_growth": growth, "error": problem}
        print_json({"topic": topic, "lane": lane, **asdict(figures), **counts})
    else:
        click.echo(figures.line())
        if given["print_metrics"]:
            _print_metrics(stats)
    if stopped is None:
        return of_counts(not_written=final.not_written, unknown=final.unknown)
    if isinstance(stopped, TwolaneError):
        say(f"{text_of(stopped)}; {final.not_written} not written, {final.unknown} unknown")
    return of_error(stopped)


def _lines(given: dict[str, Any]) -> list[bytes] | None:
    """Return the payloads of a file, None where values are made."""
    ways = [given["record_size"] is not None, given["payload_file"] is not None, given["payload_monotonic"]]
    if sum(ways) != 1:
        raise click.UsageError("give one of --record-size, --payload-file, --payload-monotonic")
    if given["payload_file"] is None:
        return None
    lines = [line for line in given["payload_file"].read_bytes().split(given["payload_delimiter"]) if line]
    if not lines:
        raise click.UsageError(f"{given['payload_file']} holds no payload")
    return lines


class _Ends:
    """Where a topic's partitions end, asked of the brokers by a consumer."""

    def __init__(self, settings: dict[str, str], topic: str, partitions: set[int]) -> None:
        self._tail, self._topic, self._partitions = LogTail(settings), topic, sorted(partitions)
        self._before = self._sum()

    def _sum(self) -> int | None:
        try:
            return sum(self._tail.ends(self._topic, self._partitions).values())
        except KafkaException as error:
            say(f"the log's length cannot be read, so nothing is verified: {text_of(error)}")
            return None

    def growth(self, written: int) -> int | None:
        """Return by how many records the log has grown.

        Raises
        ------
        Stop
            By fewer than were acknowledged.
        """
        after = None if self._before is None else self._sum()
        self._tail.close()
        if after is None or self._before is None:
            return None
        if after - self._before < written:
            raise Stop(
                Exit.FOUND, f"{written} records were acknowledged, the log grew by {after - self._before}: no figures"
            )
        return after - self._before


def _print_metrics(stats: Stats) -> None:
    """Print counters, one a line, in the Java tool's form."""
    names = ("accepted", "accepted_bytes", "written", "not_written", "unknown", "requests", "delivery_events")
    found: dict[str, float] = {name: getattr(stats, name) for name in names}
    for broker in stats.client.brokers if stats.client else ():
        parts = {"requests": broker.requests, "bytes": broker.bytes, "retries": broker.retries}
        times = {"rtt p50 ms": broker.rtt.p50 * 1e3, "rtt p99 ms": broker.rtt.p99 * 1e3}
        found.update({f"broker {broker.id} {name}": value for name, value in {**parts, **times}.items()})
    width = max(map(len, found))
    click.echo(f"\n{'Metric Name':{width}}  Value")
    for name, value in found.items():
        click.echo(f"{name:{width}} : {value:.3f}")
