"""What the Arrow C interface hands over: asked for once in a call, refused if released or against its format.

Hazard F27 of docs/hazards.md.
"""

from __future__ import annotations

import ctypes
import struct
import time

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from tests.encoding.columns.arrow_producers import GET_NEXT, NEVER, Holder, Stream, node_of
from twolane import Avro, Bytes, Json, Struct
from twolane.common.arguments import BatchArguments, Limits, prepare
from twolane.encoding.columns.table import as_column, as_columns, as_table
from twolane.errors import SerializationError

TEXTS = ["a", None, "c" * 20, "", "e"]
ARRAYS = {
    "int64": pa.array([1, None, 3, 4, 5]),
    "bool": pa.array([True, None, False, True, True]),
    "double": pa.array([1.5, None, 3.5, 4.5, 5.5]),
    "string": pa.array(TEXTS),
    "large_string": pa.array(TEXTS, pa.large_string()),
    "string_view": pa.array(TEXTS, pa.string_view()),
    "binary": pa.array([b"abc", None, b"abc", b"", b"x"], pa.binary()),
    "fixed": pa.array([b"abc", None, b"abc", b"abc", b"abc"], pa.binary(3)),
    "timestamp": pa.array([1, None, 3, 4, 5], pa.timestamp("us", "UTC")),
    "decimal": pa.array([1, None, 3, 4, 5], pa.decimal128(10, 0)),
    "list": pa.array([[1], None, [], [2, 3], [4]]),
    "large_list": pa.array([["a"], None, [], ["b", "c"], ["d"]], pa.large_list(pa.string())),
    "list_view": pa.array([[1], None, [], [2, 3], [4]], pa.list_view(pa.int32())),
    "fixed_list": pa.array([[1, 2], None, [3, 4], [5, 6], [7, 8]], pa.list_(pa.int64(), 2)),
    "struct": pa.array([{"x": 1, "y": "a"}, None, {"x": 2, "y": "b"}, {"x": None, "y": None}, {"x": 5, "y": "e"}]),
    "map": pa.array([[("k", 1)], None, [], [("l", 2), ("m", 3)], [("n", 4)]], pa.map_(pa.string(), pa.int64())),
    "dictionary": pa.array(["a", None, "b", "a", "c"]).dictionary_encode(),
    "runs": pa.RunEndEncodedArray.from_arrays([2, 4, 5], ["a", None, "c"]),
    "runs of ints": pa.RunEndEncodedArray.from_arrays([2, 4, 5], [1, None, 3]),
    "dense": pa.UnionArray.from_dense(
        pa.array([0, 1, 0, 1, 0], pa.int8()), pa.array([0, 0, 1, 1, 2], pa.int32()),
        [pa.array([1, 2, 3]), pa.array(["a", "b"])],
    ),
    "sparse": pa.UnionArray.from_sparse(
        pa.array([0, 1, 0, 1, 0], pa.int8()), [pa.array([1, 2, 3, 4, 5]), pa.array(["a", "b", "c", "d", "e"])]
    ),
}  # fmt: skip


def batch_of(array):
    return node_of(pa.RecordBatch.from_arrays([array], ["f"]))


def use(values):
    """Read them as every consumer does; JSON last, which reads all there is."""
    table = as_table(values)
    source = Json(binary="base64").bind(table)
    return list(source.slice(0, len(source)))


# ---- one import, and none of what was released -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ARRAYS)
def test_a_copied_producer_is_as_good_as_the_one_it_was_copied_from(name):
    wanted = list(Json(binary="base64").encode_batch(pa.RecordBatch.from_arrays([ARRAYS[name]], ["f"])))
    assert use(Holder(batch_of(ARRAYS[name]))) == wanted
    assert use(Stream(batch_of(ARRAYS[name]), batch_of(ARRAYS[name]))) == wanted * 2


def call(values, **arguments):
    made = {"keys": None, "headers": None, "partitions": 0, "timestamps": None, "timestamp_header": None} | {
        "serializer": Json(), "key_serializer": None, "on_bad_row": "raise", "opaque": None,
    } | arguments  # fmt: skip

    class Known:
        name, partition_count, counted_at, max_message_bytes = "t", 1, time.monotonic(), 10**6

    class Topics:
        def known(self, *_):
            return Known()

        def look_for(self, *_): ...

    return prepare("t", values, BatchArguments(**made), Topics(), 0.0, Limits(10**6, None))


