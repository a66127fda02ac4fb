"""Record headers: what users write and what the client takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twolane.errors import SerializationError

Header = tuple[bytes, bytes | None]


def _one(name: Any, value: Any, index: int | None) -> Header:
    if not isinstance(name, str):
        raise SerializationError("header names are strings", index=index, field="headers", value=name)
    encoded = name.encode()
    if not encoded or b"\0" in encoded:
        reason = "a header name is not empty and holds no NUL"
        raise SerializationError(reason, index=index, field="headers", value=name)
    if isinstance(value, str):
        return encoded, value.encode()
    if value is None or isinstance(value, bytes):
        return encoded, value
    if isinstance(value, (bytearray, memoryview)):
        return encoded, bytes(value)
    raise SerializationError(
        "header values are bytes, str or None", index=index, field=f"headers[{name!r}]", value=value
    )


def shared_headers(headers: Any, index: int | None = None) -> tuple[Header, ...]:
    """Return one record's headers: from a mapping, or from a sequence of (name, value), in that order.

    Raises
    ------
    SerializationError
        Names other than non-empty str without NUL, values other than bytes, str or None.
    """
    if not headers:
        return ()
    if isinstance(headers, Mapping):
        return tuple(_one(name, value, index) for name, value in headers.items())
    if isinstance(headers, Sequence) and not isinstance(headers, (str, bytes)):
        pairs = []
        for pair in headers:
            if not (isinstance(pair, (tuple, list)) and len(pair) == 2):
                raise SerializationError("expected (name, value)", index=index, field="headers", value=pair)
            pairs.append(_one(pair[0], pair[1], index))
        return tuple(pairs)
    raise SerializationError(
        "headers are a mapping or a sequence of (name, value)", index=index, field="headers", value=headers
    )


def batch_headers(headers: Any, n: int) -> tuple[Header, ...] | list[tuple[Header, ...]]:
    """Return the headers of a batch: a tuple shared by all records, or a list with one tuple per record.

    A mapping, or a sequence of ``(str, value)`` pairs, is shared. Any other sequence has one entry per record, each a
    mapping, a sequence of pairs, or None.
    """
    if not headers:
        return ()
    if isinstance(headers, Mapping):
        return shared_headers(headers)
    if not isinstance(headers, Sequence) or isinstance(headers, (str, bytes)):
        raise SerializationError("headers are a mapping or a sequence", field="headers", value=headers)
    if all(isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str) for pair in headers):
        return shared_headers(headers)
    if len(headers) != n:
        raise SerializationError(f"{len(headers)} headers for {n} records", field="headers")
    return [shared_headers(entry, index) for index, entry in enumerate(headers)]


def wire_size(headers: Sequence[Header], overhead: int) -> int:
    """Return the bytes of one record's headers in a MessageSet, at worst."""
    return sum(len(name) + len(value or b"") + overhead for name, value in headers)
