"""Every path of errors, producers and records some thousand times, in a process of its own: nothing stays behind."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.leaks.paths import GROUPS
from tests.support.processes import ROOT, UNDER_SANITIZER


@pytest.mark.skipif(UNDER_SANITIZER, reason="a sanitizer keeps what was freed")
@pytest.mark.parametrize("group", GROUPS)
def test_nothing_stays_behind(group: str) -> None:
    command = [sys.executable, "-m", "tests.leaks", "--quick", group]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert not done.returncode, f"{done.stdout}{done.stderr[-3000:]}"
    assert len(done.stdout.splitlines()) == len(GROUPS[group])
