"""Protobuf from columns: the bytes that google.protobuf writes of messages filled by hand; errors with their place."""

from __future__ import annotations

import random
from itertools import count
from typing import Any

import pyarrow as pa
import pytest

from tests.encoding.protobuf.generated import Columns, Schema, agrees, as_object, has_times
from tests.encoding.tally import WANTED, Tally
from tests.support.proto_files import proto_class, proto_file
from twolane.encoding.columns.table import as_table
from twolane.encoding.protobuf.columns import ProtobufColumns
from twolane.encoding.protobuf.schema import message_type
from twolane.errors import SerializationError
from twolane.serializers import Protobuf

ROWS = 30


def natively(name: str, value: Any) -> bytes:
    raise AssertionError(f"{name} has no native operation: {value!r}")


def arrow_table(rng: random.Random, columns: Columns, rows: list[dict[str, Any]]) -> pa.Table:
    """The rows as Arrow has them: with offsets, and in chunks that differ from column to column."""
    made = {}
    for name in columns.fields:
        type_ = columns.arrow.field(name).type
        values = [row[name] for row in rows]
        cut = rng.randrange(len(rows))
        parts = [values] if rng.random() < 0.6 else [values[:cut], values[cut:]]
        before = [rng.choice(values) for _ in range(rng.randrange(4))]
        chunks = [pa.array([*before, *part, *before], type_).slice(len(before), len(part)) for part in parts]
        made[name] = pa.chunked_array(chunks, type_)
    return pa.table(made)


def drawn(seed: int) -> tuple[random.Random, Any, Columns]:
    """A message type and columns for it, which may be none."""
    rng = random.Random(seed)
    kind = Schema(rng).kind
    return rng, kind, Columns(rng, kind.DESCRIPTOR)


def bound(
    rng: random.Random, kind: Any, columns: Columns, prefix: bytes
) -> tuple[list[dict[str, Any]], ProtobufColumns]:
    """Rows of these columns, and their source."""
    rows = [columns.draw() for _ in range(ROWS)]
    table = as_table(arrow_table(rng, columns, rows))
    return rows, ProtobufColumns(message_type(kind.DESCRIPTOR), natively, table, prefix)


def test_generated_schemas_and_values_are_written_as_google_does(tally: Tally) -> None:
    for seed in count():
        if tally.values >= WANTED:
            return
        rng, kind, columns = drawn(seed)
        if not columns.fields:
            continue
        rows, source = bound(rng, kind, columns, b"\0p")
        start = rng.randrange(ROWS)
        got = [*source.slice(0, start), *source.slice(start, ROWS)]
        for i, (row, record) in enumerate(zip(rows, got, strict=True)):
            assert record[:2] == b"\0p"
            assert agrees(kind, columns, row, record[2:]), (seed, i, row)
        tally.add(ROWS)


def test_java_reads_the_same(java: Any) -> None:
    """What google's Java library reads, without a field it does not know, it writes as what Python's reads."""
    written = 0
    for seed in range(60):
        rng, kind, columns = drawn(seed)
        if not columns.fields:
            continue
        _, source = bound(rng, kind, columns, b"")
        records = list(source.slice(0, ROWS))
        for record, again in zip(records, java.protobuf(kind.DESCRIPTOR, records), strict=True):
            ours, javas = kind.FromString(record), kind.FromString(again)
            assert ours.SerializeToString(deterministic=True) == javas.SerializeToString(deterministic=True), seed
            written += 1
    assert written > 1_000
    with pytest.raises(AssertionError, match=r"unknown fields: \[7000\]"):
        java.protobuf(kind.DESCRIPTOR, [b"\xc0\xb5\x03\x01"])


def test_lists_and_dicts_of_plain_objects_are_columns_too(tally: Tally) -> None:
    for seed in count():
        if tally.values >= WANTED:
            return
        rng, kind, columns = drawn(seed)
        for name in [name for name, shape in columns.fields.items() if has_times(shape)]:
            del columns.fields[name]
        if not columns.fields or any(
            one.is_required and one.name not in columns.fields for one in kind.DESCRIPTOR.fields
        ):
            continue
        rows = [columns.draw() for _ in range(ROWS)]
        table = {name: [as_object(shape, row[name]) for row in rows] for name, shape in columns.fields.items()}
        source = ProtobufColumns(message_type(kind.DESCRIPTOR), natively, as_table(table))
        dicts = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
        for i in rng.sample(range(ROWS), rng.randrange(3)):
            dicts[i] = {name: value for name, value in dicts[i].items() if value is not None}
        records = zip(source.slice(0, ROWS), Protobuf(kind).encode_batch(dicts), strict=True)
        for i, (row, (record, of_dict)) in enumerate(zip(rows, records, strict=True)):
            assert record == of_dict, (seed, i, row)
            assert agrees(kind, columns, row, record), (seed, i, row)
        tally.add(ROWS)


