"""Rows, and columns of objects, of a large call: encoded to check them, and once more if they were not kept.

The bytes must be the same.
"""

from __future__ import annotations

import io
import json

import fastavro
import numpy as np
import pyarrow as pa
import pytest

from twolane import Avro, Bytes, Json, SafeProducer, SerializationError, Struct, ThroughputProducer
from twolane.common.arguments import ProduceCall
from twolane.common.headers import batch_headers
from twolane.serializers import materialize

SCHEMA = {
    "type": "record",
    "name": "R",
    "fields": [{"name": "id", "type": "long"}, {"name": "name", "type": ["null", "string"], "default": None}],
}
N = 300
ROWS = [{"id": i, "name": None if i % 3 else "x" * (i % 50)} for i in range(N)]
TUPLES = [(i, b"%d" % i) for i in range(N)]


def by_fastavro(row: dict) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, SCHEMA, row)
    return out.getvalue()


CASES = {
    "Avro": (Avro(SCHEMA), ROWS, [by_fastavro(row) for row in ROWS]),
    "Json": (Json(), ROWS, [json.dumps(row, separators=(",", ":")).encode() for row in ROWS]),
    "Struct": (
        Struct([("id", "<i8"), ("name", "S4")]),
        TUPLES,
        [i.to_bytes(8, "little") + name.ljust(4, b"\0") for i, name in TUPLES],
    ),
}


def chunked(values: list) -> pa.ChunkedArray:
    return pa.chunked_array([values[:40], [], values[40:41], values[41:]])


def listed(rows: list) -> dict[str, list]:
    """The same as a column of Python objects for each field."""
    names = ("id", "name")
    return {name: [row[name if isinstance(row, dict) else i] for row in rows] for i, name in enumerate(names)}


def mixed(rows: list) -> dict[str, object]:
    """The same as a column that C code reads in place, and one of objects."""
    columns = listed(rows)
    return {"id": chunked(columns["id"]), "name": np.array(columns["name"], dtype=object)}


SHAPES = {"rows": list, "lists": listed, "mixed": mixed}


@pytest.fixture(params=[0, 1, 1000, 10**6], ids="kept {}".format)
def little(request, monkeypatch):
    """Keep little, and check in small pieces, so that some hundred rows are many."""
    monkeypatch.setattr(materialize, "KEPT", request.param)
    monkeypatch.setattr(materialize, "PIECE", 200)
    monkeypatch.setattr(materialize, "PIECE_ROWS", 11)


@pytest.fixture
def nothing_kept(monkeypatch):
    monkeypatch.setattr(materialize, "KEPT", 0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", CASES)
def test_slices_are_what_others_write(kind, shape, little):
    serializer, rows, expected = CASES[kind]
    source = serializer.bind(SHAPES[shape](rows))
    assert len(source) == N
    for start, stop in [(0, N), (0, 1), (0, 0), (N, N), (3, 150), (149, N), *((i, i + 10) for i in range(0, N, 10))]:
        assert list(source.slice(start, stop)) == expected[start:stop]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", CASES)
def test_the_first_record_over_a_size_is_found(kind, shape, little):
    serializer, rows, expected = CASES[kind]
    source = serializer.bind(SHAPES[shape](rows))
    for limit in range(max(map(len, expected)) + 1):
        over = next(((i, len(text)) for i, text in enumerate(expected) if len(text) > limit), None)
        assert source.first_over(limit) == over


@pytest.mark.parametrize("kind", CASES)
def test_nulls_are_kept(kind, little):
    serializer, rows, expected = CASES[kind]
    some = [None if i % 7 == 0 else row for i, row in enumerate(rows)]
    source = serializer.bind(some)
    assert list(source.slice(0, N)) == [None if i % 7 == 0 else text for i, text in enumerate(expected)]
    assert list(source.slice(70, 90)) == list(source.slice(0, N))[70:90]


@pytest.mark.parametrize("kind", CASES)
@pytest.mark.parametrize("bad", [0, 1, 150, N - 1])
def test_a_bad_row_is_named_wherever_it_is(kind, bad, little):
    serializer, rows, _ = CASES[kind]
    wrong = object() if kind == "Json" else {"id": "one"} if kind == "Avro" else ("one", b"")
    with pytest.raises(SerializationError) as caught:
        serializer.bind([*rows[:bad], wrong, *rows[bad + 1 :]])
    assert caught.value.index == bad


@pytest.mark.parametrize("shape", ["lists", "mixed"])
@pytest.mark.parametrize("kind", CASES)
@pytest.mark.parametrize("bad", [0, 1, 150, N - 1])
def test_a_bad_value_of_a_column_is_named_wherever_it_is(kind, shape, bad, little):
    serializer, rows, _ = CASES[kind]
    columns = SHAPES[shape](rows)
    columns["name"][bad] = object() if kind == "Json" else 1.5
    with pytest.raises(SerializationError) as caught:
        serializer.bind(columns)
    assert (caught.value.index, caught.value.field) == (bad, "name")


@pytest.mark.parametrize("kept", [0, 10**6])
def test_columns_without_a_path_in_c(kept, monkeypatch):
    """A list view is read through objects, a piece at a time."""
    monkeypatch.setattr(materialize, "KEPT", kept)
    monkeypatch.setattr(materialize, "PIECE_ROWS", 11)
    schema = {"type": "array", "items": "long"}
    lists = [[*range(i % 9)] for i in range(N)]
    expected = []
    for items in lists:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, schema, items)
        expected.append(out.getvalue())
    source = Avro(schema).bind(pa.array([[1], *lists], pa.list_view(pa.int64()))[1:])
    assert list(source.slice(0, N)) == expected
    assert list(source.slice(17, 99)) == expected[17:99]


