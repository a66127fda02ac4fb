"""Avro unions of several branches: rows by name and by type, columns of one type, and Arrow's own unions."""

import io
from collections import namedtuple
from dataclasses import make_dataclass
from datetime import UTC, date, datetime
from uuid import UUID

import duckdb
import fastavro
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.encoding.avro.strategies import Reading, without_logical_types
from tests.encoding.avro.test_columns import FIELDS, in_slices
from tests.encoding.tally import batch, batches_of
from twolane.errors import SerializationError
from twolane.serializers import Avro, Json

LOGICAL = "logicalType"
DATE = {"type": "int", LOGICAL: "date"}
MILLIS = {"type": "long", LOGICAL: "timestamp-millis"}


def record(type_, name="R"):
    return {"type": "record", "name": name, "fields": [{"name": "f", "type": type_}]}


def branches_of(type_, values):
    return [encoded[0] // 2 for encoded in Avro(record(type_)).encode_batch({"f": values})]


def key_of(type_):
    return type_ if isinstance(type_, str) else type_.get("name", type_["type"])


def written(schema, value):
    block = io.BytesIO()
    fastavro.schemaless_writer(block, fastavro.parse_schema(schema), value)
    return block.getvalue()


@st.composite
def one_of_many(draw):
    """A union, the number of the branch that a column is of, its Arrow type and values."""
    picked = draw(st.lists(st.sampled_from(FIELDS), min_size=1, max_size=5, unique_by=lambda made: key_of(made[0])))
    branches = [avro for avro, _, _ in picked]
    _, types, values = draw(st.sampled_from(picked))
    null = draw(st.integers(-1, len(branches)))
    if null >= 0:
        branches.insert(null, "null")
        values = st.none() | values
    return branches, draw(st.sampled_from(types)), draw(batch(values, 40))


@batches_of(8)
@given(one_of_many())
def test_a_column_takes_the_branch_that_its_values_take_as_rows(tally, made):
    union, type_, values = made
    avro, reading = Avro(record(union)), Reading(record(union))
    rows = [{"f": value} for value in values]
    want = list(avro.encode_batch(rows))
    plain = fastavro.parse_schema(without_logical_types(record(union)))
    for row, encoded in zip(rows, want, strict=True):
        assert reading.agrees(row, fastavro.schemaless_reader(io.BytesIO(encoded), plain, None))
    assert list(avro.encode_batch({"f": values})) == want
    assert in_slices(avro.bind({"f": pa.array(values, type_)})) == want
    tally.add(len(values))


def arrow_union(members, values, which, *, sparse, names):
    """Make the Arrow union whose item i is values[i] of member which[i]; the rest are other values of it."""
    ids = pa.array(which, pa.int8())
    if sparse:
        spare = [next((v for v, w in zip(values, which, strict=True) if w == m), None) for m in range(len(members))]
        children = [
            pa.array([v if w == m else spare[m] for v, w in zip(values, which, strict=True)], type_)
            for m, type_ in enumerate(members)
        ]
        return pa.UnionArray.from_sparse(ids, children, names)
    # Backwards: offsets need not rise.
    own = [[v for v, w in zip(values, which, strict=True) if w == m][::-1] for m in range(len(members))]
    left = [len(items) for items in own]
    offsets = []
    for w in which:
        left[w] -= 1
        offsets.append(left[w])
    return pa.UnionArray.from_dense(
        ids, pa.array(offsets, pa.int32()), [pa.array(o, t) for o, t in zip(own, members, strict=True)], names
    )


@st.composite
def arrow_unions(draw):
    """A union with null, an Arrow union, and the rows it means; named by branch, or by nothing that says one."""
    picked = draw(st.lists(st.sampled_from(FIELDS), min_size=1, max_size=4, unique_by=lambda made: key_of(made[0])))
    types = [draw(st.sampled_from(arrow)) for _, arrow, _ in picked]
    which = draw(batch(st.integers(0, len(picked) - 1), 40))
    values = [draw(st.none() | picked[w][2]) for w in which]
    named = draw(st.booleans())
    names = [key_of(avro) if named else f"m{i}" for i, (avro, _, _) in enumerate(picked)]
    array = arrow_union(types, values, which, sparse=draw(st.booleans()), names=names)
    rows = [(names[w], v) if named and v is not None else v for v, w in zip(values, which, strict=True)]
    return ["null", *draw(st.permutations([avro for avro, _, _ in picked]))], array, rows


@batches_of(8)
@given(arrow_unions(), st.data())
def test_arrow_unions(tally, made, data):
    union, array, values = made
    avro = Avro(record(union))
    start = data.draw(st.integers(0, len(values)))
    want = list(avro.encode_batch([{"f": value} for value in values]))[start:]
    # from_buffers and slice() keep an offset; a table cuts its children too.
    assert in_slices(avro.bind({"f": array.slice(start)})) == want
    assert list(avro.encode_batch(pa.table({"f": array}).slice(start))) == want
    source = avro.bind({"f": pa.chunked_array([array.slice(0, start), array.slice(start)])})
    assert in_slices(source)[start:] == want
    biggest = max(map(len, want), default=0)
    assert avro.bind({"f": array.slice(start)}).first_over(biggest) is None
    if values:
        lists = pa.ListArray.from_arrays(pa.array([0, start, len(values)], pa.int32()), array)
        items = Avro(record({"type": "array", "items": union}))
        rows = [{"f": values[:start]}, {"f": values[start:]}]
        assert list(items.encode_batch({"f": lists})) == list(items.encode_batch(rows))
        structs = pa.StructArray.from_arrays([array], ["f"])
        inner = Avro(record(record(union, "S")))
        want = list(inner.encode_batch([{"f": {"f": value}} for value in values]))
        assert list(inner.encode_batch({"f": structs.slice(start)})) == want[start:]
    tally.add(len(values))


def test_three_items_of_a_list_are_no_duration():
    """Found by `make fuzz`. A tuple is one first, a list an array, whatever comes before the other."""
    duration = {"type": "fixed", "name": "D", "size": 12, LOGICAL: "duration"}
    assert branches_of([duration, {"type": "array", "items": "boolean"}], [[True, False, True]]) == [1]
    assert branches_of([duration, {"type": "array", "items": "int"}], [[1, 2, 3], (1, 2, 3)]) == [1, 0]
    assert branches_of([duration, {"type": "array", "items": "string"}], [[1, 2, 3]]) == [0]


def test_a_tuple_of_three_ints_is_a_duration_before_a_record():
    """`make fuzz` met it: the record has a point for each field."""
    duration = {"type": "fixed", "name": "D", "size": 12, LOGICAL: "duration"}
    three = {"type": "record", "name": "Three", "fields": [{"name": name, "type": "double"} for name in "abc"]}
    for union, place in [(["boolean", duration, three], 1), ([three, duration], 1), ([duration, three], 0)]:
        assert branches_of(union, [(1, 2, 3), (0, 0, 0)]) == [place] * 2
    assert branches_of([duration, three], [(1, 2, 3.5), (-1, 2, 3), {"a": 1, "b": 2, "c": 3}]) == [1] * 3
    assert branches_of(
        [duration, three], [namedtuple("Three", "a b c")(1, 2, 3), namedtuple("Other", "a b c")(1, 2, 3)]
    ) == [1, 1]


def test_duckdb_unions_and_schemas_of_unions():
    first = "select union_value(num := 5::bigint)::union(num bigint, str varchar) f"
    query = f"{first} union all select 'x' union all select null"
    union = ["string", "null", "long"]
    assert list(Avro(record(union)).encode_batch(duckdb.sql(query))) == [b"\x04\x0a", b"\x00\x02x", b"\x02"]
    made = Avro.from_arrow(duckdb.sql(query).arrow())
    assert made.schema["fields"][0]["type"] == ["null", "long", "string"]
    assert list(made.encode_batch(duckdb.sql(query))) == [b"\x02\x0a", b"\x04\x02x", b"\x00"]
    assert list(Json().encode_batch(duckdb.sql(query))) == [b'{"f":5}', b'{"f":"x"}', b'{"f":null}']


def test_a_union_of_arrow_for_a_type_that_is_none():
    array = arrow_union([pa.int8(), pa.int64()], [1, 2**40, 3], [0, 1, 0], sparse=False, names=["a", "b"])
    assert list(Avro(record("long")).encode_batch({"f": array})) == [b"\x02", Avro("long").encode(2**40), b"\x06"]
    with pytest.raises(SerializationError, match="expected int") as caught:
        Avro(record("int")).encode_batch({"f": array})
    assert (caught.value.index, caught.value.field) == (1, "f")


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(
    ("union", "bad"), [(["long", "string"], None), (["int", "string"], 2**31), (["null", "string", "boolean"], 5)]
)
def test_an_item_of_a_union_without_a_branch_is_named(union, bad, sparse):
    array = arrow_union([pa.int64(), pa.string()], ["a", "b", bad, "c"], [1, 1, 0, 1], sparse=sparse, names=["n", "s"])
    with pytest.raises(SerializationError, match="expected one of") as caught:
        Avro(record(union)).encode_batch({"f": array})
    assert (caught.value.index, caught.value.field) == (2, "f")
    assert branches_of(union, array[:2]) == [union.index("string")] * 2  # the bad one is not asked for


def test_branches_by_name_as_in_fastavro():
    second = {"type": "record", "name": "n.B", "fields": [{"name": "x", "type": "int"}]}
    first = {**second, "name": "n.A"}
    fixed = {"type": "fixed", "name": "F", "size": 1}
    for union, value in (
        (["null", "string"], ("string", "a")),
        (["string", "null"], ("null", None)),
        (["null", first], ("n.A", {"x": 1})),
        (["null", {"type": "array", "items": "int"}], ("array", [1])),
        ([first, second], ("n.B", {"x": 1})),
        ([first, second], {"-type": "n.B", "x": 1}),
        (["int", "long"], ("long", 5)),
        (["bytes", fixed], ("F", b"a")),
        (["bytes", fixed], ("bytes", b"a")),
    ):
        assert Avro(record(union)).encode({"f": value}) == written(record(union), {"f": value})
    # A name below a record that is chosen by its type.
    inner = [{"name": "x", "type": "int"}, {"name": "u", "type": ["string", "bytes", first]}]
    union = [{"type": "record", "name": "C", "fields": inner}, "string"]
    for value in (("bytes", b"a"), {"-type": "n.A", "x": 1}):
        row = {"f": {"x": 1, "u": value}}
        assert Avro(record(union)).encode(row) == written(record(union), row)
    with pytest.raises(SerializationError, match="expected string") as caught:
        Avro(record(["null", "string"])).encode_batch([{"f": ("string", 5)}])
    assert (caught.value.index, caught.value.field) == (0, "f")


def test_branches_by_type():
    when = datetime(2026, 11, 24, 12, tzinfo=UTC)
    for union in ([DATE, MILLIS], [MILLIS, DATE]):
        day, instant = union.index(DATE), union.index(MILLIS)
        assert branches_of(union, [when, when.date(), np.datetime64("2026-11-24", "D")]) == [instant, day, day]
        assert branches_of(union, [np.datetime64("2026-11-24T12", "h")]) == [instant]
        assert branches_of(union, pa.array([date(2026, 11, 24)])) == [day]
        assert branches_of(union, pa.array([when])) == [instant]
    # A float takes what it holds exactly, so that nothing is lost where a double would keep it.
    for values in ([1.5, 0.1, 1e300, float("nan"), float("-inf")], np.array([1.5, 0.1, 1e300, np.nan, -np.inf])):
        assert branches_of(["float", "double"], values) == [0, 1, 1, 0, 0]
        assert branches_of(["double", "float"], values) == [0] * 5
    assert branches_of(["float", "double"], np.array([0.1], "f4")) == [0]
    assert branches_of(["float", "string", "double"], [10**39]) == [2]
    assert branches_of(["int", "long"], np.array([1, 2**31])) == [0, 1]
    assert branches_of(["long", "int"], np.array([1, 2**31])) == [0, 0]
    # Bytes of a column are bytes where the union has them, and else what text they are.
    fixed = {"type": "fixed", "name": "F", "size": 2}
    enum = {"type": "enum", "name": "E", "symbols": ["ab"]}
    for column in (pa.array([b"ab", b"xyz"]), np.array([b"ab", b"xyz"])):
        assert branches_of(["string", "bytes"], column) == [1, 1]
        assert branches_of(["long", "string"], column) == [1, 1]
        assert branches_of(["string", fixed, "bytes"], column) == [1, 2]
        assert branches_of([enum, "string"], column) == [0, 1]
    # Sixteen bytes are bytes before they are a UUID.
    text = {"type": "string", "logicalType": "uuid"}
    assert branches_of([text, "bytes"], [bytes(16), UUID(int=1), str(UUID(int=1))]) == [1, 0, 0]
    # Of records that look alike, the one that is named as the class is.
    alike = [{"type": "record", "name": name, "fields": [{"name": "x", "type": "int"}]} for name in "ABC"]
    assert branches_of(alike, [make_dataclass(name, ["x"])(1) for name in "ABC"]) == [0, 1, 2]


def look_alikes(levels, bottom):
    """Two records that look alike and may hold each other; a value of so many levels, with one more in the lowest."""
    fields = [{"name": "n", "type": ["null", "A", "B"]}, {"name": "x", "type": "int", "default": 0}]
    second = {"type": "record", "name": "B", "fields": fields}
    first = {"type": "record", "name": "A", "fields": [{"name": "n", "type": ["null", "A", second]}, fields[1]]}
    value = None
    for level in range(levels):  # a choice at each, which looks at all below
        value = {"n": value, "x": 0 if level else bottom}
    return [first, "B"], value


def test_a_deep_value_of_records_that_look_alike():
    union, value = look_alikes(60, 0)
    want = b"\0" + b"\2" * 59 + b"\0" * 61
    assert Avro(record(union)).encode({"f": value}) == want
    with_default = {"name": "f", "type": union, "default": value}
    assert Avro({"type": "record", "name": "R", "fields": [with_default]}).encode({}) == want


def test_a_deep_value_that_no_record_takes():
    """No branch is tried again with what it has refused: that would double the work with each level."""
    union, value = look_alikes(60, "bad")
    with pytest.raises(SerializationError, match="expected one of A, B, got"):
        Avro(record(union)).encode({"f": value})
    with pytest.raises(SerializationError, match="expected one of A, B as the default of R, got"):
        Avro({"type": "record", "name": "R", "fields": [{"name": "f", "type": union, "default": value}]})
