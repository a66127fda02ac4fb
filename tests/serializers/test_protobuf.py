"""`Protobuf` with rows: the bytes are those of google.protobuf, errors name row, field and value."""

from __future__ import annotations

import dataclasses
import enum
import math
import pickle
import subprocess
import sys
from collections import namedtuple
from datetime import UTC, date, datetime, timedelta, timezone
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("google.protobuf", reason="protobuf is not installed")
from google.protobuf import descriptor_pb2, duration_pb2, json_format, struct_pb2, timestamp_pb2, wrappers_pb2
from google.protobuf.message_factory import GetMessageClass

from tests.support.proto_files import SCALARS, proto_class, proto_file, proto_set
from twolane import Protobuf, SerializationError

COLORS = {"NONE": 0, "RED": 1, "CRIMSON": 1, "BLUE": 2}
PLACE = proto_file("place.proto", {"Place": {"city": "string", "at": "repeated double"}}, package="n.geo")
KNOWN = ("google/protobuf/timestamp.proto", "google/protobuf/duration.proto", "google/protobuf/wrappers.proto")
RECORD = {
    **{f"f_{kind}": kind for kind in SCALARS},
    **{f"r_{kind}": f"repeated {kind}" for kind in SCALARS},
    "maybe": "optional int32",
    "color": "enum .n.Color",
    "colors": "repeated enum .n.Color",
    "oneof choice": {"left": "string", "right": ".n.geo.Place"},
    "Inner": {"id": "int64", "below": ".n.Record.Inner"},
    "inner": ".n.Record.Inner",
    "inners": "repeated .n.Record.Inner",
    "counts": "map<string, int32>",
    "places": "map<int64, .n.geo.Place>",
    "at": ".google.protobuf.Timestamp",
    "took": ".google.protobuf.Duration",
    "whole": ".google.protobuf.Int64Value",
    "text": ".google.protobuf.StringValue",
}
IMPORTS = ["place.proto", *KNOWN]
FILE = proto_file("record.proto", {"Record": RECORD}, imports=IMPORTS, enums={"Color": COLORS})
GOOGLES = [
    descriptor_pb2.FileDescriptorProto.FromString(one.DESCRIPTOR.serialized_pb)
    for one in (timestamp_pb2, duration_pb2, wrappers_pb2)
]
Record = proto_class("n.Record", *GOOGLES, PLACE, FILE)
RECORDS = Protobuf(Record)

INTEGERS = {
    kind: st.integers(*bounds)
    for bits in (32, 64)
    for kinds, bounds in (
        (("int", "sint", "sfixed"), (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)),
        (("uint", "fixed"), (0, 2**bits - 1)),
    )
    for kind in (f"{one}{bits}" for one in kinds)
}
VALUES = {
    **INTEGERS,
    "bool": st.booleans(),
    "string": st.text(max_size=5),
    "bytes": st.binary(max_size=5),
    "double": st.floats(allow_nan=False) | st.just(math.nan),
    "float": st.floats(width=32, allow_nan=False) | st.just(math.nan),
}
PLACES = st.fixed_dictionaries({}, optional={"city": VALUES["string"], "at": st.lists(VALUES["double"], max_size=3)})
INNERS = st.recursive(
    st.fixed_dictionaries({}, optional={"id": VALUES["int64"]}),
    lambda below: st.fixed_dictionaries({"below": below}, optional={"id": VALUES["int64"]}),
    max_leaves=3,
)
FIELDS = {
    **{f"f_{kind}": VALUES[kind] for kind in SCALARS},
    **{f"r_{kind}": st.lists(VALUES[kind], max_size=3) for kind in SCALARS},
    "maybe": VALUES["int32"],
    "color": st.sampled_from([*COLORS, *COLORS.values(), 17]),
    "colors": st.lists(st.sampled_from(list(COLORS)), max_size=3),
    "inner": INNERS,
    "inners": st.lists(INNERS, max_size=2),
    "counts": st.dictionaries(VALUES["string"], VALUES["int32"], max_size=3),
    "places": st.dictionaries(VALUES["int64"], PLACES, max_size=2),
}
ROWS = st.tuples(
    st.fixed_dictionaries({}, optional=FIELDS),
    st.one_of(st.just({}), st.fixed_dictionaries({"left": VALUES["string"]}), st.fixed_dictionaries({"right": PLACES})),
).map(lambda parts: {**parts[0], **parts[1]})


