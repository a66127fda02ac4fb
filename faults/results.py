"""Files of rounds: one JSON object a line, appended to, joined by reading several."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twolane.testing.java import KAFKA_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable

# Asked of the client's interpreter, which may have another twolane than this one.
CLIENTS = """
import json, platform, twolane
from importlib.metadata import version
facts = twolane.about()
print(json.dumps({
    "file": twolane.__file__, "twolane": facts["twolane"], "librdkafka": facts["librdkafka"].partition(" ")[0],
    "confluent-kafka": version("confluent-kafka"), "python": platform.python_version(),
}))
"""


def append(path: Path, line: dict[str, Any]) -> None:
    """Add one round."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")


def read(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """Return the rounds of some files, in their order; a last line that a killed run left unfinished is no round."""
    lines = [line for path in paths for line in path.read_text().splitlines(keepends=True)]
    return [json.loads(line) for line in lines if line.endswith("\n")]


def versions(python: str = sys.executable) -> dict[str, str]:
    """Return what the rounds depend on; `python` is the client's."""
    found: dict[str, str] = json.loads(subprocess.run([python, "-c", CLIENTS], capture_output=True, check=True).stdout)
    folder = Path(found.pop("file")).parent
    commit = subprocess.run(
        ["git", "-C", str(folder), "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return {**found, "commit": commit.stdout.strip(), "kafka": KAFKA_VERSION}
