"""Running the command: in this process by click's runner, or as a program."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from tests.packaging.sources import ROOT
from twolane.cli.app import app

if TYPE_CHECKING:
    from click.testing import Result

Run = Callable[..., "Result"]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a subcommand in this process: ``run("send", "-t", "audit", input=b"...")``; the result has `exit_code`."""
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)

    def call(*arguments: object, **options: Any) -> Result:
        return CliRunner().invoke(app, [str(part) for part in arguments], **options)

    return call


@pytest.fixture
def start() -> Callable[..., subprocess.Popen[bytes]]:
    """Start the command as a program, with pipes."""

    def call(*arguments: object, **options: Any) -> subprocess.Popen[bytes]:
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        command = [sys.executable, "-m", "twolane", *(str(part) for part in arguments)]
        return subprocess.Popen(command, **{**pipes, "env": environment, **options})

    return call