def same(one: bytes, message) -> bool:
    """Whether bytes are a message, whatever the order of its maps: NaN is not equal to itself."""
    read = type(message).FromString(one)
    return read.SerializeToString(deterministic=True) == message.SerializeToString(deterministic=True)


@settings(max_examples=300, deadline=None)
@given(row=ROWS)
def test_a_dict_is_what_googles_constructor_makes_of_it(row):
    message = Record(**row)
    made = RECORDS.encode(row)
    assert same(made, message)
    assert len(made) == message.ByteSize()
    names = SimpleNamespace(**{**dict.fromkeys(RECORDS.descriptor.fields_by_name), **row})
    assert same(RECORDS.encode(names), message)
    assert RECORDS.encode(message) == message.SerializeToString()


def test_messages_are_what_google_writes():
    rows = [Record(f_int32=i % 300, f_string="ä" * (i % 9), counts={"a": i}) for i in range(20_000)]
    written = [row.SerializeToString() for row in rows]
    assert list(RECORDS.encode_batch(rows)) == written
    source = RECORDS.bind([*rows[:3], None, *rows[3:]])
    assert list(source.slice(1, 10_000)) == [*written[1:3], None, *written[3:9_999]]
    framed = Protobuf(Record, schema_id=258)
    assert list(framed.encode_batch(iter(rows))) == [b"\0\0\0\1\2\0" + one for one in written]


def test_many_are_kept_in_bounded_memory_and_large_ones_are_found():
    rows = [Record(f_bytes=bytes(2**20))] * 40 + [Record(f_bytes=bytes(3 * 2**20))]
    source = RECORDS.bind(rows)
    assert source.first_over(2 * 2**20) == (40, rows[40].ByteSize())
    assert source.slice(39, 41)[1] == rows[40].SerializeToString()


Row = namedtuple("Row", ["maybe", "inner"])


@dataclasses.dataclass
class Inner:
    id: int = 0
    below: Inner | None = None


@dataclasses.dataclass
class Data:
    maybe: int | None = None
    inner: Inner | None = None
    r_string: tuple[str, ...] = ()


class Color(enum.Enum):
    RED = "something else"
    blue = "BLUE"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (Row(3, {"id": 4}), {"maybe": 3, "inner": {"id": 4}}),
        (Data(3, Inner(4, Inner(5)), ("a",)), {"maybe": 3, "inner": {"id": 4, "below": {"id": 5}}, "r_string": ["a"]}),
        (Data(), {}),
        ({"maybe": None, "f_string": math.nan, "at": pd.NaT, "whole": pd.NA}, {}),
        ({"maybe": 0, "inner": {}, "whole": 0}, {"maybe": 0, "inner": {}, "whole": {"value": 0}}),
        ({"inner": GetMessageClass(Record.DESCRIPTOR.nested_types_by_name["Inner"])(id=7)}, {"inner": {"id": 7}}),
        ({"color": Color.RED}, {"color": 1}),
        ({"colors": [Color.blue, "CRIMSON", 0]}, {"colors": [2, 1, 0]}),
        ({"r_int32": np.arange(3), "r_string": np.array(["a", "b"])}, {"r_int32": [0, 1, 2], "r_string": ["a", "b"]}),
        ({"r_float": np.array([0.1], "f4"), "f_bytes": bytearray(b"a")}, {"r_float": [0.1], "f_bytes": b"a"}),
        ({"f_int32": np.int64(7), "f_bool": np.True_, "f_double": 1}, {"f_int32": 7, "f_bool": True, "f_double": 1.0}),
        ({"text": "ä", "whole": np.uint8(3)}, {"text": {"value": "ä"}, "whole": {"value": 3}}),
        ({"whole": {"value": 3}}, {"whole": {"value": 3}}),
        ({"at": {"seconds": 3, "nanos": 4}}, {"at": {"seconds": 3, "nanos": 4}}),
        ({"at": timestamp_pb2.Timestamp(seconds=3)}, {"at": {"seconds": 3}}),
    ],
)
def test_what_rows_may_be(row, expected):
    assert same(RECORDS.encode(row), Record(**expected))
    (one,) = RECORDS.encode_batch([row])
    assert same(one, Record(**expected))


ZONE = timezone(timedelta(hours=5, minutes=30))


