"""The file of bad rows (``--bad``): what was left out, and why; a line of JSON each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


class BadFile:
    """Takes bad rows; without a path it only counts them.

    Parameters
    ----------
    path : Path or None
    size : int or None
        Where to go on in a file that is there; None: behind all of it.
    resume : bool
        Keep what is there.

    Attributes
    ----------
    count : int
        Rows taken.
    """

    def __init__(self, path: Path | None, size: int | None = None, *, resume: bool = False) -> None:
        self.count = 0
        self._file = None
        if path is not None:
            self._file = path.open("ab" if resume else "wb")
            if resume and size is not None:
                self._file.truncate(size)

    @property
    def size(self) -> int:
        """Bytes written."""
        return self._file.tell() if self._file is not None else 0

    def add(self, place: int | str, reason: str, row: Any) -> None:
        """Add a row; it is in the file when this returns."""
        self.count += 1
        if self._file is not None:
            line = {"row": place, "error": reason, "value": row}
            self._file.write(json.dumps(line, ensure_ascii=False, default=str).encode() + b"\n")
            self._file.flush()

    def close(self) -> None:
        """Close it."""
        if self._file is not None:
            self._file.close()
