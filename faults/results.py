"""Files of rounds: one JSON object a line, appended to, joined by reading several."""

from __future__ import annotations

import json
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twolane import about
from twolane.testing.java import KAFKA_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parents[1]


def append(path: Path, line: dict[str, Any]) -> None:
    """Add one round."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")


def read(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """Return the rounds of some files, in their order; a last line that a killed run left unfinished is no round."""
    lines = [line for path in paths for line in path.read_text().splitlines(keepends=True)]
    return [json.loads(line) for line in lines if line.endswith("\n")]


def versions() -> dict[str, str]:
    """Return what the rounds depend on."""
    facts = about()
    commit = subprocess.run(
        ["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return {
        "twolane": facts["twolane"],
        "commit": commit.stdout.strip(),
        "librdkafka": facts["librdkafka"].partition(" ")[0],
        "confluent-kafka": version("confluent-kafka"),
        "kafka": KAFKA_VERSION,
        "python": platform.python_version(),
    }
