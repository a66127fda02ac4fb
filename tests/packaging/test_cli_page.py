"""docs/cli.md says what the command does."""

from __future__ import annotations

import re

from tests.packaging.sources import ROOT
from twolane.cli.app import COMMANDS
from twolane.cli.exits import Exit

PAGE = (ROOT / "docs" / "cli.md").read_text()


def test_it_has_every_subcommand() -> None:
    assert all(f"| `{name}` |" in PAGE for name in COMMANDS)


def test_it_has_every_exit_code() -> None:
    table = PAGE.partition("## Exit codes")[2].partition("\n## ")[0]
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", table, re.M)] == list(Exit)
