"""Run what a page shows: its Python, one block after the other, and its shell commands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

# A block of ```output under one of Python is what that prints. ```python notest is no example of this kind.
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```(?:\n\n```output\n(.*?)^```)?", re.M | re.S)
ADDRESSES = re.compile(r"localhost:9092(,localhost:\d+)*")
SECONDS = 120


def run(page: Path, servers: str, capsys: pytest.CaptureFixture[str], others: Mapping[str, str] | None = None) -> None:
    """Run a page's blocks, one after the other, with the names that those before them made.

    Parameters
    ----------
    page : Path
    servers : str
        In place of ``localhost:9092`` and the ports behind it.
    capsys
        The fixture: what is printed is compared with what the page says.
    others : dict
        What else on the page to replace, and by what.
    """
    text = page.read_text()
    names: dict[str, object] = {"__name__": "example"}
    for match in BLOCK.finditer(text):
        language, block, expected = match.groups()
        for there, here in (others or {}).items():
            block = block.replace(there, here)
        if language == "console":
            run_console(block, servers, Path.cwd())
            continue
        # Blank lines in front, so that an error names the line of the page.
        line = text.count("\n", 0, match.start(2))
        exec(compile("\n" * line + ADDRESSES.sub(servers, block), str(page), "exec"), names)
        printed = capsys.readouterr().out
        assert printed == (printed if expected is None else expected), f"line {line} of {page.name}"


def run_console(block: str, servers: str, folder: Path) -> None:
    """Run each line behind a ``$``, and compare what it prints, but for the figures, with the lines under it."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for part in block.removeprefix("$ ").split("\n$ "):
        command, _, expected = part.partition("\n")
        while command.endswith("\\"):
            more, _, expected = expected.partition("\n")
            command = f"{command[:-1]} {more.removeprefix('>')}"
        done = subprocess.run(
            ["bash", "-c", command.replace("localhost:9092", servers)],
            cwd=folder,
            env={**os.environ, "PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=SECONDS,
        )
        printed = done.stdout.replace(servers, "localhost:9092")
        assert _shape(printed) == _shape(expected), command


def _shape(text: str) -> str:
    """Return what is printed without its figures, and without the widths that go with them."""
    return re.sub(r"\s+", " ", re.sub(r"\d[\d.,]*(?: \d{3}\b)*", "0", text)).strip()
