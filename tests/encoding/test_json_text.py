"""JSON of others is as deep as it may be, whatever its texts hold, and no finalizer runs out of levels over it."""

from __future__ import annotations

import gc
import json
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twolane import Avro, Json
from twolane.encoding.json_text import MOST_LEVELS, parsed
from twolane.errors import SerializationError

# What looks like brackets and ends of texts, in keys and values.
TEXTS = st.text('[]{}"\\/u00a∢孛', max_size=8)  # U+2222 and U+5B5B: quotes and brackets, as bytes of UTF-16
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
LEAVES = st.none() | st.integers(-9, 9) | TEXTS


def nested(levels: int, leaf: object, keys: list[str | None]) -> str:
    """Return arrays (of key None) and objects around a leaf: many levels, which `json` could not write."""
    key = [keys[i % len(keys)] for i in range(levels)]
    head = "".join("[" if name is None else f"{{{json.dumps(name, ensure_ascii=False)}: " for name in key)
    return head + json.dumps(leaf, ensure_ascii=False) + "".join("]" if name is None else "}" for name in reversed(key))


@given(st.lists(st.none() | TEXTS, min_size=1, max_size=5), LEAVES, st.integers(-2, 2), st.none() | ENCODINGS)
def test_the_limit_is_counted_in_levels(keys: list[str | None], leaf: object, more: int, encoding: str | None) -> None:
    text = nested(MOST_LEVELS + more, leaf, keys)
    given_text = text if encoding is None else text.encode(encoding)
    if more > 0:
        with pytest.raises(ValueError, match="nested deeper than 500 levels"):
            parsed(given_text)
    else:
        assert parsed(given_text) == json.loads(text)


@settings(max_examples=50)
@given(st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner)), st.booleans())
def test_many_brackets_side_by_side_are_no_levels(value: object, ascii_only: bool) -> None:
    whole = [value, ["[[{", "\\", '"]'] * 400, [{}] * 400]
    text = json.dumps(whole, ensure_ascii=ascii_only)
    assert parsed(text) == parsed(text.encode()) == whole


class Finalized:
    """Garbage in a circle, whose end needs some levels of the interpreter's."""

    ended: list[int]

    def __init__(self, ended: list[int]) -> None:
        self.circle = self
        self.ended = ended

    def __del__(self) -> None:
        self.ended.append(self.down(50))

    def down(self, levels: int) -> int:
        return 1 if not levels else self.down(levels - 1)


@pytest.mark.parametrize("parse", [parsed, Avro, Json], ids=["text", "Avro", "Json"])
@pytest.mark.parametrize("opening", ["[", '{"type":"array","items":'])
def test_no_finalizer_fails_for_want_of_levels(parse: object, opening: str) -> None:
    assert callable(parse)
    before = gc.get_threshold()
    ended: list[int] = []
    failed: list[object] = []
    hook = sys.unraisablehook
    sys.unraisablehook = failed.append
    gc.freeze()  # what other tests have left is not looked at each time
    try:
        for level in range(500, 1000, 20):
            gc.collect()
            Finalized(ended)
            with pytest.raises((ValueError, SerializationError)):
                gc.set_threshold(level)  # so many lists or dicts later the garbage is collected
                parse(opening * 5_000)
    finally:
        gc.set_threshold(*before)
        gc.collect()
        gc.unfreeze()
        sys.unraisablehook = hook
    assert not failed
    assert ended
