"""Programs in Go: built from a folder with go.mod and go.sum, through the module proxy, into the cache folder."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from twolane.testing.java import cache_folder

# `tool` lines in go.mod.
OLDEST = 1, 24
BUILD_SECONDS = 300


class BuildError(RuntimeError):
    """A compiler refused; the message holds what it said."""


def missing() -> str | None:
    """Return why nothing can be built here, else None."""
    if shutil.which("go") is None:
        return f"Go is not installed ({OLDEST[0]}.{OLDEST[1]} or newer)"
    said = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"go(\d+)\.(\d+)", said)
    if found and (int(found[1]), int(found[2])) < OLDEST:
        return f"Go {found[1]}.{found[2]} is too old ({OLDEST[0]}.{OLDEST[1]} or newer)"
    return None


def required(folder: Path, module: str) -> str:
    """Return the version of a module that the folder's go.mod asks for."""
    found = re.search(rf"^\s*(?:require )?{re.escape(module)} (v\S+)", (folder / "go.mod").read_text(), re.M)
    if found is None:
        raise BuildError(f"{folder / 'go.mod'} does not ask for {module}")
    return found[1]


def build(folder: Path, package: str = ".") -> Path:
    """Return the program made of a package of the folder's module; it is built once for each state of the folder.

    Parameters
    ----------
    folder : Path
        Holds go.mod and go.sum, so that only what they name is built.
    package : str
        Import path; the folder itself by default.

    Raises
    ------
    BuildError
        Go refused, or the module proxy could not be reached; the message holds the end of what it said.
    """
    digest = hashlib.sha256(package.encode())
    for path in sorted(folder.iterdir()):
        digest.update(path.read_bytes())
    program = cache_folder() / "go" / f"{folder.name}-{digest.hexdigest()[:12]}"
    if program.exists():
        return program
    program.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=program.parent) as work:
        made = Path(work, program.name)
        command = ["go", "build", "-C", str(folder), "-mod=readonly", "-trimpath", "-o", str(made), package]
        environment = {**os.environ, "CGO_ENABLED": "0"}
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise BuildError(f"Go did not build {folder.name} within {BUILD_SECONDS} s") from error
        if done.returncode:
            raise BuildError(f"Go could not build {folder.name}: {(done.stderr or done.stdout).strip()[-2000:]}")
        # Complete or absent, also where two build at once.
        made.rename(program)
    return program