def test_a_map_is_written_in_the_order_of_its_keys() -> None:
    for kind, keys in {
        "string": ["", "B", "a", "a\0", "aa", "b", "é", "\U0001f600"],
        "int64": [-(2**63), -1, 0, 1, 127, 128, 2**63 - 1],
        "uint64": [0, 1, 2**63, 2**64 - 1],
        "sfixed32": [-(2**31), -1, 0, 5],
        "bool": [False, True],
    }.items():
        file = proto_file("map.proto", {"M": {"m": f"map<{kind}, int32>", "f": "int32"}})
        message = proto_class("n.M", file)
        shuffled = [[(key, 1) for key in random.Random(seed).sample(keys, len(keys))] for seed in range(20)]
        column = pa.array(
            [*shuffled, None], pa.map_(pa.array(keys).type if kind != "uint64" else pa.uint64(), pa.int32())
        )
        table = as_table({"m": column, "f": range(21)})
        for record in ProtobufColumns(message_type(message.DESCRIPTOR), natively, table).slice(0, 20):
            single = b"".join(message(m={key: 1}).SerializeToString() for key in keys)
            assert record.startswith(single)
            assert len(message.FromString(record).m) == len(keys)


def test_groups_are_written_between_their_tags() -> None:
    file = proto_file("old.proto", {"Old": {"G": {"a": "int32", "s": "string"}, "last": "int32"}}, syntax="proto2")
    for number, label in ((1, 1), (300, 3)):
        name = "g" if label == 1 else "gs"
        added = file.message_type[0].field.add(name=name, number=number, label=label)
        added.type, added.type_name = added.TYPE_GROUP, ".n.Old.G"
    file.message_type[0].field[0].number = 2
    old = proto_class("n.Old", file)
    rows = [
        {"g": {"a": 1, "s": "x" * 200}, "gs": [{"a": 2}, {}], "last": 0},
        {"gs": []},
        {"g": {}, "last": 5},
    ]
    inner = pa.struct([("a", pa.int32()), ("s", pa.string())])
    schema = pa.schema([("g", inner), ("gs", pa.list_(inner)), ("last", pa.int32())])
    table = as_table(pa.Table.from_pylist(rows, schema))
    got = ProtobufColumns(message_type(old.DESCRIPTOR), natively, table).slice(0, 3)
    assert list(got) == [old(**row).SerializeToString() for row in rows]


def test_two_fields_of_a_oneof_in_rows_of_different_chunks() -> None:
    file = proto_file("one.proto", {"M": {"oneof kind": {"a": "int32", "b": "string", "c": "repeated int32"}}})
    file.message_type[0].field[2].ClearField("oneof_index")
    message = message_type(proto_class("n.M", file).DESCRIPTOR)
    a = pa.chunked_array([[None, 0], [None, None, 1]])
    for wrong, b in ((None, ["", None, "x", None, None]), (1, [None, ""]), (4, [None, None, None, None, "x"])):
        b = pa.chunked_array([b[:3], [*b[3:], *[None] * (5 - len(b))]], pa.string())
        for given in (b, b.to_pylist()):
            table = as_table({"a": a, "b": given})
            if wrong is None:
                records = list(ProtobufColumns(message, natively, table).slice(1, 5))
                assert records == [b"\x08\0", b"\x12\x01x", b"", b"\x08\x01"]
                continue
            with pytest.raises(SerializationError, match="oneof 'kind', not both 'a' and 'b'") as caught:
                ProtobufColumns(message, natively, table)
            assert caught.value.index == wrong


class Older:
    """A descriptor with what releases before 6.31 say of it: a label, and no word of packed items or closed enums."""

    def __init__(self, descriptor: Any) -> None:
        self._descriptor = descriptor

    def __getattr__(self, name: str) -> Any:
        if name in ("is_repeated", "is_required", "is_packed", "is_closed"):
            raise AttributeError(name)
        if name == "label":
            return 3 if self._descriptor.is_repeated else 2 if self._descriptor.is_required else 1
        value = getattr(self._descriptor, name)
        if name == "fields":
            return [Older(one) for one in value]
        return Older(value) if name in ("message_type", "enum_type") and value is not None else value


def told(message: Any, seen: set[str]) -> list[Any]:
    """What is known of a message, and of those below it, as plain values."""
    if message is None or message.name in seen:
        return []
    seen.add(message.name)
    own = [
        (
            one.name,
            one.number,
            one.kind,
            one.repeated,
            one.packed,
            one.presence,
            one.required,
            one.enum and one.enum.closed,
        )
        for one in message.fields
    ]
    return [message.name, own, message.oneofs, *[told(one.message, seen) for one in message.fields]]


def test_older_releases_of_google_protobuf_describe_the_same() -> None:
    for seed in range(100):
        descriptor = Schema(random.Random(seed)).kind.DESCRIPTOR
        assert told(message_type(Older(descriptor)), set()) == told(message_type(descriptor), set()), seed