@pytest.mark.parametrize(
    ("value", "nanos"),
    [
        (datetime(2020, 1, 2, 3, 4, 5, 678_901, tzinfo=ZONE), 1_577_914_445_678_901_000),
        (datetime(1, 1, 1, tzinfo=UTC), -62_135_596_800 * 10**9),
        (datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), 253_402_300_799_999_999_000),
        (pd.Timestamp("1969-12-31T23:59:59.999999999", tz="UTC"), -1),
        (np.datetime64("1969-12-31T23:59:59.999999999"), -1),
        (np.datetime64("2020-01"), 1_577_836_800 * 10**9),
        (np.datetime64(-1, "ps"), -1),
        (date(2020, 1, 1), 1_577_836_800 * 10**9),
    ],
)
def test_timestamps(value, nanos):
    read = Record.FromString(RECORDS.encode({"at": value})).at
    assert (read.seconds, read.nanos) == divmod(nanos, 10**9)
    if isinstance(value, datetime) and not isinstance(value, pd.Timestamp):
        assert read.ToDatetime(UTC) == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (timedelta(days=-1, microseconds=1), (-86_399, -999_999_000)),
        (timedelta(seconds=1, microseconds=5), (1, 5_000)),
        (pd.Timedelta(-1, "ns"), (0, -1)),
        (np.timedelta64(-1500, "ms"), (-1, -500_000_000)),
        (np.timedelta64(2, "D"), (172_800, 0)),
    ],
)
def test_durations(value, expected):
    read = Record.FromString(RECORDS.encode({"took": value})).took
    assert (read.seconds, read.nanos) == expected
    if isinstance(value, timedelta) and not isinstance(value, pd.Timedelta):
        assert read.ToTimedelta() == value


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=3), below, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(value=st.dictionaries(st.text(max_size=3), JSON, max_size=3))
def test_json_values_are_as_json_format_reads_them(value):
    made = Protobuf(struct_pb2.Struct).encode(value)
    assert struct_pb2.Struct.FromString(made) == json_format.ParseDict(value, struct_pb2.Struct())


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"f_int33": 1}, r"field 'f_int33'.*a field of n\.Record; did you mean 'f_int32'"),
        ({"inner": {"below": {"idd": 1}}}, r"field 'inner\.below\.idd'.*did you mean 'id'"),
        (Data(inner=SimpleNamespace(id=1, other=2)), r"field 'inner\.other'\).*a field of n\.Record\.Inner, got 2"),
        ({"inner": SimpleNamespace(other=2)}, "any of its fields"),
        ({1: 2}, "field '1'"),
        ({"f_int32": 2**31}, "int32, from -2147483648 to 2147483647, got 2147483648"),
        ({"f_fixed64": -1}, "fixed64, from 0 to"),
        ({"f_int64": True}, "int64, got True"),
        ({"f_int64": 1.0}, r"int64, got 1\.0"),
        ({"f_int64": "1"}, "int64, got '1'"),
        ({"f_int64": np.timedelta64(1, "s")}, "int64"),
        ({"f_bool": 1}, "bool, got 1"),
        ({"f_float": 3.5e38}, "single precision"),
        ({"f_double": 10**400}, "double"),
        ({"f_double": "1"}, "double, got '1'"),
        ({"f_string": b"a"}, "string, got b'a'"),
        ({"f_string": "\ud800"}, "lone surrogate"),
        ({"f_bytes": "a"}, "bytes, got 'a'"),
        ({"color": "GREEN"}, r"n\.Color, one of NONE, RED, CRIMSON, BLUE, got"),
        ({"color": "BLEU"}, "did you mean 'BLUE'"),
        ({"color": 2**31}, "int32"),
        ({"r_int32": 1}, "repeated int32, got 1"),
        ({"r_int32": [0, None]}, r"field 'r_int32\[1\]'.*int32"),
        ({"r_string": "abc"}, "repeated string, got 'abc'"),
        ({"inners": [{}, None]}, r"field 'inners\[1\]'.*no null"),
        ({"counts": [("a", 1)]}, "map<string, int32>"),
        ({"counts": {"a": None}}, r"field \"counts\['a'\]\".*no null"),
        ({"counts": {1: 1}}, r"counts\[1\].*string, got 1"),
        ({"places": {1: {"citty": ""}}}, r"places\[1\]\.citty.*did you mean 'city'"),
        ({"left": "a", "right": {}}, "one field of the oneof 'choice', not both 'left' and 'right'"),
        ({"at": datetime(2020, 1, 1)}, "datetime with a time zone"),  # noqa: DTZ001
        ({"at": 5}, "google.protobuf.Timestamp"),
        ({"at": np.datetime64("10000-01-01")}, "years 1 to 9999"),
        ({"took": np.timedelta64(1, "M")}, "google.protobuf.Duration"),
        ({"took": timedelta(days=4_000_000)}, "10 000 years"),
        ({"inner": Record()}, r"n\.Record\.Inner, not a message of n\.Record"),
        ((1, 2), "fields have names"),
        (5, "fields have names, got 5"),
        (math.nan, "fields have names"),
    ],
)
def test_what_does_not_fit_is_refused(row, said):
    with pytest.raises(SerializationError, match=said):
        RECORDS.encode(row)
    with pytest.raises(SerializationError, match=f"record 1.*{said}"):
        RECORDS.encode_batch([{}, row])
    made = RECORDS.encode_batch([{"maybe": 1}, row, Record(maybe=2)], on_bad_row="skip")
    assert list(made) == [Record(maybe=number).SerializeToString() for number in (1, 2)]
    assert made.rows.tolist() == [0, 2]