@pytest.mark.parametrize("lend", [Holder, Stream])
@pytest.mark.parametrize(
    ("array", "serializer", "wanted"),
    [
        (pa.array([1, 2]), Json(), [b"1", b"2"]),
        (pa.array([1, 2]), Avro("long"), [b"\2", b"\4"]),
        (pa.array([1, 2], pa.int32()), Struct("<i"), [b"\1\0\0\0", b"\2\0\0\0"]),
        (pa.array(["a", "b"]), Bytes(), [b"a", b"b"]),
        (pa.array(["a", "b"]), None, [b"a", b"b"]),
        (pa.array([{"x": 1}, {"x": 2}]), Json(), [b'{"x":1}', b'{"x":2}']),
    ],
)
def test_a_call_asks_for_what_it_reads_once(lend, array, serializer, wanted):
    lent = lend(node_of(array))
    made = call(lent, serializer=serializer)
    assert lent.asked == 1
    assert list(made.values.slice(0, 2)) == wanted
    if serializer is not None:
        assert list(serializer.encode_batch(lend(node_of(array)))) == wanted


def test_values_keys_times_headers_and_partitions_of_one_table_are_of_one_import():
    at = pa.array([1_700_000_000_000, 1_700_000_000_001], pa.timestamp("ms", "UTC"))
    batch = pa.RecordBatch.from_arrays([pa.array(["a", "b"]), at, pa.array([0, 0])], ["k", "at", "p"])
    lent = Stream(node_of(batch))
    made = call(
        lent, keys="k", timestamps="at", timestamp_header="ns", headers=["k"], partitions="p",
        key_serializer=Json(), serializer=Json(),
    )  # fmt: skip
    assert lent.asked == 1
    assert made.n == 2
    assert list(made.keys.slice(0, 2)) == [b'"a"', b'"b"']
    assert made.timestamps.tolist() == [1_700_000_000_000, 1_700_000_000_001]


@pytest.mark.parametrize("lend", [Holder, Stream])
@pytest.mark.parametrize("serializer", [Json(), Avro("long"), Struct("<q"), Bytes()])
def test_what_was_read_before_is_refused_by_name(lend, serializer):
    lent = lend(node_of(pa.array([1, 2])))
    as_columns(lent)
    for values in (lent,) if isinstance(serializer, Bytes) else (lent, {"f": lent}):
        for read in (serializer.encode_batch, serializer.bind, lambda one: call(one, serializer=serializer)):
            with pytest.raises(SerializationError, match=r"expected Arrow data, got an? .* that was released, or"):
                read(values)
    for name in ("keys", "timestamps", "partitions"):
        with pytest.raises(SerializationError, match="was released, or read to its end"):
            call([b"a", b"b"], serializer=Bytes(), **{name: lent})


@pytest.mark.parametrize("part", ["schema", "array"])
def test_structures_released_by_their_owner_are_refused(part):
    for array in ARRAYS.values():
        n = len(batch_of(array).below())
        for i in range(n):
            node = batch_of(array)
            getattr(node.below()[i], part).release = NEVER
            with pytest.raises(SerializationError, match="released"):
                use(Holder(node))
            if part == "array" or i:
                with pytest.raises(SerializationError, match="released"):
                    use(Stream(node)) if part == "schema" or i else use(Holder(node))


def test_a_stream_that_fails_says_why():
    with pytest.raises(SerializationError, match="failed with error 5: out of luck"):
        use(Stream(batch_of(ARRAYS["int64"]), batch_of(ARRAYS["int64"]), error=b"out of luck"))
    stream = Stream(batch_of(ARRAYS["int64"]))
    stream.stream.get_next = ctypes.cast(None, GET_NEXT)
    with pytest.raises(SerializationError, match="without functions"):
        use(stream)


@pytest.mark.parametrize("capsules", [(), (1, 2), 5, None, (object(),)])
def test_what_is_no_capsule_is_refused(capsules):
    class Liar:
        def __arrow_c_array__(self, requested_schema=None):
            return capsules

    for read in (as_table, as_column, as_columns):
        with pytest.raises(SerializationError):
            read(Liar())


