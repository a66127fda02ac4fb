"""Whether processes are alive, and what those that are not ours to examine should inherit."""

from __future__ import annotations

import os
import time
from pathlib import Path

UNDER_SANITIZER = "libasan" in os.environ.get("LD_PRELOAD", "")


def plain_environment() -> dict[str, str]:
    """Return the environment without a preloaded sanitizer: neither Java nor Go runs with one."""
    return {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}


def alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for yet does not count."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def assert_gone(pid: int, seconds: float = 5) -> None:
    """Fail when the process is still alive after some seconds."""
    deadline = time.monotonic() + seconds
    while alive(pid):
        assert time.monotonic() < deadline, f"process {pid} outlived its parent"
        time.sleep(0.05)