def test_unknown_fields_may_be_let_be():
    lax = Protobuf(Record, strict=False)
    assert lax.encode({"maybe": 1, "more": 2, "inner": {"x": 1}}) == Record(maybe=1, inner={}).SerializeToString()


def test_a_required_field_is_asked_for():
    fields = {"x": "required int32", "Sub": {"y": "required int32"}, "sub": ".n.Old.Sub", "color": "enum .n.Color"}
    file = proto_file("old.proto", {"Old": fields}, syntax="proto2", enums={"Color": COLORS})
    kind = proto_class("n.Old", file)
    old = Protobuf(kind)
    assert old.encode({"x": 1}) == kind(x=1).SerializeToString()
    for row, path in (({}, "x"), (kind(), "x"), ({"x": 1, "sub": {}}, r"sub\.y")):
        with pytest.raises(SerializationError, match=rf"record 1, field '{path}'.*required"):
            old.encode_batch([kind(x=1), row])
    with pytest.raises(SerializationError, match="one of NONE"):
        old.encode({"x": 1, "color": 17})


def test_a_wrong_class_is_refused_and_the_same_definition_is_not():
    other = proto_class("n.Record", *GOOGLES, PLACE, FILE)
    assert other is not Record
    row = other(maybe=3, places={1: {"city": "a"}})
    assert list(RECORDS.encode_batch([row])) == [row.SerializeToString()]
    changed = proto_file(
        "record.proto", {"Record": {**RECORD, "text": "string"}}, imports=IMPORTS, enums={"Color": COLORS}
    )
    wrong = proto_class("n.Record", *GOOGLES, PLACE, changed)
    # Not its _concrete_class, which raises SystemError once the garbage collector has taken the class.
    inner = GetMessageClass(other.DESCRIPTOR.fields_by_name["inner"].message_type)
    for message in (wrong(), inner()):
        with pytest.raises(SerializationError, match=r"record 1\): expected n\.Record"):
            RECORDS.encode_batch([row, message])


