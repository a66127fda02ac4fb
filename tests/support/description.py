"""One line on what a run of the suite tests."""

from __future__ import annotations

import os
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import confluent_kafka
from confluent_kafka import cimpl

from twolane.testing import ClusterUnavailableError, plugin
from twolane.testing.java import KAFKA_VERSION, find_program, kafka_jars_folder


def describe_build() -> str:
    """Return one line on what is being tested: twolane, librdkafka and where it lies, Python, the GIL, which Kafka."""
    try:
        own = version("twolane")
    except PackageNotFoundError:
        own = "(not installed)"
    # Since 3.13 a build without the GIL may still have switched it on.
    gil = "on" if getattr(sys, "_is_gil_enabled", lambda: True)() else "off"
    python = f"Python {sys.version.split()[0]}, GIL {gil}"
    return f"twolane {own}; {_describe_librdkafka()}; {python}; {_describe_kafka()}"


def _describe_librdkafka() -> str:
    number = confluent_kafka.libversion()[0]
    path = os.environ.get("TWOLANE_LIBRDKAFKA") or _mapped_file("librdkafka") or cimpl.__file__
    return f"librdkafka {number} ({path})"


def _mapped_file(word: str) -> str | None:
    """Return the path of a file in this process's memory whose name contains `word` (Linux only)."""
    maps = Path("/proc/self/maps")
    lines = maps.read_text().splitlines() if maps.exists() else []
    # Address, rights, offset, device, inode, path.
    paths = (Path(line.split(None, 5)[5]) for line in lines if len(line.split(None, 5)) == 6)
    return next((str(path) for path in paths if word in path.name), None)


def _describe_kafka() -> str:
    bootstrap = os.environ.get(plugin.BOOTSTRAP_VARIABLE)
    if bootstrap:
        return f"Kafka at {bootstrap}"
    try:
        find_program("java")
        if not kafka_jars_folder().is_dir():
            find_program("mvn")
    except ClusterUnavailableError as error:
        return f"no Kafka: {error}"
    return f"Kafka {KAFKA_VERSION} of Java processes"
