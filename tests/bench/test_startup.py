"""What `make bench-startup` runs."""

from __future__ import annotations

import subprocess
import sys

from bench.measure import ROOT
from bench.startup.__main__ import STEPS


def test_every_step_is_measured(tmp_path) -> None:
    command = [
        sys.executable,
        "-m",
        "bench.startup",
        "--debug-single-value",
        "--output",
        str(tmp_path / "startup.json"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    # The exit status says how long the import took: a busy machine's is no business of this test.
    assert [line.split(" ms more than ")[-1] for line in done.stdout.splitlines() if " ms more than " in line] == list(
        STEPS
    )[:-1], done.stderr
