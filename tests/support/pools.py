"""What pools run in their processes; a module of its own, because a spawned child imports it by name."""

from __future__ import annotations

from typing import Any


def raised(error: BaseException) -> Any:
    """Raise what was handed over."""
    raise error


def returned(value: Any) -> Any:
    """Give it back."""
    return value
