"""A Schema Registry over real HTTP: franz-go's fake one, built from tests/support/srfake with Go."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from tests.support.processes import plain_environment
from twolane.testing.java import cache_folder

if TYPE_CHECKING:
    from types import TracebackType

SOURCE = Path(__file__).with_name("srfake")
BUILD_SECONDS = 600


def built() -> Path:
    """Return the program; the first call compiles it into the cache folder, and skips the test where Go is missing."""
    text = b"".join(path.read_bytes() for path in sorted(SOURCE.iterdir()))
    program = cache_folder() / f"srfake-{hashlib.sha256(text).hexdigest()[:8]}"
    if not program.exists():
        go = shutil.which("go")
        if go is None:
            pytest.skip("the fake Schema Registry needs Go 1.24 or newer, which is not installed")
        program.parent.mkdir(parents=True, exist_ok=True)
        # Go writes the file under another name and renames it: complete or absent.
        command = [go, "build", "-trimpath", "-o", str(program), "."]
        done = subprocess.run(
            command,
            cwd=SOURCE,
            env=plain_environment(),
            capture_output=True,
            text=True,
            timeout=BUILD_SECONDS,
            check=False,
        )
        assert not done.returncode, f"Go could not build the fake Schema Registry:\n{done.stderr}"
    return program


class SchemaRegistry:
    """One fake registry in a child process.

    Parameters
    ----------
    user : str, optional
        ``name:password`` that requests must bring.
    certificate : Path, optional
        File to write the server's certificate to; makes it HTTPS.
    """

    def __init__(self, *, user: str | None = None, certificate: Path | None = None) -> None:
        command = [str(built())]
        command += ["-user", user] if user else []
        command += ["-certificate", str(certificate)] if certificate else []
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=plain_environment(), text=True
        )
        self.url = self._line()

    def _line(self) -> str:
        line = self._process.stdout.readline()
        assert line, "the fake Schema Registry ended"
        return line.rstrip("\n")

    def requests(self) -> list[str]:
        """Return the requests since the last call: method and URL."""
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return list(iter(self._line, ""))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()
