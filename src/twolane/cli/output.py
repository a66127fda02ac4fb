"""What is printed: results to standard output, everything else to standard error; colours only on terminals."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Mapping

LEVELS = {-1: logging.ERROR, 0: logging.WARNING, 1: logging.INFO}


def console() -> Console:
    """Return a console on standard output; rich looks whether it is a terminal, and at NO_COLOR."""
    return Console(soft_wrap=True, highlight=False)


def errors() -> Console:
    """Return a console on standard error: progress bars, summaries for people."""
    return Console(stderr=True, soft_wrap=True, highlight=False)


def say(text: str) -> None:
    """Print a line to standard error."""
    click.echo(f"twolane: {text}", err=True)


def print_json(result: Mapping[str, Any]) -> None:
    """Print a result as one line of JSON to standard output."""
    click.echo(json.dumps(result, ensure_ascii=False, default=str))


class LogHandler(logging.Handler):
    """Prints lines of the logger ``twolane`` to standard error, wherever that leads at the moment."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one line."""
        say(f"{record.levelname.lower()}: {self.format(record)}")


def log_to_stderr(context: click.Context, verbosity: int) -> None:
    """Show the library's log while a command runs: warnings, with ``-q`` errors, with ``-v`` and ``-vv`` more."""
    logger = logging.getLogger("twolane")
    handler, level = LogHandler(), logger.level
    logger.addHandler(handler)
    logger.setLevel(LEVELS.get(verbosity, logging.DEBUG))

    def restore() -> None:
        logger.removeHandler(handler)
        logger.setLevel(level)

    context.call_on_close(restore)
