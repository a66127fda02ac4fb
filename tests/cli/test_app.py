"""The command as a whole: its entry, exit codes, what is printed of errors."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from confluent_kafka import KafkaError, KafkaException

from tests.packaging.sources import ROOT
from twolane import ConfigError, DeliveryError, SerializationError, Verdict
from twolane.cli import app as entry
from twolane.cli.exits import Exit, Terminated, of_counts, of_error, text_of
from twolane.testing import ClusterUnavailableError


def test_about(run):
    result = run("about")
    assert result.exit_code == 0
    assert re.search(r"^librdkafka +\d", result.output, re.M)
    assert json.loads(run("about", "--json").output)["twolane"]


def test_help_names_every_subcommand(run):
    result = run("--help")
    assert result.exit_code == 0
    assert all(re.search(rf"^  {name} ", result.output, re.M) for name in entry.COMMANDS)


@pytest.mark.parametrize("name", entry.COMMANDS)
def test_a_subcommand_has_help(run, name):
    result = run(name, "--help")
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: twolane {name}")


@pytest.mark.parametrize("arguments", [["--bogus"], ["nothing"], ["about", "--bogus"]])
def test_wrong_usage(run, arguments):
    result = run(*arguments)
    assert result.exit_code == Exit.USAGE
    assert "Usage: twolane" in result.stderr
    assert result.stdout == ""


def delivery_error(verdict: Verdict, code: int = KafkaError._MSG_TIMED_OUT) -> DeliveryError:
    return DeliveryError(KafkaError(code), verdict=verdict, topic="audit")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("no"), Exit.USAGE),
        (SerializationError("no"), Exit.REFUSED),
        (delivery_error(Verdict.NOT_WRITTEN), Exit.NOT_WRITTEN),
        (delivery_error(Verdict.NOT_WRITTEN, KafkaError._AUTHENTICATION), Exit.UNAVAILABLE),
        (delivery_error(Verdict.UNKNOWN, KafkaError._TRANSPORT), Exit.UNKNOWN),
        (KafkaException(KafkaError(KafkaError._TRANSPORT)), Exit.UNAVAILABLE),
        (ClusterUnavailableError("no Java"), Exit.UNAVAILABLE),
        (OSError(28, "No space left on device"), Exit.UNAVAILABLE),
        (click.UsageError("no"), Exit.USAGE),
        (KeyboardInterrupt(), Exit.INTERRUPTED),
        (Terminated(), Exit.TERMINATED),
        (ZeroDivisionError("no"), Exit.FAULT),
    ],
    ids=lambda part: type(part).__name__ if isinstance(part, BaseException) else part.name,
)
def test_an_error_ends_in_its_code_and_a_line(run, monkeypatch, error, code):
    def fail() -> None:
        raise error

    monkeypatch.setattr("twolane.cli.about.about", fail)
    result = run("about")
    assert result.exit_code == code
    assert result.stdout == ""
    assert ("Traceback" in result.stderr) == (code is Exit.FAULT)
    words = [] if isinstance(error, KeyboardInterrupt) else [text_of(error)]
    assert all(text in result.stderr for text in words)


def test_what_is_least_certain_counts():
    assert of_counts() is Exit.OK
    assert of_counts(refused=1) is Exit.REFUSED
    assert of_counts(refused=1, not_written=1) is Exit.NOT_WRITTEN
    assert of_counts(refused=1, not_written=1, unknown=1) is Exit.UNKNOWN
    assert of_error(Terminated()) is Exit.TERMINATED


def without_the_extra(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code in an interpreter that finds no click."""
    block = f"import sys; sys.modules['click'] = None; sys.argv[1:] = {list(arguments)}; sys.path.insert(0, 'src'); "
    return subprocess.run(
        [sys.executable, "-c", block + code], capture_output=True, text=True, check=False, cwd=ROOT, timeout=60
    )


def test_without_the_extra_it_says_what_to_install():
    code = "from twolane.__main__ import main; main()"
    done = without_the_extra(code, "send", "-t", "audit")
    assert done.returncode == Exit.USAGE
    assert done.stderr == "twolane: the command needs click and rich: pip install 'twolane[cli]'\n"
    done = without_the_extra(code, "about")
    assert done.returncode == 0
    assert "librdkafka" in done.stdout


def test_the_program_is_installed():
    program = Path(sys.executable).with_name("twolane")
    done = subprocess.run([program, "about"], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0
    assert (
        done.stdout
        == subprocess.run(
            [sys.executable, "-m", "twolane", "about"], capture_output=True, text=True, check=True, timeout=60
        ).stdout
    )
