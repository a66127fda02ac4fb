"""A list, a dict or a set that threads change while others encode it, with the GIL and without.

It gives an error or the bytes of a state that it had, never a crash.
"""

from __future__ import annotations

import datetime
import gc
import io
import json
import struct
from typing import TYPE_CHECKING, Any

import fastavro
import numpy as np
import pytest

from tests.encoding.threads import INNER, SECONDS, ZONES, together
from tests.support.avro import record_of
from twolane import pack_timestamps
from twolane.errors import SerializationError
from twolane.serializers import Avro, Json, Struct

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("eager")

# CPython keeps 2000 freed pairs: one that it takes from there is no allocation, and no collection.
MORE_THAN_FREE_LIST = 2500


def fickle(changes: list[Callable[[int], None]], encode: Callable[[int], None], seconds: float = SECONDS) -> None:
    """Let threads change what others encode; refusals are fine, and whatever `encode` raises is not."""

    def change(work: Callable[[int], None]) -> Callable[[int], None]:
        def changed(i: int) -> None:
            for j in range(50):
                work(i * 50 + j)

        return changed

    together(*map(change, changes), *[encode] * 4, seconds=seconds)


def fickle_row() -> tuple[dict[str, Any], list[Callable[[int], None]]]:
    """A row, and what changes its fields, its keys, its list and the dict in it."""
    row: dict[str, Any] = {"n": 1, "s": "a", "listed": [1, 2], "named": {"k": 1}, "inner": {"x": 1, "word": "w"}}
    listed, named = row["listed"], row["named"]

    def fields(i: int) -> None:
        row["n"] = i
        row["s"] = str(i) * (i % 40)
        row["inner"] = {"x": i, "word": str(i)}
        row.pop("extra", None)
        row[f"extra{i % 100}"] = i
        row.pop(f"extra{(i + 50) % 100}", None)
        if i % 50 == 0:
            row.pop("n", None)

    def items(i: int) -> None:
        if i % 300 == 0:
            listed.clear()
        listed.append(i)
        listed.insert(0, 2**40 + i)
        listed.pop()
        named[str(i % 500)] = i
        named.pop(str((i + 250) % 500), None)
        if i % 1000 == 0:
            named.clear()

    return row, [fields, items]


def test_avro_of_rows_that_change():
    schema = record_of("F", n="long", s="string", listed={"type": "array", "items": "long"},
                    named={"type": "map", "values": "long"}, inner=INNER)  # fmt: skip
    serializer = Avro(schema)
    parsed = fastavro.parse_schema(schema)
    row, changes = fickle_row()

    def encode(_: int) -> None:
        try:
            encoded = [serializer.encode(row), *serializer.encode_batch([row] * 3)]
        except SerializationError as error:
            assert error.field == "n"
            return
        for one in encoded:
            stream = io.BytesIO(one)
            found = fastavro.schemaless_reader(stream, parsed, None)
            assert stream.read() == b""
            assert str(found["inner"]["x"]) == found["inner"]["word"] or found["inner"]["word"] == "w"
            assert len(set(found["s"])) <= 10

    fickle(changes, encode)


def test_avro_unions_of_values_that_change():
    kinds = [record_of("A", n="long", s="string"), {"type": "map", "values": "long"}, "double"]
    schema = record_of("U", either=[*kinds, {"type": "array", "items": ["long", "string", "A"]}])
    serializer = Avro(schema)
    parsed = fastavro.parse_schema(schema)
    row: dict[str, Any] = {"either": {"n": 1, "s": "a"}}
    many: list[Any] = [1, "a"]
    named: dict[str, Any] = {}

    def change(i: int) -> None:
        row["either"] = [{"n": i, "s": str(i)}, named, 0.5, many][i % 4]
        named[str(i % 300)] = i
        named.pop(str((i + 150) % 300), None)
        many.append([i, str(i), {"n": i, "s": ""}][i % 3])
        if i % 100 == 0:
            del many[:]
            named.clear()

    def encode(_: int) -> None:
        try:
            encoded = [serializer.encode(row), *serializer.encode_batch([row] * 3)]
        except SerializationError:
            return
        for one in encoded:
            stream = io.BytesIO(one)
            fastavro.schemaless_reader(stream, parsed, None)
            assert stream.read() == b""

    fickle([change, change], encode)


