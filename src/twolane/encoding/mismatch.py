"""What an encoder raises inside itself: the value that does not fit, and the path back to the row."""

from __future__ import annotations

from typing import Any

from twolane.encoding.avro.schema import MISSING
from twolane.errors import SerializationError, shown

PATH_LENGTH = 160


class MemoryLimitExceeded(Exception):
    """What has to be encoded from Python objects takes more memory than was allowed; never leaves the serializers."""


class Mismatch(Exception):
    """A value is not of the type its schema says; never leaves the encoders.

    Attributes
    ----------
    expected : str
    value : object
    path : list
        From the value outwards: str for a field, int for an item of an array, a tuple of one for a key of a map.
    """

    def __init__(self, expected: str, value: Any) -> None:
        super().__init__(expected, value)
        self.expected = expected
        self.value = value
        self.path: list[str | int | tuple[object]] = []

    def as_error(self, index: int | None, field: str | None) -> SerializationError:
        """Make the error that users see; `field` is the first step of the path."""
        path = field or ""
        for step in reversed(self.path):
            if isinstance(step, str):
                path = f"{path}.{step}" if path else step
            else:
                path += f"[{shown(step[0] if isinstance(step, tuple) else step)}]"
        if len(path) > PATH_LENGTH:
            path = f"{path[: PATH_LENGTH // 2]}...{path[3 - PATH_LENGTH // 2 :]}"
        value = ... if self.value is MISSING else self.value
        return SerializationError(f"expected {self.expected}", index=index, field=path or None, value=value)
