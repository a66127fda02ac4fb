"""The protocol of a contender: one producer, one run, in a process of its own, whatever language it is written in.

A contender is a program. It gets the task as JSON in its last argument, does the following, and prints its result as
JSON in the last line of standard output. Anything else is a failure of the run: an exit status other than 0, with the
reason in the last line of standard error.

1. Prepare: read the records, make the producer with the task's settings.
2. Send the ``warmup`` records (indices 0 to ``warmup - 1``) and wait until all are acknowledged.
3. Start the clocks: wall, and CPU time (user and system) of the whole process with all its threads.
4. Send the ``records`` records (the indices that follow). ``mode`` says how:

   - ``"pipeline"``: as fast as the client takes them, in calls of ``call`` records where it has calls of many records.
     Then wait until all are acknowledged.
   - ``"wait"``: one call of ``call`` records, wait until it is acknowledged, the next. Each call's time is its latency.

5. Stop the clocks, count what was acknowledged, print the result, exit with status 0.

It must not read back, count or compare anything by itself: `bench.verify` does, with confluent-kafka's consumer, and
without that there is no figure.

**Record i** (`Records` is the same in Python): partition ``i % partitions``; value line ``i % (number of lines)`` of
the file ``values``, without the line's end; key ``"key-%04d" % (i % keys)``, none if ``keys`` is 0; CreateTime
``first_timestamp + i``; no headers. With ``data`` = ``"avro"`` the value is not a line of the file but the reading of
`reading`, encoded as Avro by `SCHEMA` behind Confluent's five bytes (0, schema id as a big-endian int; any id). Where a
client cannot do one of these it leaves it out and says so in the result's ``lacks``, which the report shows.

**A run of Python** needs three lines around the sending; see `bench.lanes`::

    task = Task.from_argv()
    ...
    print(Result(records=acknowledged, ...).to_json())

**Registered** as a `Contender`: of this project in `bench.lanes.CONTENDERS`, of others in `bench.peers.CONTENDERS`
(tuples). The round-trip time in front of real brokers is the business of `bench.peers.delay.DelayingProxy(routes)`, a
context manager: `routes` as of `KafkaCluster.proxied`, ``bootstrap_servers``, ``set_rtt(ms)``, and ``what``, its name
and version in one line.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Reading",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "sensor", "type": "string"},
        {"name": "temp", "type": "double"},
        {"name": "flag", "type": "boolean"},
        {"name": "ts", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    ],
}


@dataclass(frozen=True)
class Task:
    """What a contender is asked to do; the JSON has the same names.

    Attributes
    ----------
    bootstrap_servers, topic : str
        The topic exists and has `partitions` partitions.
    partitions : int
    values : str
        Path of the file of values, see `write_values`; all have the same length, none holds a line feed.
    keys : int
        How many different keys; 0: records have none.
    first_timestamp : int
        Milliseconds since the epoch, of record 0.
    warmup, records : int
        How many records to send before, and while, the clocks run. `warmup` is a multiple of `partitions`, so that
        connections to all leaders are open.
    call : int
        Records of one call, for clients that have such calls, and of one wait in mode ``"wait"``.
    mode : {"pipeline", "wait"}
    data : {"bytes", "avro"}
    acks : {"0", "1", "all"}
    in_flight : int or None
        Requests in flight per connection; None: the client's own default.
    idempotence : bool
    linger_ms : float
    batch_records : int
        Most records of one request and partition (librdkafka's ``batch.num.messages``).
    batch_bytes : int
        Most bytes of one request and partition; clients that know no number of records are bounded by this alone.
    compression : {"none", "gzip", "snappy", "lz4", "zstd"}
    ca : str
        Path of the authority's certificate (PEM) where the connections are to be encrypted; empty: they are not.
    properties : str
        Path of a file of further client settings by librdkafka's names, ``key=value`` lines, for clusters that want
        passwords or certificates; empty: none. A file, because arguments are everybody's to read.
    timeout : float
        Seconds for everything; a contender that takes longer is killed and has no figure.
    """

    bootstrap_servers: str
    topic: str
    partitions: int
    values: str
    records: int
    keys: int = 1000
    first_timestamp: int = 1_700_000_000_000
    warmup: int = 0
    call: int = 1
    mode: str = "pipeline"
    data: str = "bytes"
    acks: str = "all"
    in_flight: int | None = None
    idempotence: bool = False
    linger_ms: float = 5
    batch_records: int = 10_000
    batch_bytes: int = 1_000_000
    compression: str = "none"
    ca: str = ""
    properties: str = ""
    timeout: float = 60.0

    def to_json(self) -> str:
        """Return the contender's last argument."""
        return json.dumps(asdict(self))

    @classmethod
    def from_argv(cls) -> Task:
        """Read this process's task."""
        return cls(**json.loads(sys.argv[-1]))

    def connection(self) -> dict[str, str]:
        """Return by librdkafka's names how the brokers are reached."""
        tls = {"security.protocol": "ssl", "ssl.ca.location": self.ca} if self.ca else {}
        return {**properties(self.properties), **tls, "bootstrap.servers": self.bootstrap_servers}

    def librdkafka(self) -> dict[str, str]:
        """Return the settings by librdkafka's names, without queue limits and sockets' options."""
        settings = {
            **self.connection(),
            "acks": self.acks,
            "enable.idempotence": str(self.idempotence).lower(),
            "linger.ms": str(self.linger_ms),
            "batch.num.messages": str(self.batch_records),
            "batch.size": str(self.batch_bytes),
            "message.max.bytes": str(max(1_000_000, self.batch_bytes)),
            "compression.type": self.compression,
        }
        if self.in_flight is not None:
            settings["max.in.flight.requests.per.connection"] = str(self.in_flight)
        return settings


def properties(path: str) -> dict[str, str]:
    """Return the settings of a file of ``key=value`` lines; lines that begin with # are comments."""
    if not path:
        return {}
    lines = (line.strip() for line in Path(path).read_text().splitlines())
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {key.strip(): value.strip() for key, _, value in pairs}


@dataclass(frozen=True)
class Result:
    """What a contender says of its run; the JSON has the same names.

    Attributes
    ----------
    records : int
        Acknowledged, of those sent while the clocks ran; with acks=0 those that the client let go without an error.
    failed : int
        Not acknowledged.
    wall, cpu : float
        Seconds; `cpu` is user and system time of the process, all threads, between the same two moments.
    latencies : dict
        Mode ``"wait"``: seconds under the names of `quantiles`, of the calls.
    lacks : list of str
        Of "key", "timestamp", "partition", "order", "acknowledged" (it hears of no failure), "avro" (another encoding):
        what the client cannot do or was left out.
    versions : dict
        Of the client and what it is made of.
    settings : dict
        In force, by the client's own names; without addresses and secrets.
    """

    records: int
    failed: int
    wall: float
    cpu: float
    latencies: dict[str, float] = field(default_factory=dict)
    lacks: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the line that the contender prints last."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Contender:
    """A program that keeps to the protocol.

    Attributes
    ----------
    name : str
        As in tables: "confluent-kafka produce".
    command : callable
        Returns the program and its first arguments; the task is appended. It may build the program first.
    missing : callable
        Returns why it cannot run here ("aiokafka is not installed"), else None. Must be quick and must not raise.
    modes : tuple of str
        Of "pipeline", "wait".
    data : tuple of str
        Of "bytes", "avro".
    lacks : tuple of str
        Known beforehand; as in `Result`.
    on_embedded : bool
        Whether it works with librdkafka's mock brokers.
    warmup : int
        Most useful number of records before the clocks start: a just-in-time compiler wants many.
    """

    name: str
    command: Callable[[], list[str]]
    missing: Callable[[], str | None] = lambda: None
    modes: tuple[str, ...] = ("pipeline",)
    data: tuple[str, ...] = ("bytes",)
    lacks: tuple[str, ...] = ()
    on_embedded: bool = True
    warmup: int = 1000


class Clock:
    """Wall and CPU time since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def stop(self) -> dict[str, float]:
        """Return both as `Result` names them."""
        return {"cpu": time.process_time() - self._cpu, "wall": time.perf_counter() - self._wall}


def quantiles(latencies: Sequence[float]) -> dict[str, float]:
    """Return what a result says of its calls' times."""
    ordered = sorted(latencies)
    last = len(ordered) - 1
    cuts = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999, "max": 1.0}
    return {"mean": statistics.fmean(ordered)} | {name: ordered[round(last * cut)] for name, cut in cuts.items()}


