"""Run a page's Python up to the first block that wants brokers of one's own.

``python -m tests.packaging.run_page PAGE``, for an environment where nothing but the page's own packages is installed.
"""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path
from types import SimpleNamespace

from tests.support import pages


class Printed(io.StringIO):
    """What pytest's fixture `capsys` is elsewhere."""

    def readouterr(self) -> SimpleNamespace:
        """Return what was printed since the last call."""
        out = self.getvalue()
        self.seek(0)
        self.truncate()
        return SimpleNamespace(out=out)


def main(page: Path) -> None:
    """Run the page's beginning, and say how far that went."""
    text = page.read_text()
    blocks = list(pages.BLOCK.finditer(text))
    ends = [match.start() for match in blocks if "localhost" in match[2] or match[1] == "console"]
    beginning = Path(page.name)
    beginning.write_text(text[: ends[0] if ends else None])
    with contextlib.redirect_stdout(Printed()) as printed:
        pages.run(beginning, "", printed)
    n = sum(match.start() < (ends or [len(text)])[0] for match in blocks)
    print(f"{page}: {n} of {len(blocks)} blocks")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