class Broken:
    def __arrow_c_stream__(self, requested_schema=None):
        raise RuntimeError("the array stream is released")


def test_what_an_exporter_raises_is_the_reason_of_the_refusal():
    for values in (Broken(), {"f": Broken()}):
        with pytest.raises(SerializationError, match=r"RuntimeError.*the array stream is released"):
            Json().encode_batch(values)


# ---- faults ----------------------------------------------------------------------------------------------------------


def lengths(node):
    yield "negative length", lambda: setattr(node.array, "length", -1)
    yield "negative offset", lambda: setattr(node.array, "offset", -1)
    yield "length without end", lambda: setattr(node.array, "length", 2**62)
    yield "offset without end", lambda: setattr(node.array, "offset", 2**63 - 3)


def shapes(node):
    array, schema = node.array, node.schema
    yield "a buffer too few", (lambda: setattr(array, "n_buffers", array.n_buffers - 1)) if array.n_buffers else None
    if schema.format not in (b"vu", b"vz"):
        yield "a buffer too many", lambda: (
            node.buffers.append(None), node.link(), setattr(array, "n_buffers", array.n_buffers + 1),
        )  # fmt: skip
    yield "buffers without end", lambda: setattr(array, "n_buffers", 2**63 - 1)
    yield "no buffers", (lambda: setattr(array, "buffers", None)) if array.n_buffers else None
    yield "a child too many", lambda: setattr(array, "n_children", array.n_children + 1)
    yield "children below zero", lambda: (setattr(array, "n_children", -1), setattr(schema, "n_children", -1))
    yield "no children", (lambda: setattr(array, "children", None)) if array.n_children else None
    yield "no types of children", (lambda: setattr(schema, "children", None)) if array.n_children else None
    for i in range(array.n_children):
        yield f"child {i} is missing", lambda i=i: array.children.__setitem__(i, None)
        yield f"the type of child {i} is missing", lambda i=i: schema.children.__setitem__(i, None)
    if array.n_children and schema.format not in (b"+s",):
        yield "a child too few", lambda: (
            setattr(array, "n_children", array.n_children - 1), setattr(schema, "n_children", schema.n_children - 1),
        )  # fmt: skip
    if node.dictionary:
        yield "no dictionary", lambda: setattr(array, "dictionary", None)
        yield "a dictionary of doubles", lambda: setattr(schema, "format", b"g")
    has_bitmap = schema.format not in (b"+r", b"n") and not schema.format.startswith(b"+u")
    if has_bitmap:
        yield "nulls without a bitmap", lambda: (
            node.buffers.__setitem__(0, None), node.link(), setattr(array, "null_count", 1),
        )  # fmt: skip
    for i in range(1 if has_bitmap else 0, len(node.buffers)):
        if array.length:
            yield f"buffer {i} is missing", lambda i=i: (node.buffers.__setitem__(i, None), node.link())


FORMATS = [
    None, b"", b"?", b"ts", b"tsx:", b"ts:UTC", b"w:", b"w:-1", b"w:x", b"w:99999999999", b"+w:", b"+w:-1", b"d:",
    b"d:1", b"d:x,y", b"d:10,2,512", b"d:10,2,100", b"+ud:0,x", b"+us:0,0", b"+ud:0,200", b"+q", b"++", b"tdX", b"\xff",
    b"vx",
]  # fmt: skip


def formats(node):
    for form in FORMATS:
        yield f"format {form!r}", lambda form=form: setattr(node.schema, "format", form)
    yield "a name that is no text", lambda: setattr(node.schema, "name", b"\xff\xfe")


FAULTS = [lengths, shapes, formats]


@pytest.mark.parametrize("faults", FAULTS)
@pytest.mark.parametrize("name", ARRAYS)
def test_what_does_not_fit_its_format_is_refused(name, faults):
    tried = 0
    for i in range(len(batch_of(ARRAYS[name]).below())):
        for n in range(len(list(faults(batch_of(ARRAYS[name]).below()[i])))):
            for lend in (Holder, Stream):
                node = batch_of(ARRAYS[name])
                fault, spoil = list(faults(node.below()[i]))[n]
                if spoil is None:
                    continue
                spoil()
                tried += 1
                said = f"{fault} of {node.below()[i].schema.format!r} in {name}" if i == 0 else fault
                try:
                    got = use(lend(node))
                except SerializationError:
                    continue
                # Of views and all-empty strings the last buffer may be left out.
                assert fault.startswith("buffer"), f"{said}: {got}"
                assert got == use(Holder(batch_of(ARRAYS[name]))), said
    assert tried