@pytest.mark.parametrize(
    ("serializer", "wrap"),
    [
        (Avro({"type": "map", "values": "long"}), lambda entries: entries),
        (Avro([{"type": "map", "values": ["long", "string"]}, "double"]), lambda entries: entries),
        (Avro({"type": "array", "items": "string"}), set),
        (Avro(["long", {"type": "array", "items": ["long", "string"]}]), set),
        (Json(), lambda entries: entries),
        (Json(), lambda entries: {"fallback": {1}, "entries": entries}),
        (Json(nan="error"), lambda entries: entries),
        (Json(nan="error"), set),
    ],
    ids=["map", "union of a map", "array", "union of an array", "json", "json fallback", "json slow", "json set"],
)
def test_values_that_a_garbage_collection_changes(serializer, wrap):
    """CPython 3.11 collects in the middle of ``list(entries.items())``, and may give the GIL away there."""
    entries = {str(i): i for i in range(MORE_THAN_FREE_LIST)}
    value = wrap(entries)
    collections = 0

    def change(phase: str, info: object) -> None:
        nonlocal collections
        collections += 1
        name = str(collections % MORE_THAN_FREE_LIST)
        entries.pop(name) if name in entries else entries.setdefault(name, collections)
        if isinstance(value, set):
            value.symmetric_difference_update({name})

    thresholds = gc.get_threshold()
    gc.callbacks.append(change)
    try:
        gc.set_threshold(1, 1000, 1000)
        for _ in range(20):
            serializer.encode(value)
    finally:
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(change)


@pytest.mark.parametrize("nan", ["null", "error"])
def test_json_of_rows_that_change(nan):
    serializer = Json(nan=nan)
    row, changes = fickle_row()

    def encode(_: int) -> None:
        for text in [serializer.encode(row), *serializer.encode_batch([row] * 3)]:
            pairs = json.loads(text, object_pairs_hook=list)
            names = [name for name, _ in pairs]
            assert len(set(names)) == len(names)
            found = json.loads(text)
            assert found["inner"]["word"] in ("w", str(found["inner"]["x"]))
            assert len(set(found["s"])) <= 10

    fickle(changes, encode)


def test_struct_of_rows_that_change():
    layout = np.dtype([("n", "<i8"), ("v", "<i4", 3), ("inner", [("a", "<i4"), ("b", "<i4")])])
    serializer = Struct(layout)
    listed = [0, 0, 0]
    row: dict[str, Any] = {"n": 1, "v": listed, "inner": {"a": 1, "b": 1}}

    def change(i: int) -> None:
        row["n"] = 2**40 + i
        row["inner"] = {"a": i, "b": i}
        # Longer than the field, for a moment.
        listed.extend([7] * 5000)
        del listed[3:]
        row.pop(f"extra{i % 30}", None)
        row[f"extra{(i + 15) % 30}"] = i

    def encode(_: int) -> None:
        try:
            encoded = [serializer.encode(row), *serializer.encode_batch([row] * 3)]
        except SerializationError as error:
            assert error.field == "v"
            return
        for one in encoded:
            _, *items, a, b = struct.unpack("<q3i2i", one)
            assert items == [0, 0, 0]
            assert a == b

    fickle([change, change], encode)


def test_durations_of_lists_that_change():
    serializer = Avro({"type": "fixed", "name": "D", "size": 12, "logicalType": "duration"})
    parts: list[Any] = [1, 2, 3]

    def change(i: int) -> None:
        parts.append(4)
        parts[0] = -1 if i % 2 else 1
        parts.pop()
        parts[1] = "x" if i % 3 else 2

    def encode(_: int) -> None:
        for _ in range(50):
            try:
                assert serializer.encode(parts) == struct.pack("<III", 1, 2, 3)
            except SerializationError:
                continue

    fickle([change, change], encode)


def test_lists_of_rows_and_columns_that_change():
    """The list of rows itself, the lists that are columns, and the dict that holds them."""
    rows: list[Any] = [{"x": 1}]
    table: dict[str, Any] = {"x": [1, 1], "y": np.arange(2)}
    avro, text = Avro(record_of("L", x="long")), Json()
    times = [datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)]

    def change(i: int) -> None:
        rows.append({"x": i})
        times.append(datetime.datetime(2026, 1, 1 + i % 28, tzinfo=ZONES[i % 4]))
        table["x"] = [i] * 2
        table[f"z{i % 40}"] = [1, 2]
        table.pop(f"z{(i + 20) % 40}", None)
        if i % 100 == 0:
            rows.clear()
            times.clear()

    def encode(_: int) -> None:
        assert all(one[:5] == b'{"x":' for one in text.encode_batch(rows))
        assert None not in list(avro.encode_batch(rows))
        first, second = avro.encode_batch(table)
        assert first == second
        names = [list(json.loads(one)) for one in text.encode_batch(table)]
        assert names[0] == names[1]
        assert (pack_timestamps(times) > 0).all()

    fickle([change, change], encode)


def test_sets_that_change():
    serializer = Avro(["null", {"type": "array", "items": "long"}])
    either = Avro(["string", {"type": "array", "items": "long"}])
    values: set[int] = set()

    def change(i: int) -> None:
        values.add(i % 1000)
        values.discard((i + 500) % 1000)

    def encode(_: int) -> None:
        assert serializer.encode(values)[:1] == b"\x02"
        assert either.encode(values)[:1] == b"\x02"

    fickle([change, change], encode)