def test_iterables_are_read_once(little):
    serializer, rows, expected = CASES["Avro"]
    assert list(serializer.bind(row for row in rows).slice(0, N)) == expected


class Fickle:
    """A row that is good as often as it is told to be."""

    def __init__(self, times: int) -> None:
        self.times, self.id = times, 1

    @property
    def name(self) -> object:
        self.times -= 1
        return "x" if self.times >= 0 else 1.5


def test_a_row_that_changes_is_an_error_and_rows_that_vanish_are(nothing_kept):
    rows = [*ROWS, Fickle(1)]
    source = Avro(SCHEMA).bind(rows)
    with pytest.raises(RuntimeError, match=f"row was changed.* row {N}|record {N}") as caught:
        source.slice(N - 1, N + 1)
    assert isinstance(caught.value.__cause__, SerializationError)
    del rows[N - 5 :]
    with pytest.raises(RuntimeError, match="taken away"):
        source.slice(N - 10, N)
    with pytest.raises(RuntimeError, match="taken away"):
        source.slice(N - 1, N)
    assert list(source.slice(0, 2)) == [by_fastavro(row) for row in ROWS[:2]]


def test_large_values_make_small_pieces_only_where_they_are(little):
    bound = []

    class Counted(Json):
        def _bind_columns(self, columns, limit):
            bound.append(len(columns))
            return super()._bind_columns(columns, limit)

    texts = ["x" * 1000] * 20 + ["y"] * 2000
    source = Counted().bind({"name": texts})
    assert list(source.slice(0, 2020)) == [b'{"name":"%s"}' % text.encode() for text in texts]
    # Twice 2000 / 11 and what the large ones took; 4000 if all pieces stayed small.
    assert len(bound) < 700


def test_a_column_that_shrinks_is_an_error(nothing_kept):
    columns = listed(ROWS)
    source = Avro(SCHEMA).bind(columns)
    columns["name"].append("more, which is not looked at")
    assert list(source.slice(0, N)) == [by_fastavro(row) for row in ROWS]
    del columns["name"][N - 5 :]
    with pytest.raises(RuntimeError, match="was changed"):
        source.slice(N - 10, N)


@pytest.mark.parametrize("lane", [SafeProducer, ThroughputProducer])
def test_what_was_sent_before_a_row_changed_is_told(lane, embedded_cluster, topic, nothing_kept, monkeypatch):
    monkeypatch.setattr("twolane.safe.batch_call.SLICE", 100)
    monkeypatch.setattr("twolane.throughput.producer.SLICE", 100)
    name = topic(embedded_cluster, 1)
    with lane({"bootstrap.servers": embedded_cluster.bootstrap_servers}) as producer:
        with pytest.raises(RuntimeError, match="row was changed") as caught:
            producer.send_batch(name, [*ROWS[:250], Fickle(1)], serializer=Avro(SCHEMA))
        told = "records=251, written=200" if lane is SafeProducer else "200 of 251 records had been accepted"
        assert told in caught.value.__notes__[0]
        if lane is ThroughputProducer:
            assert list(caught.value.twolane_result.result(10).offsets) == [*range(200)]
        else:
            assert list(caught.value.twolane_result.offsets) == [*range(200), *[-1] * 51]
        # The producer works on.
        done = producer.send_batch(name, ROWS[:3], serializer=Avro(SCHEMA))
        assert (done.result(10) if lane is ThroughputProducer else done).written == 3


@pytest.mark.parametrize(("size", "rows"), [(10, 8192), (4094, 8192), (4096, 2048), (100_000, 128), (2**20 + 1, 8)])
def test_large_records_are_encoded_few_at_a_time(size, rows):
    texts = [b"", b"x" * size]
    avro = Avro({"type": "record", "name": "R", "fields": [{"name": "x", "type": "bytes"}]})
    for source, expected in [(avro.bind({"x": np.array(texts)}), rows), (Bytes().bind(texts), 8192)]:
        call = ProduceCall(None, 2, source, None, 1, None, batch_headers(None, 2, None), None)
        assert call.slice_rows(8192) == expected
