"""Where and with what figures were measured, and the JSON that says so beside them."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import confluent_kafka

ROOT = Path(__file__).parents[1]


def write(path: Path, what: str, **parts: Any) -> None:
    """Write figures with date, machine and versions."""
    report = {
        "what": what,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(),
        **parts,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n")


def forget_place(path: Path) -> None:
    """Take this checkout's folder and the user's out of a file of pyperf's, which keeps commands and compiler flags."""
    path.write_text(path.read_text().replace(f"{ROOT}/", "").replace(f"{Path.home()}/", "~/"))


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