@dataclass(frozen=True)
class Records:
    """The records of a task from index `first` on, made before the clocks start; one list per part of a record."""

    values: list[bytes]
    keys: list[bytes] | None
    partitions: list[int]
    timestamps: list[int]

    @classmethod
    def of(cls, task: Task, first: int, count: int) -> Records:
        """Make records `first` to ``first + count - 1``."""
        lines = Path(task.values).read_bytes().splitlines()
        keys = [key_of(i, task.keys) for i in range(task.keys)]
        span = range(first, first + count)
        return cls(
            values=[lines[i % len(lines)] for i in span],
            keys=[keys[i % len(keys)] for i in span] if keys else None,
            partitions=[i % task.partitions for i in span],
            timestamps=[task.first_timestamp + i for i in span],
        )


def key_of(index: int, keys: int) -> bytes:
    """Return the key of a record."""
    return b"key-%04d" % (index % keys)


def reading(index: int, first_timestamp: int) -> dict[str, Any]:
    """Return record `index` of ``data`` = "avro": `SCHEMA`'s fields, every double exact."""
    return {
        "id": index,
        "sensor": f"s{index % 1000:04}",
        "temp": index % 997 / 8,
        "flag": index % 2 == 0,
        "ts": first_timestamp + index,
    }


WORDS = (b"arrival carrier delay flight gate hour minute origin plane runway tail taxi tower weather wind zone").split()


def write_values(path: Path, size: int) -> None:
    """Write different values of `size` bytes, one a line: a number, then words and digits.

    They are as many as fill two requests, so that none repeats itself: lz4 brings it to about two thirds, zstd to two
    fifths. The same size gives the same bytes.
    """
    lines = []
    for i in range(max(100, min(10_000, 2_000_000 // size))):
        state, parts, length = i + 1, [b"%06d" % i], 6
        while length < size:
            state = state * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
            parts.append(WORDS[state >> 60] if state >> 59 & 1 else b"%05d" % (state >> 40 & 0xFFFF))
            length += 1 + len(parts[-1])
        lines.append(b" ".join(parts)[:size])
    path.write_bytes(b"\n".join(lines) + b"\n")
