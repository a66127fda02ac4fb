"""The sdist holds the tracked sources: no more, no less."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING

from tests.packaging.sources import ROOT, tracked

if TYPE_CHECKING:
    from pathlib import Path

BUILD = "import sys; from setuptools.build_meta import build_sdist; print(build_sdist(sys.argv[1]))"
# Made by setuptools.
METADATA = ("PKG-INFO", "setup.cfg")


def test_the_sdist_is_the_tracked_sources(tmp_path: Path) -> None:
    command = [sys.executable, "-c", BUILD, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    shipped = {name for name in names if name not in METADATA and ".egg-info/" not in name}
    assert shipped == {path.as_posix() for path in tracked()}
