"""docs/cli.md says what the command does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.packaging.sources import ROOT
from tests.support.pages import run_console
from twolane.cli.app import COMMANDS
from twolane.cli.exits import Exit

if TYPE_CHECKING:
    from pathlib import Path

    from twolane.testing import EmbeddedCluster

PAGE = (ROOT / "docs" / "cli.md").read_text()
EXAMPLES = re.findall(r"^```console\n(.*?)^```", PAGE, re.M | re.S)


def test_it_has_every_subcommand() -> None:
    assert all(f"| `{name}` |" in PAGE for name in COMMANDS)


def test_it_has_every_exit_code() -> None:
    table = PAGE.partition("## Exit codes")[2].partition("\n## ")[0]
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", table, re.M)] == list(Exit)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.split("twolane ", 1)[1].split()[0])
def test_an_example_prints_what_the_page_says(example: str, embedded_cluster: EmbeddedCluster, tmp_path: Path) -> None:
    run_console(example, embedded_cluster.bootstrap_servers, tmp_path)
