"""Libraries that only some sources need."""

from __future__ import annotations

import importlib
from typing import Any

import click


def library(name: str) -> Any:
    """Import a library.

    Raises
    ------
    click.UsageError
        It is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        package = name.partition(".")[0]
        raise click.UsageError(f"this source needs {package}, which is not installed: pip install {package}") from None


def optional(name: str) -> Any:
    """Import a library; None where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