def test_a_compiled_descriptor_set(tmp_path):
    compiled = proto_set(*GOOGLES, PLACE, FILE)
    (tmp_path / "file.desc").write_bytes(compiled)
    without_googles = proto_set(FILE, PLACE)  # in any order
    row = {"maybe": 1, "at": datetime(2020, 1, 1, tzinfo=UTC), "right": {"city": "x"}}
    for schema in (
        compiled,
        tmp_path / "file.desc",
        without_googles,
        descriptor_pb2.FileDescriptorSet.FromString(compiled),
    ):
        for name in (None, "n.Record", "Record") if schema is not without_googles else ("Record",):
            made = Protobuf(schema, message=name)
            assert made.encode(row) == RECORDS.encode(row)
            assert made.encode(Record(maybe=1)) == Record(maybe=1).SerializeToString()
    assert Protobuf(compiled, message="Inner").descriptor.full_name == "n.Record.Inner"
    assert Protobuf(compiled, message="n.geo.Place", schema_id=1).encode({"city": "a"})[5:] == b"\0\n\1a"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((proto_set(PLACE, FILE), None, None, "Rekord"), r"did you mean '.*Record'"),
        ((proto_set(*GOOGLES),), "message: expected one of google.protobuf.BoolValue, .* and 1 more"),
        ((proto_set(FILE),), "record.proto imports place.proto, which is not given: compile with --include_imports"),
        ((proto_set(proto_file("a.proto", {"A": {"x": ".n.Missing"}})),), "valid file descriptor, a.proto"),
        ((proto_set(proto_file("a.proto", {}, imports=["a.proto"])),), "imports itself"),
        ((b"\xff\xff",), "bytes of a FileDescriptorSet"),
        ((b"",), "compiled descriptor set"),
        (("record.proto",), "compiled descriptor set.*got 'record.proto'"),
        ((Record(),), "class, got a message of n.Record"),
        ((dict,), "generated message class"),
        ((Record, None, None, "Other"), "message: expected n.Record, which is given"),
        ((), "only a registry tells it"),
        ((Record, None, -1), "schema_id"),
        ((Record, None, 7, None, [-1]), "message_indexes"),
        ((Record, None, 7, 5), "message: expected a name"),
    ],
)
def test_what_cannot_be_is_refused(arguments, said):
    schema, registry, schema_id, message, indexes = (*arguments, *[None] * (5 - len(arguments)))
    with pytest.raises((SerializationError, ValueError), match=said):
        Protobuf(schema, registry, schema_id, message=message, message_indexes=indexes)


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(ROWS, min_size=1, max_size=4))
def test_columns_of_objects_are_rows(rows):
    names = {name for row in rows for name in row}
    table = {}
    for name in names:
        table[name] = np.empty(len(rows), dtype=object)
        for i, row in enumerate(rows):
            table[name][i] = row.get(name)
    framed = Protobuf(Record, schema_id=7)
    if names:
        assert list(framed.encode_batch(table)) == list(framed.encode_batch(rows))


def test_columns_of_arrow_are_rows():
    table = pa.table(
        {
            "f_int32": pa.array([1, None, 3], pa.int32()),
            "f_string": ["a", "ä", None],
            "color": ["RED", None, "BLUE"],
            "counts": pa.array([[("b", 1), ("a", 2)], None, []], pa.map_(pa.string(), pa.int32())),
            "inner": [{"id": 1}, None, {"id": None}],
            "r_double": [[0.5, math.nan], [], None],
            "at": pa.array([0, None, -1], pa.timestamp("ns", "UTC")),
        }
    )
    rows = table.select(["f_int32", "f_string", "color", "inner", "r_double"]).to_pylist()
    counts, moments = [{"b": 1, "a": 2}, None, {}], [np.datetime64(0, "ns"), None, np.datetime64(-1, "ns")]
    rows = [{**row, "counts": one, "at": at} for row, one, at in zip(rows, counts, moments, strict=True)]
    assert list(RECORDS.encode_batch(table)) == list(RECORDS.encode_batch(rows))
    assert list(RECORDS.bind(table).slice(1, 3)) == list(RECORDS.encode_batch(rows[1:]))
    bad = table.set_column(0, "f_int32", pa.array([1, 2**31, 3]))
    with pytest.raises(SerializationError, match=r"record 1, field 'f_int32'.*int32.*got 2147483648"):
        RECORDS.bind(bad)
    assert RECORDS.encode_batch(bad, on_bad_row="skip").rows.tolist() == [0, 2]
    with pytest.raises(SerializationError, match=r"field 'f_int33'"):
        RECORDS.bind(table.rename_columns(["f_int33", *table.column_names[1:]]))
    with pytest.raises(SerializationError, match="one column of"):
        RECORDS.bind(pa.array([1, 2]))


def test_pickled_with_its_definition():
    made = pickle.loads(pickle.dumps(Protobuf(Record, schema_id=7, strict=False)))
    assert made.encode({"maybe": 1, "other": 2}) == b"\0\0\0\0\7\0" + Record(maybe=1).SerializeToString()
    assert pickle.loads(pickle.dumps(Protobuf(timestamp_pb2.Timestamp)))._given is timestamp_pb2.Timestamp


def test_without_google_protobuf_it_is_said_and_nothing_else_needs_it():
    code = (
        "import sys; sys.modules['google.protobuf'] = None\n"
        "from twolane import Json, Protobuf\n"
        "Json().encode({})\n"
        "try: Protobuf(b'x')\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "ConfigError" in done.stdout
    assert "pip install twolane[protobuf]" in done.stdout
    assert not subprocess.run(
        [sys.executable, "-c", "import twolane, sys; twolane.Protobuf; sys.exit('google.protobuf' in sys.modules)"],
        timeout=60,
        check=False,
    ).returncode
