"""One serializer, many threads at once, with the GIL and without: every result is what one thread alone gets, and a list or a
dict that another thread changes meanwhile gives an error or the bytes of a state that it had, never a crash.
"""

from __future__ import annotations

import dataclasses
import datetime
import io
import itertools
import json
import struct
import sys
import threading
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import fastavro
import numpy as np
import pyarrow as pa
import pydantic
import pytest

from twolane import TimestampError, pack_timestamps
from twolane.encoding.timestamps import nanosecond_column
from twolane.errors import SerializationError
from twolane.serializers import Avro, Bytes, Json, Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

THREADS = 8
SECONDS = 1.0


@pytest.fixture(autouse=True)
def eager() -> Iterator[None]:
    """With the GIL, let threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def together(*works: Callable[[int], None], seconds: float = SECONDS, least: int = 3) -> None:
    """Run each work in a thread of its own, again and again, until the time is over; the first error of any is raised."""
    ready = threading.Barrier(len(works))
    failed: list[BaseException] = []

    def run(work: Callable[[int], None]) -> None:
        ready.wait()
        end = time.monotonic() + seconds
        try:
            for i in itertools.count():
                if failed or (i >= least and time.monotonic() > end):
                    return
                work(i)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a thread hangs"
    if failed:
        raise failed[0]


def shared(encode: Callable[[Any], list[Any]], *cases: tuple[Any, list[Any]], seconds: float = SECONDS) -> None:
    """Let threads encode the same cases with one function, each beginning with another; compare with what is expected."""

    def work(i: int) -> None:
        values, expected = cases[(i + threading.get_native_id()) % len(cases)]
        assert encode(values) == expected

    together(*[work] * THREADS, seconds=seconds)


def fast_avro(schema: Any, rows: list[Any]) -> list[bytes]:
    parsed = fastavro.parse_schema(schema)
    written = []
    for row in rows:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, parsed, row)
        written.append(out.getvalue())
    return written


def record(name: str, **fields: Any) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": [{"name": key, "type": made} for key, made in fields.items()]}


INNER = record("Inner", x="long", word=["null", "string"])
ROW = record(
    "Row",
    n="long",
    s="string",
    at={"type": "long", "logicalType": "timestamp-micros"},
    inner=INNER,
    listed={"type": "array", "items": ["int", "string", "double"]},
    named={"type": "map", "values": "Inner"},
    either=["null", "Inner", {"type": "map", "values": "long"}, {"type": "array", "items": "long"}],
    amount={"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
)
ZONES = [
    datetime.UTC,
    ZoneInfo("Europe/Berlin"),
    *(datetime.timezone(datetime.timedelta(minutes=minutes)) for minutes in (-690, -60, 60, 330, 840)),
]


def avro_row(i: int) -> dict[str, Any]:
    return {
        "n": i * 7919 - 4000,
        "s": f"straße {i}" * (i % 5),
        "at": datetime.datetime(2026, 1 + i % 12, 1 + i % 28, i % 24, 5, 6, i, tzinfo=ZONES[i % len(ZONES)]),
        "inner": {"x": i, "word": None if i % 3 else f"w{i}"},
        "listed": [i, f"t{i}", i + 0.5][: i % 4],
        "named": {f"k{j}": {"x": j, "word": "ö" * j} for j in range(i % 3)},
        "either": [None, {"x": i, "word": "e"}, {"a": i, "b": 2}, [1, 2, i]][i % 4],
        "amount": Decimal(i) / 4,
    }


@dataclasses.dataclass
class Inner:
    x: int
    word: str | None


@dataclasses.dataclass
class Row:
    n: int
    s: str
    at: datetime.datetime
    inner: Inner
    listed: list[Any]
    named: dict[str, Any]
    either: Any
    amount: Decimal


class SlotRow:
    __slots__ = tuple(field.name for field in dataclasses.fields(Row))

    def __init__(self, **fields: Any) -> None:
        for name, value in fields.items():
            setattr(self, name, value)


class Model(pydantic.BaseModel):
    n: int
    s: str
    at: datetime.datetime
    inner: Any
    listed: list[Any]
    named: dict[str, Any]
    either: Any
    amount: Decimal


def as_class(made: Any, row: dict[str, Any]) -> Any:
    return made(**{**row, "inner": Inner(**row["inner"])})


AVRO_ROWS = [avro_row(i) for i in range(150)]


def avro_cases() -> list[tuple[list[Any], list[bytes]]]:
    expected = fast_avro(ROW, AVRO_ROWS)
    kinds = [
        AVRO_ROWS,
        *([as_class(made, row) for row in AVRO_ROWS] for made in (Row, SlotRow, Model)),
        [tuple(row.values()) for row in AVRO_ROWS],
        # Classes in turn: what the writer knows of the last class is always of another.
        [as_class((Row, SlotRow, Model)[i % 3], row) for i, row in enumerate(AVRO_ROWS)],
    ]
    return [(rows, expected) for rows in kinds]


def test_avro_rows_of_all_kinds_share_a_serializer():
    serializer = Avro(ROW)
    shared(lambda rows: list(serializer.encode_batch(rows)), *avro_cases())


def test_avro_records_one_by_one_share_a_serializer():
    serializer = Avro(ROW)
    shared(lambda rows: [serializer.encode(row) for row in rows], *avro_cases())


def test_classes_that_come_and_go_share_a_writer():
    """What the writer remembers of the last class is replaced all the time, and the class dies with its rows."""
    serializer = Avro(record("P", x="long", y="long"))

    def work(i: int) -> None:
        expected = bytes([i % 50 * 2, i % 40 * 2])
        rows = []
        for made in (dataclasses.make_dataclass("Made", ["x", "y"], slots=slots) for slots in (True, False)):
            # Pydantic's classes are read by another way.
            made.__pydantic_fields__ = {} if i % 2 else None
            if i % 3 == 0:
                del made.__pydantic_fields__
            rows.append(made(i % 50, i % 40))
        for _ in range(300):
            assert [serializer.encode(row) for row in rows] == [expected] * 2
        assert list(serializer.encode_batch(rows)) == [expected] * 2

    together(*[work] * THREADS)


COLUMNS = record("C", a="long", s="string", at={"type": "long", "logicalType": "timestamp-micros"}, o=["null", "double"])


def column_cases(n: int) -> list[tuple[Any, list[dict[str, Any]]]]:
    """The same field as numpy's bytes and strings, as Arrow's binary and text of both widths, as lists."""
    numbers = np.arange(n) * 101 - 7
    words = [f"größe{i % 97}" for i in range(n)]
    times = np.arange(n) * 1_000_003 + 1_700_000_000_000_000
    halves = [None if i % 5 == 0 else i / 2 for i in range(n)]
    encoded = [word.encode() for word in words]
    rows = [
        {"a": int(a), "s": s, "at": int(at), "o": o} for a, s, at, o in zip(numbers, words, times, halves, strict=True)
    ]
    kinds = [
        np.array(encoded, dtype="S12"), np.array(words, dtype="U9"), pa.array(encoded, pa.binary()),
        pa.array(encoded, pa.large_binary()), pa.array(words), pa.array(words, pa.large_string()), words,
        pa.array(words).dictionary_encode(),
    ]  # fmt: skip
    tables = [
        {
            "a": numbers.astype("i4") if i % 2 else numbers,
            "s": kind,
            "at": times.view("M8[us]"),
            "o": pa.array(halves) if i % 3 else halves,
        }
        for i, kind in enumerate(kinds)
    ]
    return [(table, rows) for table in tables]


def test_columns_of_other_layouts_share_an_avro_serializer():
    """Each call may follow the plan of the last one, which another thread is replacing by that of another layout."""
    serializer = Avro(COLUMNS, schema_id=9)
    head = b"\0\0\0\0\x09"
    cases = []
    for table, rows in column_cases(3000):
        expected = [head + row for row in fast_avro(COLUMNS, rows)]
        cases.append((table, b"".join(expected)))

    def encode(table: Any) -> bytes:
        source = serializer.bind(table)
        batches = [source.slice(0, 1000), source.slice(1000, 3000)]
        return b"".join(record for batch in batches for record in batch)

    shared(encode, *cases, seconds=3.0)


def test_columns_that_are_looked_through_share_a_plan():
    """Another thread replaces the plan that a call follows while that looks, without the GIL, whether all is UTF-8."""
    schema = record("L", s="string")
    serializer = Avro(schema)
    encoded = [f"größe{i % 97}".encode() for i in range(20_000)]
    expected = fast_avro(schema, [{"s": one.decode()} for one in encoded[-100:]])
    kinds = [np.array(encoded, dtype="S12"), pa.array(encoded, pa.binary()), pa.array(encoded, pa.large_binary())]

    def encode(column: Any) -> list[bytes]:
        source = serializer.bind({"s": column})
        return list(source.slice(len(source) - 100, len(source)))

    shared(encode, *((kind, expected) for kind in kinds))


def test_json_rows_share_a_serializer():
    rows = [
        {
            "id": i,
            # New strings each time and more of them than the writer remembers.
            **{f"key {i % 7} {j * i % 1999}": [j, {"nested": j, f"ß{j}": "grün"}] for j in range(10)},
            "none": None,
            "yes": i % 2 == 0,
            "half": i / 2,
        }
        for i in range(300)
    ]
    dated = [{"at": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), "d": Decimal(i)} for i in range(20)]
    expected = [json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() for row in rows]
    expected_dated = [f'{{"at":"2026-01-01T00:00:00+00:00","d":"{i}"}}'.encode() for i in range(20)]
    serializer = Json()
    shared(lambda rows: list(serializer.encode_batch(rows)), (rows, expected), (dated, expected_dated))
    shared(lambda rows: [serializer.encode(row) for row in rows], (rows, expected), (dated, expected_dated), seconds=0.3)


def test_new_keys_share_json():
    """Keys that live for one call only: what is remembered of one may not be taken for another at its address."""
    serializer = Json()

    def work(i: int) -> None:
        names = [f"{threading.get_native_id()}-{i}-{j}" for j in range(40)]
        rows = [dict.fromkeys(names, 1), dict.fromkeys(reversed(names), 2)]
        assert [json.loads(text) for text in serializer.encode_batch(rows)] == rows

    together(*[work] * THREADS)


def test_json_columns_share_a_serializer():
    serializer = Json()
    cases = []
    for table, rows in column_cases(1500):
        plain = {**table, "at": table["at"].astype("i8")}
        cases.append((plain, [json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows]))
    # Numpy's bytes are none for JSON.
    cases = [cases[i] for i in (1, 4, 5, 6)]
    shared(lambda table: [text.decode() for text in serializer.encode_batch(table)], *cases)


def test_struct_rows_and_columns_share_a_serializer():
    layout = np.dtype([("a", ">i8"), ("f", "<f4"), ("s", "S6"), ("v", "<i2", 3)])
    rows = [{"a": i * 3, "f": i / 2, "s": f"s{i % 99}", "v": [i % 100, -1, i % 7]} for i in range(400)]
    expected = [
        struct.pack(">q", row["a"]) + struct.pack("<f6s3h", row["f"], row["s"].encode(), *row["v"]) for row in rows
    ]
    table = {name: [row[name] for row in rows] for name in layout.names}
    native = {
        "a": np.array(table["a"]),
        "f": np.array(table["f"]),
        "s": pa.array(table["s"]),
        "v": np.array(table["v"], "i2"),
    }
    serializer = Struct(layout)
    tuples = [tuple(row.values()) for row in rows]
    shared(lambda values: list(serializer.encode_batch(values)), *((v, expected) for v in (rows, table, native, tuples)))
    shared(lambda values: [serializer.encode(row) for row in values], (rows, expected), (tuples, expected), seconds=0.3)


def test_bytes_share_a_serializer():
    serializer = Bytes()

    def work(i: int) -> None:
        # Text that has no UTF-8 yet: all threads would make it at once.
        latest[0] = [f"größe {i} {j}" for j in range(200)]
        texts = latest[0]
        expected = [text.encode() for text in list(texts)] if i % 3 == 0 else None
        encoded = serializer.encode_batch(texts)
        assert list(encoded) == (expected or [text.encode() for text in texts])
        assert list(serializer.encode_batch(np.array(texts))) == list(encoded)
        assert [serializer.encode(text) for text in texts] == list(encoded)

    latest: list[list[str]] = [[]]
    together(*[work] * THREADS)


def sources() -> list[tuple[str, Any]]:
    n = 6000
    words = [f"wort{i % 1013}ü" for i in range(n)]
    numbers = np.arange(n)
    table = {"a": numbers, "s": pa.array(words)}
    return [
        ("avro", Avro(record("T", a="long", s="string")).bind(table)),
        ("json", Json().bind(table)),
        ("struct", Struct(np.dtype([("a", "<i8"), ("s", "S10")])).bind(table)),
        ("text", Bytes().bind(np.array(words))),
        ("spans", Bytes().bind(pa.array(words))),
        ("rows", Avro("string").bind(words)),
    ]


@pytest.mark.parametrize(("name", "source"), sources(), ids=[name for name, _ in sources()])
def test_threads_share_a_source(name, source):
    """Slices of one source at once, and batches that live on while other threads encode: no memory is written twice."""
    expected = list(source.slice(0, len(source)))
    kept: list[tuple[int, Any]] = []

    def work(i: int) -> None:
        start = (i * 997 + threading.get_native_id() * 31) % 5000
        batch = source.slice(start, start + 1000)
        assert list(batch) == expected[start : start + 1000]
        # Looked at, and dropped, by another thread.
        kept.append((start, batch))
        if len(kept) > 20:
            start, batch = kept.pop(0)
            assert list(batch) == expected[start : start + 1000]

    together(*[work] * THREADS)


def test_timestamps_of_many_zones():
    """The offset that was last found belongs to one zone, whoever asks."""
    cases = []
    for zone in [*ZONES, *(datetime.timezone(datetime.timedelta(hours=hours)) for hours in range(-12, 13))]:
        times = [datetime.datetime(2026, 5, 1 + i % 28, i % 24, tzinfo=zone) for i in range(100)]
        cases.append((times, [round(moment.timestamp() * 1000) for moment in times]))
    mixed = [moment for times, _ in cases for moment in times[:4]]
    cases.append((mixed, [round(moment.timestamp() * 1000) for moment in mixed]))
    shared(lambda times: pack_timestamps(times).tolist(), *cases)
    shared(lambda times: [ns // 1_000_000 for ns in nanosecond_column(times, len(times)).tolist()], *cases, seconds=0.3)

    def work(i: int) -> None:
        hours = (i + threading.get_native_id()) % 24 - 12
        # A zone that lives as long as its datetime: another may get its address.
        moment = datetime.datetime(2026, 5, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=hours)))
        assert pack_timestamps([moment])[0] == round(moment.timestamp() * 1000)

    together(*[work] * THREADS)


def test_warm_up_gives_all_threads_the_same():
    class Slow:
        asked = 0

        def resolve(self, text: str, **_: Any) -> tuple[int, str]:
            Slow.asked += 1
            time.sleep(0.05)
            return 7, text

    serializer = Avro("string", registry=Slow())
    found: list[Avro] = []
    together(*[lambda _: found.append(serializer.warm_up("topic"))] * THREADS, seconds=0)
    assert Slow.asked >= 1
    assert len({id(warm) for warm in found}) == 1
    assert found[0].encode("a") == b"\0\0\0\0\x07\x02a"


# Values that other threads change while they are encoded


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
    schema = record("F", n="long", s="string", listed={"type": "array", "items": "long"},
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
    kinds = [record("A", n="long", s="string"), {"type": "map", "values": "long"}, "double"]
    schema = record("U", either=[*kinds, {"type": "array", "items": ["long", "string", "A"]}])
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
    avro, text = Avro(record("L", x="long")), Json()
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


def test_a_refusal_names_its_own_row():
    """Errors are of the thread that made the mistake."""
    serializer = Avro(record("E", a="long", b=["null", INNER]))

    def work(i: int) -> None:
        bad = i % 17
        rows: list[Any] = [{"a": 1, "b": None} for _ in range(20)]
        rows[bad] = {"a": 1, "b": {"x": f"{i}", "word": None}}
        with pytest.raises(SerializationError) as caught:
            serializer.encode_batch(rows)
        assert (caught.value.index, caught.value.field) == (bad, "b.x")
        assert f"'{i}'" in str(caught.value)
        with pytest.raises(TimestampError) as late:
            pack_timestamps([1_700_000_000_000] * bad + [-i - 1])
        assert late.value.index == bad

    together(*[work] * THREADS, seconds=0.5)