def offsets(*numbers, wide=False):
    return struct.pack(f"<{len(numbers)}{'q' if wide else 'i'}", *numbers)


def view(size, block, place):
    return struct.pack("<i4sii", size, b"abcd", block, place)


INSIDE = {
    "offsets that fall": ("string", 0, 1, offsets(0, 5, 3, 8, 9, 10)),
    "offsets below zero": ("string", 0, 1, offsets(-1, 0, 0, 0, 0, 0)),
    "offsets that wrap": ("string", 0, 1, offsets(0, 2**31 - 1, -(2**31), 0, 0, 0)),
    "wide offsets that fall": ("large_string", 0, 1, offsets(0, 5, 3, 8, 9, 10, wide=True)),
    "wide offsets below zero": ("large_string", 0, 1, offsets(-(2**62), 0, 0, 0, 0, 0, wide=True)),
    "lists that fall": ("list", 0, 1, offsets(0, 1, 1, 0, 3, 4)),
    "lists beyond their items": ("list", 0, 1, offsets(0, 1, 1, 1, 3, 100)),
    "large lists beyond their items": ("large_list", 0, 1, offsets(0, 1, 1, 1, 3, 2**40, wide=True)),
    "texts in lists that fall": ("large_list", 1, 1, offsets(0, 1, 2, 1, 4)),
    "list views beyond their items": ("list_view", 0, 1, offsets(0, 0, 0, 4, 3)),
    "list views before their items": ("list_view", 0, 1, offsets(-1, 0, 0, 0, 0)),
    "list views of negative sizes": ("list_view", 0, 2, offsets(1, 0, 0, -2, 1)),
    "maps that fall": ("map", 0, 1, offsets(0, 1, 1, 0, 3, 4)),
    "indices beyond the dictionary": ("dictionary", 0, 1, offsets(0, 0, 1, 3, 2)),
    "indices below zero": ("dictionary", 0, 1, offsets(0, 0, 1, -1, 2)),
    "items beyond a union's member": ("dense", 0, 1, offsets(0, 0, 1, 1, 3)),
    "items before a union's member": ("dense", 0, 1, offsets(0, 0, 1, -1, 2)),
    "members that a union has not": ("dense", 0, 0, bytes([0, 1, 7, 1, 0])),
    "members below zero": ("sparse", 0, 0, bytes([0, 1, 255, 1, 0])),
    "views beyond their block": ("string_view", 0, 1, view(1, 0, 0) * 4 + view(20, 0, 10)),
    "views of a block that is not there": ("string_view", 0, 1, view(1, 0, 0) * 4 + view(20, 1, 0)),
    "views before their block": ("string_view", 0, 1, view(1, 0, 0) * 4 + view(20, 0, -1)),
    "views of negative length": ("string_view", 0, 1, view(1, 0, 0) * 4 + view(-1, 0, 0)),
    "run ends that fall": ("runs", 1, 1, offsets(2, 1, 5)),
    "run ends below one": ("runs of ints", 1, 1, offsets(0, 4, 5)),
    "runs that end too soon": ("runs", 1, 1, offsets(1, 2, 3)),
}


@pytest.mark.parametrize("fault", INSIDE)
@pytest.mark.parametrize("lend", [Holder, Stream])
def test_items_that_lie_elsewhere_are_refused(fault, lend):
    name, below, buffer, data = INSIDE[fault]
    node = batch_of(ARRAYS[name])
    node.children[0].below()[below].replace(buffer, data)
    with pytest.raises(SerializationError) as caught:
        use(lend(node))
    assert caught.value.field


@pytest.mark.parametrize("name", ["struct", "fixed_list", "sparse", "runs", "list"])
def test_children_shorter_than_their_parent_are_refused(name):
    node = batch_of(ARRAYS[name])
    child = node.children[0].children[-1]
    child.array.length -= 1
    with pytest.raises(SerializationError, match=r"fewer items|beyond|more than there are values"):
        use(Holder(node))


