"""JSON of many objects in one call of orjson: what comes out is what one by one gives."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twolane import Json, SerializationError

# In the group of tests; not there for free-threaded Python.
orjson = pytest.importorskip("orjson")

# With what the extension writes itself, and with UUIDs, dates and ints for which it calls orjson.
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.uuids()
    | st.dates(),
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
    values = [{"i": i, "day": date(2026, 1, 1)} for i in range(41)]  # the date: orjson has to write them
    values[place] = orjson.Fragment(text)
    assert list(Json().encode_batch(values)) == [orjson.dumps(value) for value in values]


def test_what_orjson_refuses_goes_one_by_one():
    values = [{"i": i} for i in range(100)]
    values[50:70] = [{"i": i, "day": date(2026, 1, 1)} for i in range(50, 70)]
    values[60] = {1: Decimal("2.50")}
    assert list(Json().encode_batch(values))[59:62] == [
        b'{"i":59,"day":"2026-01-01"}',
        b'{"1":"2.50"}',
        b'{"i":61,"day":"2026-01-01"}',
    ]
    values[70] = {"x": [1, {"y": b"\xff"}]}
    with pytest.raises(SerializationError) as caught:
        Json().encode_batch(values)
    assert (caught.value.index, caught.value.field) == (70, "x[1].y")


def test_records_of_every_size():
    values = ["x" * size for size in (0, 1, 300_000, 5, 2_000_000, 7)] * 5 + ["\n\r\x00\u2028"] * 600
    assert [json.loads(record) for record in Json().encode_batch(values)] == values


class Text(str): ...


class Number(int): ...


@pytest.mark.parametrize("options", [{}, {"nan": "error"}])
def test_what_is_written_here_and_what_is_not(options):
    """With nan="error" the standard library writes the others."""
    deep = []
    for _ in range(150):
        deep = [deep]
    values = [
        {},
        [],
        (),
        {"": {}, "a": [[], {}, [{}]]},
        {"k" * size: "v" * size for size in range(80)},
        {f"{i}": i for i in range(5000)},
        {"".join(("ke", "y")): 1, "key": 2, 'k"e\ny': 3, "clé": "größe", "\U0001f600": "\ud7ff"},
        {"t": (1, (2, [3.5, None, True, False]))},
        ["x" * 16_000, "\x01" * 16_384, "\n" * 16_385, "x" * 100_000],
        [2**63 - 1, 2**63, -(2**63), 0, -1],
        [0.0, -0.0, 1.5, -2.25, 0.0002, 1e15, 123456.0, 100000.0, 2**53 - 1.0, 2.0**53, 0.5, 0.125],
        [[i / 7, -i / 3.0, i * 1e4] for i in range(300)],
        deep,
        [0] * 3000,
        Text("text"),
        {"n": Number(7), "t": Text("x")},
        "\x7f\x1f\u2028",
        7,
        None,
        True,
    ]
    want = [None if v is None else json.dumps(v, ensure_ascii=False, separators=(",", ":")).encode() for v in values]
    assert list(Json(**options).encode_batch(values * 3)) == want * 3
    assert list(Json(**options).encode_batch(values[::-1])) == want[::-1]
    assert [Json(**options).encode(value) for value in values] == want


def test_what_has_to_be_refused_leaves_nothing_behind():
    values = [{"a": 1, "b": ["x", {"c": bad}]} for bad in (1, "\ud800", 10**5000, b"x", object())]
    for i in range(1, len(values)):
        with pytest.raises(SerializationError) as caught:
            Json().encode_batch([values[0], values[i], values[0]])
        assert (caught.value.index, caught.value.field) == (1, "b[1].c")
    with pytest.raises(SerializationError):
        Json().encode_batch([{"a": {"\ud800": 1}}])
    odd = [{"a": 1}, {"a": 1, 2: 3}, {"a": 1.5, None: float("nan")}, {"a": float("inf")}]
    assert list(Json().encode_batch(odd)) == [b'{"a":1}', b'{"a":1,"2":3}', b'{"a":1.5,"null":null}', b'{"a":null}']


def test_rows_that_change_while_they_are_written():
    """A default that empties the list of rows: the call works on its own references."""
    rows = []

    class Emptying:
        def model_dump(self):
            rows.clear()
            return {"gone": True}

    rows += [Emptying(), *({"i": i} for i in range(40))]
    assert list(Json().encode_batch(rows))[:2] == [b'{"gone":true}', b'{"i":0}']
