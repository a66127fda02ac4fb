"""One serializer, many threads at once, with the GIL and without: every result is what one thread alone gets."""

from __future__ import annotations

import dataclasses
import datetime
import json
import struct
import threading
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pydantic
import pytest

from tests.encoding.threads import INNER, SECONDS, THREADS, ZONES, together
from tests.support.avro import record_of, written
from twolane import TimestampError, pack_timestamps
from twolane.encoding.time.timestamps import nanosecond_column
from twolane.errors import SerializationError
from twolane.serializers import Avro, Bytes, Json, Struct

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("eager")


def shared(encode: Callable[[Any], list[Any]], *cases: tuple[Any, list[Any]], seconds: float = SECONDS) -> None:
    """Let threads encode the same cases with one function, each beginning with another; compare with the expected."""

    def work(i: int) -> None:
        values, expected = cases[(i + threading.get_native_id()) % len(cases)]
        assert encode(values) == expected

    together(*[work] * THREADS, seconds=seconds)


ROW = record_of(
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
    expected = written(ROW, AVRO_ROWS)
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
    serializer = Avro(record_of("P", x="long", y="long"))

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


COLUMNS = record_of(
    "C", a="long", s="string", at={"type": "long", "logicalType": "timestamp-micros"}, o=["null", "double"]
)


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
        expected = [head + row for row in written(COLUMNS, rows)]
        cases.append((table, b"".join(expected)))

    def encode(table: Any) -> bytes:
        source = serializer.bind(table)
        batches = [source.slice(0, 1000), source.slice(1000, 3000)]
        return b"".join(record for batch in batches for record in batch)

    shared(encode, *cases, seconds=3.0)


def test_columns_that_are_looked_through_share_a_plan():
    """Another thread replaces the plan that a call follows while that looks, without the GIL, whether all is UTF-8."""
    schema = record_of("L", s="string")
    serializer = Avro(schema)
    encoded = [f"größe{i % 97}".encode() for i in range(20_000)]
    expected = written(schema, [{"s": one.decode()} for one in encoded[-100:]])
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
    shared(
        lambda rows: [serializer.encode(row) for row in rows], (rows, expected), (dated, expected_dated), seconds=0.3
    )


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
    shared(
        lambda values: list(serializer.encode_batch(values)), *((v, expected) for v in (rows, table, native, tuples))
    )
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
        ("avro", Avro(record_of("T", a="long", s="string")).bind(table)),
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
    """The offset that was last found belongs to one zone, whichever thread asks."""
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


def test_a_refusal_names_its_own_row():
    """Errors are of the thread that made the mistake."""
    serializer = Avro(record_of("E", a="long", b=["null", INNER]))

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
