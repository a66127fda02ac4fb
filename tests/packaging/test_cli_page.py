"""docs/cli.md says what the command does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.packaging.sources import ROOT
from twolane.cli.app import COMMANDS
from twolane.cli.exits import Exit

if TYPE_CHECKING:
    from twolane.testing import EmbeddedCluster

PAGE = (ROOT / "docs" / "cli.md").read_text()
EXAMPLES = re.findall(r"^```console\n(.*?)^```", PAGE, re.M | re.S)


def test_it_has_every_subcommand() -> None:
    assert all(f"| `{name}` |" in PAGE for name in COMMANDS)


def test_it_has_every_exit_code() -> None:
    table = PAGE.partition("## Exit codes")[2].partition("\n## ")[0]
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", table, re.M)] == list(Exit)


def shape(text: str) -> str:
    """Return what is printed without its figures, and without the widths that go with them."""
    return re.sub(r"\s+", " ", re.sub(r"\d[\d.,]*(?: \d{3}\b)*", "0", text)).strip()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.split("twolane ", 1)[1].split()[0])
def test_an_example_prints_what_the_page_says(example: str, embedded_cluster: EmbeddedCluster, tmp_path: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for part in example.removeprefix("$ ").split("\n$ "):
        command, _, expected = part.partition("\n")
        while command.endswith("\\"):
            more, _, expected = expected.partition("\n")
            command = f"{command[:-1]} {more.removeprefix('>')}"
        done = subprocess.run(
            ["bash", "-c", command.replace("localhost:9092", embedded_cluster.bootstrap_servers)],
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=120,
        )
        printed = done.stdout.replace(embedded_cluster.bootstrap_servers, "localhost:9092")
        assert shape(printed) == shape(expected), command
