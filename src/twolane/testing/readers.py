"""Readers that are Kafka's own Java code: what stands in the log, as Kafka itself reads it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from twolane.testing.errors import ClusterError
from twolane.testing.java import run_tool

if TYPE_CHECKING:
    from pathlib import Path

# Kafka 4.2 and older keep it elsewhere (kafka.tools).
DUMP_CLASS = "org.apache.kafka.tools.DumpLogSegments"

# Characters that tests do not put into keys and values.
FIELD = "\x1f"
NOTHING = "\x1e"

DUMPED = re.compile(
    r"^\| offset: (?P<offset>\d+) (?P<type>CreateTime|LogAppendTime): (?P<timestamp>-?\d+)"
    r".*? sequence: (?P<sequence>-?\d+) headerKeys: \[(?P<headers>.*?)\]"
    r"(?: key: (?P<key>.*?))?(?: payload: (?P<value>.*))?$"
)


class DumpedRecord(NamedTuple):
    """One record of a segment file; texts are cut at line breaks by the tool that prints them."""

    offset: int
    timestamp_type: str
    timestamp: int
    sequence: int
    header_keys: list[str]
    key: str | None
    value: str | None


class ConsumedRecord(NamedTuple):
    """One record of the console consumer; `headers` in its notation, ``name:value,name:value``."""

    partition: int
    offset: int
    timestamp_type: str
    timestamp: int
    headers: str
    key: str | None
    value: str | None


def dump_log(jars: Path, folder: Path) -> list[DumpedRecord]:
    """Return the records of one partition's segment files."""
    segments = sorted(folder.glob("*.log"))
    if not segments:
        raise ClusterError(f"no segment files in {folder}")
    arguments = ["--print-data-log", "--files", ",".join(map(str, segments))]
    found = filter(None, map(DUMPED.match, run_tool(jars, DUMP_CLASS, arguments).split("\n")))
    return [
        DumpedRecord(
            int(one["offset"]),
            one["type"],
            int(one["timestamp"]),
            int(one["sequence"]),
            [name for name in one["headers"].split(",") if name],
            one["key"],
            one["value"],
        )
        for one in found
    ]


def console_consume(jars: Path, bootstrap: str, topic: str, count: int, timeout: float) -> list[ConsumedRecord]:
    """Return the first `count` records that the console consumer prints."""
    properties = {
        "print.partition": "true",
        "print.offset": "true",
        "print.timestamp": "true",
        "print.headers": "true",
        "print.key": "true",
        "key.separator": FIELD,
        "null.literal": NOTHING,
    }
    arguments = [
        *("--bootstrap-server", bootstrap, "--topic", topic, "--from-beginning"),
        *("--max-messages", str(count), "--timeout-ms", str(int(timeout * 1000))),
        *(part for key, value in properties.items() for part in ("--formatter-property", f"{key}={value}")),
    ]
    output = run_tool(jars, "org.apache.kafka.tools.consumer.ConsoleConsumer", arguments, timeout + 10)
    return [_consumed(line) for line in output.split("\n") if FIELD in line]


def _consumed(line: str) -> ConsumedRecord:
    time, partition, offset, headers, key, value = line.split(FIELD)
    kind, _, timestamp = time.partition(":")
    return ConsumedRecord(
        int(partition.partition(":")[2]),
        int(offset.partition(":")[2]),
        kind,
        int(timestamp),
        "" if headers == "NO_HEADERS" else headers,
        None if key == NOTHING else key,
        None if value == NOTHING else value,
    )
