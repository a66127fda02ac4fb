"""JSON text that others wrote: a schema, a registry's answer, a line of a file."""

from __future__ import annotations

import itertools
import json
from typing import Any

# `json` goes down one call a level. Where it uses up the interpreter's limit, a finalizer that the garbage collector
# runs down there fails, whatever it belongs to.
MOST_LEVELS = 500
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_OTHERS = bytes(set(range(256)) - set(_STEPS))


def parsed(text: str | bytes) -> Any:
    """Parse JSON that is nested no deeper than `MOST_LEVELS`.

    Raises
    ------
    ValueError
        If it is no JSON, or nested deeper.
    """
    if not isinstance(text, str):  # as `json` does: brackets and quotes are bytes of other characters in UTF-16
        text = text.decode(json.detect_encoding(text), "surrogatepass")
    if _nested(text) > MOST_LEVELS:
        raise ValueError(f"nested deeper than {MOST_LEVELS} levels")
    return json.loads(text)


def _nested(text: str) -> int:
    """Return how deep a text may be nested: exact where it has more brackets than `MOST_LEVELS`, too high elsewhere."""
    most = text.count("[") + text.count("{")
    if most <= MOST_LEVELS:
        return most
    unquoted = text.encode(errors="replace").replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2]
    steps = map(_STEPS.__getitem__, b"".join(unquoted).translate(None, _OTHERS))
    return max(itertools.accumulate(steps), default=0)
