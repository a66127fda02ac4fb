"""JSON of many objects in one call of orjson: what comes out is what one by one gives."""

from __future__ import annotations

import json
from decimal import Decimal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twolane import Json, SerializationError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(VALUES, max_size=60))
def test_as_one_by_one(values):
    batch = Json().encode_batch(values)
    assert list(batch) == [None if value is None else orjson.dumps(value) for value in values]
    assert batch.valid.tolist() == [value is not None for value in values]


@given(st.lists(VALUES, min_size=1, max_size=60))
def test_columns_of_objects(values):
    batch = Json().encode_batch({"v": values})
    assert list(batch) == [b'{"v":' + orjson.dumps(value) + b"}" for value in values]


@pytest.mark.parametrize("text", [b"\n", b"1\n", b"\n1", b"[\n\n]", b"1,\n2", b"1,\n,\n2"])
@pytest.mark.parametrize("place", [0, 8, 15, 16, 40])
def test_fragments_with_newlines_of_their_own(text, place):
    values = [{"i": i} for i in range(41)]
    values[place] = orjson.Fragment(text)
    assert list(Json().encode_batch(values)) == [orjson.dumps(value) for value in values]


def test_what_orjson_refuses_goes_one_by_one():
    values = [{"i": i} for i in range(100)]
    values[60] = {1: Decimal("2.50")}
    assert list(Json().encode_batch(values))[59:62] == [b'{"i":59}', b'{"1":"2.50"}', b'{"i":61}']
    values[70] = {"x": [1, {"y": b"\xff"}]}
    with pytest.raises(SerializationError) as caught:
        Json().encode_batch(values)
    assert (caught.value.index, caught.value.field) == (70, "x[1].y")


def test_records_of_every_size():
    values = ["x" * size for size in (0, 1, 300_000, 5, 2_000_000, 7)] * 5 + ["\n\r\x00\u2028"] * 600
    assert [json.loads(record) for record in Json().encode_batch(values)] == values


def test_rows_that_change_while_they_are_written():
    """A default that empties the list of rows: the call works on its own references."""
    rows = []

    class Emptying:
        def model_dump(self):
            rows.clear()
            return {"gone": True}

    rows += [Emptying(), *({"i": i} for i in range(40))]
    assert list(Json().encode_batch(rows))[:2] == [b'{"gone":true}', b'{"i":0}']
