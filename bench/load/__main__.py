"""What a file costs on its way into a topic: CPU and time of whole programs, their start included.

Every contender is a process of its own, rounds in turn; the log has to grow by exactly the rows before a figure counts.
Ratios are taken of medians. Prints the contenders, then each target beside what was measured.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.load.files import flights_table, synthetic_table, write
from bench.machine import write as write_json
from bench.safe.__main__ import show
from twolane.cli.loading.tail import LogTail
from twolane.testing import EmbeddedCluster, ExternalCluster, KafkaCluster
from twolane.testing.java import java_command, kafka_jars

if TYPE_CHECKING:
    from bench.load.files import Files

PARTITIONS = 4
START = "twolane load, no rows"
JSON_JSON, PARQUET_JSON, PARQUET_AVRO = (f"twolane load, {way}" for way in ("JSON lines", "Parquet", "Parquet to Avro"))
SEND = "twolane send, JSON lines"
SAFE = "twolane load, Parquet to Avro, safe lane"
KCAT, DUCKDB_KCAT = "kcat, JSON lines", "duckdb | kcat, Parquet"
JAVA, PANDAS = "kafka-producer-perf-test, JSON lines", "pandas + AvroSerializer, Parquet"
# Contender, what it is held against, how many times cheaper that should be.
SEND_COMMAND = (sys.executable, "-m", "twolane", "send", "-q", "--lane", "throughput")
TARGETS = ((KCAT, JSON_JSON, 5.0), (KCAT, SEND, 1.0), (DUCKDB_KCAT, PARQUET_JSON, 5.0), (PANDAS, PARQUET_AVRO, 15.0))


def commands(files: Files, bootstrap: str, topic: str) -> dict[str, list[str]]:
    """Return the command line of each contender; those that are not installed are missing."""
    load = [sys.executable, "-m", "twolane", "load", "-q", "-b", bootstrap, "-t", topic, "--lane"]
    found = {
        START: [*load, "throughput", str(files.parquet), "--limit", "0"],
        # Lines as they are, as kcat takes them.
        SEND: [*SEND_COMMAND, "-b", bootstrap, "-t", topic, "-l", str(files.jsonl)],
        JSON_JSON: [*load, "throughput", str(files.jsonl)],
        PARQUET_JSON: [*load, "throughput", str(files.parquet)],
        PARQUET_AVRO: [*load, "throughput", str(files.parquet), "--format", "avro"],
        SAFE: [*load, "safe", str(files.parquet), "--format", "avro"],
        PANDAS: [sys.executable, "-m", "bench.load.pandas_avro", str(files.parquet), bootstrap, topic],
    }
    if kcat := shutil.which("kcat"):
        sends = [kcat, "-P", "-b", bootstrap, "-t", topic, "-X", "linger.ms=5"]
        found[KCAT] = [*sends, "-l", str(files.jsonl)]
        copy = f"COPY (FROM '{files.parquet}') TO '/dev/stdout' (FORMAT json)"
        duckdb = [
            sys.executable,
            "-c",
            f"import duckdb; duckdb.sql('SET enable_progress_bar = false'); duckdb.sql({copy!r})",
        ]
        found[DUCKDB_KCAT] = ["bash", "-c", f"set -o pipefail; {shlex.join(duckdb)} | {shlex.join(sends)}"]
    if shutil.which("java"):
        flags = [*("--topic", topic, "--num-records", str(files.rows), "--throughput", "-1")]
        flags += ["--payload-file", str(files.jsonl), "--producer-props", f"bootstrap.servers={bootstrap}", "acks=all"]
        found[JAVA] = java_command(kafka_jars(), "org.apache.kafka.tools.ProducerPerformance", flags, ["-Xmx1g"])
    return found


def run(name: str, command: list[str], log: LogTail, topic: str, rows: int) -> dict[str, float]:
    """Run one contender once and count its records in the log."""
    before = sum(log.ends(topic, range(PARTITIONS)).values())
    started = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT)
        # The usage of this child and those that it waited for, and of no broker.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - started
        if process.returncode:
            said.seek(0)
            sys.exit(f"{name} ended with {process.returncode}: {said.read().decode(errors='replace')[-2000:]}")
    added = sum(log.ends(topic, range(PARTITIONS)).values()) - before
    if added != rows:
        sys.exit(f"{name}: {added} records in the log, of {rows}: no figures")
    return {"cpu": usage.ru_utime + usage.ru_stime, "wall": wall}


def rows_of(runs: dict[str, list[dict[str, float]]], rows: int) -> list[dict[str, Any]]:
    """Return a row of medians per contender."""
    medians = {
        name: {key: statistics.median(line[key] for line in lines) for key in ("cpu", "wall")}
        for name, lines in runs.items()
    }
    start = medians.get(START, {"cpu": 0.0})["cpu"]
    return [
        {
            "contender": name,
            "cpu_us_per_record": round(found["cpu"] / rows * 1e6, 3),
            "without_start": round((found["cpu"] - start) / rows * 1e6, 3) if name.startswith("twolane") else "",
            "cpu_s": round(found["cpu"], 2),
            "wall_s": round(found["wall"], 2),
            "records_per_second": round(rows / found["wall"]),
        }
        for name, found in medians.items()
    ]


def targets_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return each target beside what was measured."""
    cpu = {row["contender"]: row["cpu_us_per_record"] for row in rows}
    return [
        {"ours": ours, "peer": peer, "times_cheaper": round(cpu[peer] / cpu[ours], 1), "target": target}
        for peer, ours, target in TARGETS
        if peer in cpu and ours in cpu
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__)
    parser.add_argument("patterns", nargs="*", help="parts of contenders' names; all without")
    parser.add_argument("--data", choices=["flights", "synthetic"], default="flights")
    parser.add_argument("--rows", type=int, help="of the table (all flights, ten million synthetic ones)")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--bootstrap-servers", metavar="B", help="a running cluster; three brokers are started without")
    where.add_argument("--embedded", action="store_true", help="librdkafka's mock brokers")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    pieces = flights_table(given.rows) if given.data == "flights" else synthetic_table(given.rows or 10_000_000)
    runs: dict[str, list[dict[str, float]]] = {}
    with contextlib.ExitStack() as stack:
        files = write(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="twolane-load-"))), pieces)
        if given.bootstrap_servers:
            cluster: Any = ExternalCluster(given.bootstrap_servers)
        else:
            cluster = stack.enter_context(EmbeddedCluster() if given.embedded else KafkaCluster(jvm_options=()))
        topic = f"bench-load-{uuid.uuid4().hex[:8]}"
        cluster.create_topic(topic, PARTITIONS)
        log = stack.enter_context(contextlib.closing(LogTail({"bootstrap.servers": cluster.bootstrap_servers})))
        contenders = commands(files, cluster.bootstrap_servers, topic)
        chosen = [name for name in contenders if not given.patterns or any(part in name for part in given.patterns)]
        for missing in {KCAT, DUCKDB_KCAT, JAVA} - contenders.keys():
            print(f"not installed: {missing}", file=sys.stderr)
        for number in range(given.rounds):
            for name in chosen:
                rows = 0 if name == START else files.rows
                runs.setdefault(name, []).append(run(name, contenders[name], log, topic, rows))
            print(f"round {number + 1} of {given.rounds}", file=sys.stderr)
        if hasattr(cluster, "delete_topic"):
            cluster.delete_topic(topic, wait=False)
    table = rows_of(runs, files.rows)
    reached = targets_of(table)
    for part in (table, reached):
        show(part)
    if given.json:
        what = f"bench.load: {files.rows} rows ({given.data}), {PARTITIONS} partitions, {given.rounds} rounds, medians"
        write_json(given.json, what, runs=table, targets=reached)


if __name__ == "__main__":
    main()
