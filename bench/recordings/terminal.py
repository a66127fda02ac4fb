"""A program on a terminal of its own, and what its screen shows."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import termios
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

WIDTH, HEIGHT = 110, 40
# What programs write to move about: up, erase the line, show or hide the cursor; a return; the end of a line.
_MOVES = re.compile(r"\x1b\[(\d*)A|\x1b\[2K|\x1b\[\?25[lh]|\r\n|\r|\n")


def screens(command: str, folder: Path, environment: Mapping[str, str]) -> list[list[str]]:
    """Run a command line of bash; return its screen after each write, as lines with colours.

    Raises
    ------
    RuntimeError
        The command failed; the message has its last screen.
    """
    inner, outer = pty.openpty()
    fcntl.ioctl(outer, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
    kept = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    with subprocess.Popen(
        ["bash", "-c", command],
        cwd=folder,
        env={**kept, "TERM": "xterm-256color", "COLORTERM": "truecolor", **environment},
        stdin=subprocess.DEVNULL,
        stdout=outer,
        stderr=outer,
    ) as process:
        os.close(outer)
        found = [[""]]
        written = ""
        while part := _read(inner):
            written += part
            found.append(_screen(written))
        os.close(inner)
    if process.returncode not in (0, 6):  # 6: `check` found something
        raise RuntimeError("\n".join([command, *found[-1]]))
    return found


def _read(inner: int) -> str:
    try:
        return os.read(inner, 65_536).decode(errors="replace")
    except OSError as error:  # Linux's word for the end
        if error.errno != errno.EIO:
            raise
        return ""


def _screen(written: str) -> list[str]:
    """Return the lines that stand after all that was written."""
    lines, row, at = [""], 0, 0
    for move in _MOVES.finditer(written):
        lines[row] += written[at : move.start()]
        at = move.end()
        text = move.group()
        if text in ("\r\n", "\n"):
            row += 1
            if row == len(lines):
                lines.append("")
        elif text.endswith("A"):
            row = max(0, row - int(move[1] or 1))
        elif text == "\r" or text.endswith("2K"):
            lines[row] = ""  # who returns writes the whole line anew
    lines[row] += written[at:]
    return lines


def svg(title: str, parts: Sequence[tuple[str, Sequence[str]]]) -> str:
    """Return a picture of commands and what they showed; without the web fonts that rich would ask for."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    for command, lines in parts:
        if command:
            console.print(Text(f"$ {command}", style="bold"), soft_wrap=False)
        for line in lines:
            console.print(Text.from_ansi(line), highlight=False)
    return re.sub(r"@font-face \{.*?\}\n?", "", console.export_svg(title=title), flags=re.S)