def test_a_map_with_a_key_that_is_null_is_refused():
    node = batch_of(ARRAYS["map"])
    keys = node.children[0].children[0].children[0]
    keys.array.null_count = 1
    keys.replace(0, b"\x0b")
    with pytest.raises(SerializationError, match="a key that is null"):
        use(Holder(node))


def test_types_that_contain_themselves_are_refused():
    node = batch_of(ARRAYS["struct"])
    inner = node.children[0]
    inner.schema.children[0] = ctypes.pointer(inner.schema)
    inner.schema.children[1] = ctypes.pointer(inner.schema)
    with pytest.raises(SerializationError, match=r"deeper|parts"):
        use(Holder(node))


def test_a_type_that_cannot_be_read_is_refused_only_where_it_is_used():
    node = node_of(pa.RecordBatch.from_arrays([pa.array([1, 2]), pa.array([3, 4])], ["f", "g"]))
    node.children[1].schema.format = b"?"
    avro = Avro({"type": "record", "name": "R", "fields": [{"name": "f", "type": "long"}]})
    assert list(avro.encode_batch(Holder(node))) == [b"\2", b"\4"]
    node = node_of(pa.RecordBatch.from_arrays([pa.array([1, 2])], ["f"]))
    node.children[0].schema.format = b"?"
    with pytest.raises(SerializationError, match=r"Arrow's format \?") as caught:
        avro.encode_batch(Holder(node))
    assert caught.value.field == "f"


def test_a_slice_costs_its_own_items_only():
    """A bad item outside of it is never looked at."""
    node = batch_of(pa.array([["a"], ["b"], ["c"]]).slice(1, 1))
    node.children[0].children[0].replace(1, offsets(-7, 0, 1, -7))
    node.children[0].children[0].replace(2, b"bbbb")
    node.children[0].replace(1, offsets(-1, 1, 2, 9))
    node.children[0].children[0].replace(1, offsets(-7, 1, 2, -7))
    assert use(Holder(node)) == [b'{"f":["b"]}']


def test_numbers_are_what_numpy_says_of_them():
    """The serializers above read good producers as numpy does."""
    values = np.arange(5)
    node = batch_of(pa.array(values))
    assert use(Holder(node)) == [b'{"f":%d}' % value for value in values]


def test_a_column_of_nulls_of_polars_is_read_wherever_it_stands():
    """Polars gives such an array a buffer for its bitmap, pyarrow gives it none."""
    frame = pl.DataFrame(
        {
            "a": [1, 2, 3],
            "x": [None] * 3,
            "s": [{"b": 1, "n": None}, None, {"b": 2, "n": None}],
            "l": [[None], [], None],
        }
    )
    assert list(Json().encode_batch(frame)) == list(Json().encode_batch(frame.to_dicts()))
    assert list(Json().encode_batch(frame[1:])) == list(Json().encode_batch(frame.to_dicts()[1:]))
    null = Avro({"type": "record", "name": "R", "fields": [{"name": "x", "type": ["null", "string"]}]})
    assert list(null.encode_batch(frame)) == [b"\0"] * 3


WORDS = pa.dictionary(pa.int8(), pa.string())


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        (pa.struct([("d", WORDS)]), [None, None]),
        (pa.struct([("s", pa.struct([("d", WORDS), ("n", pa.int64())]))]), [None, {"s": None}]),
        (pa.struct([("d", pa.dictionary(pa.int16(), pa.int64()))]), [{"d": None}, None]),
        (pa.list_(WORDS, 2), [None, [None, None]]),
        (pa.list_(pa.struct([("d", WORDS)])), [[None], None]),
        (pa.map_(pa.string(), pa.struct([("d", WORDS)])), [[("k", None)], None]),
    ],
    ids=str,
)
def test_a_dictionary_without_entries_is_null_below_a_null(type_, values):
    """Arrow's builders write index 0 there."""
    table = pa.table({"x": pa.array([values[0], *values], type_)}).slice(1)
    rows = [{"x": dict(v) if v and pa.types.is_map(type_) else v} for v in values]
    assert list(Json().encode_batch(table)) == list(Json().encode_batch(rows))
    avro = Avro.from_arrow(table.schema)
    assert list(avro.encode_batch(table)) == list(avro.encode_batch(rows))
    assert list(avro.encode_batch(table, on_bad_row="skip")) == list(avro.encode_batch(rows))
