"""Programs in processes of their own, whether processes are alive, and what those should inherit that are not ours."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
UNDER_SANITIZER = "libasan" in os.environ.get("LD_PRELOAD", "")


def plain_environment() -> dict[str, str]:
    """Return the environment without a preloaded sanitizer: neither Java nor Go runs with one."""
    return {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}


def python(code: str, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run code in an interpreter of its own, without pytest's filters: it may crash or hang."""
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", "-W", "default", "-c", textwrap.dedent(code), *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def alive(pid: int) -> bool:
    """Whether a process runs; one that was not waited for yet does not count."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def assert_gone(pid: int) -> None:
    """Fail when the process does not end."""
    wait_until(lambda: not alive(pid))
