"""One run of one contender: its process, its time limit, and the check without which there is no figure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.contender import Result
from bench.verify import UnverifiedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.clusters import Kafka
    from bench.contender import Contender, Task
    from bench.verify import Log

ROOT = Path(__file__).parents[1]


class FailedError(Exception):
    """A contender ended without a result."""


def line_of(name: str, command: Sequence[str | Path], **options: Any) -> dict[str, Any]:
    """Return the JSON line that a program prints; end this one with what it complains of if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        sys.exit(f"{name}: {done.stderr or done.stdout}")
    line: dict[str, Any] = json.loads(done.stdout)
    return line


def run(contender: Contender, task: Task) -> Result:
    """Run the contender in a process of its own and return what it says.

    Raises
    ------
    FailedError
        It took too long, ended with another status than 0, or printed no result.
    """
    command = [*contender.command(), task.to_json()]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), *sys.path]))}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=task.timeout, cwd=ROOT, env=environment
        )
    except subprocess.TimeoutExpired as error:
        raise FailedError(f"{contender.name}: not finished after {task.timeout:.0f} s") from error
    except OSError as error:
        raise FailedError(f"{contender.name}: {error}") from error
    said = (done.stderr or done.stdout).strip().splitlines() or ["nothing"]
    if done.returncode:
        raise FailedError(f"{contender.name}: exit status {done.returncode}: {said[-1][:300]}")
    try:
        return Result(**json.loads(done.stdout.strip().splitlines()[-1]))
    except (IndexError, TypeError, ValueError) as error:
        raise FailedError(f"{contender.name}: printed no result, but {said[-1][:300]!r}") from error


def measure(contender: Contender, task: Task, kafka: Kafka, log: Log, rtt_ms: int = 0) -> Result:
    """Run the contender and check its records in the log.

    Parameters
    ----------
    contender : Contender
    task : Task
        Its ``bootstrap_servers`` is replaced by what has the delay, or takes TLS.
    kafka : Kafka
    log : Log
    rtt_ms : int, default 0
        Added to the round-trip time while the contender runs, not while its records are read back.

    Raises
    ------
    FailedError
    UnverifiedError
    """
    before = log.ends(task.topic, task.partitions)
    with kafka.delayed(rtt_ms) as bootstrap:
        result = run(contender, replace(task, bootstrap_servers=kafka.tls_bootstrap_servers if task.ca else bootstrap))
    try:
        log.check(task, result, before)
    except UnverifiedError as error:
        raise UnverifiedError(f"{contender.name}: {error}") from None
    return result
