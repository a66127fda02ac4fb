"""What the checks of packages share: commands, environments, and a line with the time."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
PIP = ("-m", "pip", "--disable-pip-version-check", "--quiet", "--retries", "8", "--timeout", "60")


def run(command: Sequence[str | Path], folder: Path, **variables: str) -> str:
    """Run a command, give what it printed; on failure show that and stop."""
    words = [str(word) for word in command]
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    done = subprocess.run(words, cwd=folder, env=kept | variables, check=False, text=True, **pipes)
    if done.returncode:
        sys.exit(f"{done.stdout}\nfailed ({done.returncode}): {' '.join(words)}")
    return done.stdout


def say(text: str) -> None:
    """Print a line with the time."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


def environment(python: Path, folder: Path, *packages: str) -> Path:
    """Make a virtual environment with these packages, give its interpreter."""
    run([python, "-m", "venv", folder], folder.parent)
    inside = folder / "bin" / "python"
    run([inside, *PIP, "install", "--upgrade", "pip>=25.1"], ROOT)
    if packages:
        run([inside, *PIP, "install", *packages], ROOT)
    return inside
