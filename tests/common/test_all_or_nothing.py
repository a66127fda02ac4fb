"""Every argument of a call takes a text or bytes of any class as its base, or refuses the whole call before it goes.

Generated over lane x call x role x row x value. What a refused call wrote, and what an accepted one wrote, is read from
the log by confluent-kafka's consumer.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import fastavro
import numpy as np
import pytest

from tests.support.readers import read_all
from twolane import (
    Avro,
    Bytes,
    ConfigError,
    Json,
    SafeProducer,
    SerializationError,
    ThroughputProducer,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = 11
SMALL_SLICE = 4
# In the first slice, in the middle, and the last of all.
PLACES = (0, 5, ROWS - 1)


class Text(str):
    """Says something else wherever Python asks it."""

    __slots__ = ()

    def encode(self, *_: Any) -> bytes:
        return b"wrong"

    def __str__(self) -> str:
        return "wrong"

    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Iterator[str]:
        return iter("wrong")


class Data(bytes):
    """The same of bytes."""

    __slots__ = ()

    def __bytes__(self) -> bytes:
        return b"wrong"

    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Iterator[int]:
        return iter(b"wrong")


def released() -> memoryview:
    view = memoryview(b"gone")
    view.release()
    return view


TEXTS: dict[str, tuple[Any, str | None]] = {
    "str": ("t\xe9xt", "t\xe9xt"),
    "str subclass": (Text("t\xe9xt"), "t\xe9xt"),
    "ASCII str subclass": (Text("text"), "text"),
    "numpy str": (np.str_("text"), "text"),
    "lone surrogate": ("a\ud800b", None),
    "lone surrogate in a subclass": (Text("a\udc00b"), None),
    "lone surrogate in a numpy str": (np.str_("a\udfffb"), None),
}
NO_NAMES: dict[str, tuple[Any, str | None]] = {
    "NUL": ("a\0b", None),
    "NUL in a subclass": (Text("a\0b"), None),
    "empty": ("", None),
    "empty subclass": (Text(""), None),
    "bytes as a name": (b"text", None),
    "numpy bytes as a name": (np.bytes_(b"text"), None),
    "None as a name": (None, None),
}
DATA: dict[str, tuple[Any, bytes | None]] = {
    "bytes": (b"data", b"data"),
    "bytes subclass": (Data(b"data"), b"data"),
    "numpy bytes": (np.bytes_(b"da\0ta\0"), b"da\0ta\0"),
    "bytearray": (bytearray(b"data"), b"data"),
    "memoryview": (memoryview(b"data"), b"data"),
    "strided memoryview": (memoryview(b"d.a.t.a.")[::2], b"data"),
    "released memoryview": (released(), None),
    "int": (7, None),
    "float": (1.5, None),
    "object": (object(), None),
    "list": ([1], None),
}
NAMES = TEXTS | NO_NAMES
CONTENTS = {name: (value, None if base is None else base.encode()) for name, (value, base) in TEXTS.items()} | DATA


@dataclass
class Cell:
    """One call: its arguments, and what it adds to the log if it is accepted."""

    what: str
    arguments: dict[str, Any]
    accepted: list[tuple[Any, Any, list[Any]]] | None
    index: int | None = None
    topic: Any = None


def column(place: int, value: Any, other: Any) -> list[Any]:
    made = [other] * ROWS
    made[place] = value
    return made


def avro_bytes(text: str) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, SCHEMA, {"text": text})
    return out.getvalue()


SCHEMA = {"type": "record", "name": "R", "fields": [{"name": "text", "type": "string"}]}
AVRO, JSON = Avro(SCHEMA), Json()


@dataclass
class Returning:
    """A user's serializer, which returns what it was given."""

    def encode(self, record: Any) -> Any:
        return record

    def bind(self, values: Any) -> Any:
        return Bytes().bind(values)

    encode_batch = bind


def of_send() -> Iterator[Cell]:
    for what, (value, base) in NAMES.items():
        wanted = None if base is None else [(b"v", None, [(base, b"h")])]
        yield Cell(f"header name of a mapping, {what}", {"value": b"v", "headers": {value: b"h"}}, wanted)
        yield Cell(f"header name of a pair, {what}", {"value": b"v", "headers": [(value, b"h")]}, wanted)
    for what, (value, data) in CONTENTS.items():
        yield Cell(f"value, {what}", {"value": value}, data and [(data, None, [])])
        yield Cell(f"key, {what}", {"value": b"v", "key": value}, data and [(b"v", data, [])])
        wanted = data and [(b"v", None, [("h", data)])]
        yield Cell(f"header value, {what}", {"value": b"v", "headers": {"h": value}}, wanted)
        yield Cell(
            f"what a serializer gives, {what}", {"value": value, "serializer": Returning()}, data and [(data, None, [])]
        )
        wanted = data and [(b"v", data, [])]
        yield Cell(
            f"what a key serializer gives, {what}", {"value": b"v", "key": value, "key_serializer": Returning()}, wanted
        )
    for what, (value, base) in TEXTS.items():
        for name, serializer, made in serialized(base):
            cell = {"value": {"text": value}, "serializer": serializer}
            yield Cell(f"text in {name}, {what}", cell, made and [(made, None, [])])


def serialized(base: str | None) -> list[tuple[str, Any, bytes | None]]:
    made = None if base is None else avro_bytes(base)
    return [("Avro", AVRO, made), ("Json", JSON, base and f'{{"text":"{base}"}}'.encode())]


def of_send_batch() -> Iterator[Cell]:
    plain = [(b"v", None, [])] * ROWS
    values = [b"v"] * ROWS
    for what, (value, base) in NAMES.items():
        named = base and [(b"v", None, [(base, b"h")])] * ROWS
        yield Cell(f"shared header name, {what}", {"values": values, "headers": {value: b"h"}}, named)
        yield Cell(f"shared header name of a pair, {what}", {"values": values, "headers": [(value, b"h")]}, named)
        cell = {"values": values, "headers": {value: [b"h"] * ROWS}}
        yield Cell(f"name of a header column, {what}", cell, named)
        for place in PLACES:
            wanted = base and column(place, (b"v", None, [(base, b"h")]), (b"v", None, [("o", b"h")]))
            for kind, own, other in (("mapping", {value: b"h"}, {"o": b"h"}), ("pair", [(value, b"h")], [("o", b"h")])):
                cell = {"values": values, "headers": column(place, own, other)}
                yield Cell(f"header name of a {kind} in row {place}, {what}", cell, wanted, place)
    for what, (value, data) in CONTENTS.items():
        wanted = data and [(b"v", None, [("h", data)])] * ROWS
        if not isinstance(value, list):  # a list is a column
            yield Cell(f"shared header value, {what}", {"values": values, "headers": {"h": value}}, wanted)
            keys = data and [(b"v", data, [])] * ROWS
            if not isinstance(value, str):  # a str names a column
                yield Cell(f"key for all, {what}", {"values": values, "keys": value}, keys)
        for place in PLACES:
            own, rest = column(place, value, b"o"), data and column(place, data, b"o")
            yield Cell(f"value in row {place}, {what}", {"values": own}, rest and [(v, None, []) for v in rest], place)
            yield Cell(
                f"key in row {place}, {what}",
                {"values": values, "keys": own},
                rest and [(b"v", k, []) for k in rest],
                place,
            )
            headed = rest and [(b"v", None, [("h", h)]) for h in rest]
            cell = {"values": values, "headers": {"h": own}}
            yield Cell(f"header column in row {place}, {what}", cell, headed, place)
            cell = {"values": values, "headers": [{"h": entry} for entry in own]}
            yield Cell(f"header value in row {place}, {what}", cell, headed, place)
    for what, (value, base) in TEXTS.items():
        for place in PLACES:
            for name, serializer, made in serialized(base):
                other = serialized("o")[name == "Json"][2]
                rows = [{"text": entry} for entry in column(place, value, "o")]
                wanted = made and [(v, None, []) for v in column(place, made, other)]
                cell = {"values": rows, "serializer": serializer}
                yield Cell(f"text in {name} in row {place}, {what}", cell, wanted, place)
    yield Cell("nothing special", {"values": values}, plain)


def names_of(topic: str) -> Iterator[tuple[str, Any, bool]]:
    """Give values for the topic, and whether they name it."""
    yield "str subclass", Text(topic), True
    yield "numpy str", np.str_(topic), True
    for what, (value, _) in NO_NAMES.items():
        yield what, value, False
    yield "lone surrogate", topic + "\ud800", False
    yield "lone surrogate in a subclass", Text(topic + "\udc80"), False
    yield "too long", "x" * 250, False
    yield "too long in UTF-8", "\xe9" * 125, False


@pytest.fixture(params=[SafeProducer, ThroughputProducer], ids=["safe", "throughput"])
def producer(request, embedded_cluster, monkeypatch):
    monkeypatch.setattr("twolane.safe.batch_call.SLICE", SMALL_SLICE)
    monkeypatch.setattr("twolane.throughput.producer.SLICE", SMALL_SLICE)
    with request.param(bootstrap_servers=embedded_cluster.bootstrap_servers, linger_ms=0) as made:
        yield made


@pytest.mark.parametrize("call", ["send", "send_batch"])
def test_each_argument_is_taken_as_its_base_or_the_call_is_refused_whole(producer, embedded_cluster, topic, call):
    name = topic(embedded_cluster, 1)
    problems, wanted = [], []
    cells = list(of_send() if call == "send" else of_send_batch())
    for cell in cells:
        before = producer.stats().accepted
        try:
            getattr(producer, call)(name, **cell.arguments)
        except SerializationError as error:
            if cell.accepted is not None:
                problems.append(f"{cell.what}: refused: {error}")
            elif error.topic != name or error.index != cell.index or (not error.field and "row" not in cell.what):
                problems.append(f"{cell.what}: {error} names {error.topic}, {error.index}, {error.field}")
            if producer.stats().accepted != before:
                problems.append(f"{cell.what}: refused, but something was sent")
        except Exception as error:
            problems.append(f"{cell.what}: {error!r}, {producer.stats().accepted - before} records sent")
        else:
            if cell.accepted is None:
                problems.append(f"{cell.what}: accepted")
            wanted += cell.accepted or []
    producer.flush(20)
    assert not problems, "\n".join(problems)
    records = read_all(embedded_cluster.bootstrap_servers, name, expected=len(wanted))
    assert [(r.value, r.key, r.headers) for r in records] == wanted


@pytest.mark.parametrize("call", ["send", "send_batch"])
def test_a_topic_is_named_by_any_str_or_the_call_is_refused(producer, embedded_cluster, topic, call):
    name = topic(embedded_cluster, 1)
    n = 0
    for what, value, is_name in names_of(name):
        arguments = {"value": b"v"} if call == "send" else {"values": [b"v"] * ROWS}
        if is_name:
            getattr(producer, call)(value, **arguments)
            n += 1 if call == "send" else ROWS
        else:
            with pytest.raises((SerializationError, ConfigError), match="topic"):
                getattr(producer, call)(value, **arguments)
        assert producer.stats().accepted == n, what
    producer.flush(20)
    assert len(read_all(embedded_cluster.bootstrap_servers, name, expected=n)) == n


def test_the_header_of_nanoseconds_has_a_name_like_any_other(producer, embedded_cluster, topic):
    name = topic(embedded_cluster, 1)
    n = 0
    for what, (value, base) in NAMES.items():
        if value is None:  # no such header is asked for
            continue
        for call in (
            lambda value=value: producer.send(name, b"v", timestamp_header=value),
            lambda value=value: producer.send_batch(name, [b"v"], timestamp_header=value),
            lambda value=value: producer.send_batch(name, [b"v"], timestamps=[10**12], timestamp_header=value),
        ):
            if base is None:
                with pytest.raises(SerializationError, match=name):
                    call()
            else:
                call()
                n += 1
            assert producer.stats().accepted == n, what
    producer.flush(20)
    assert {r.headers[0][0] for r in read_all(embedded_cluster.bootstrap_servers, name, expected=n)} == {
        "text",
        "t\xe9xt",
    }


@pytest.mark.parametrize("table", [True, False], ids=["columns", "rows"])
@pytest.mark.parametrize("kind", [str, Text, np.str_])
def test_a_column_is_named_by_any_str(producer, embedded_cluster, topic, kind, table):
    name = topic(embedded_cluster, 1)
    columns = {"text": ["a", "b"], "place": [0, 0], "time": [10**12, 10**12 + 1], "headers": [{"x": b"y"}, None]}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    producer.send_batch(
        name,
        columns if table else rows,
        keys=kind("text"),
        partitions=kind("place"),
        timestamps=kind("time"),
        headers=[kind("text")],
        serializer=AVRO,
    )
    producer.send_batch(name, columns if table else rows, headers=kind("headers"), serializer=AVRO)
    producer.flush(20)
    records = read_all(embedded_cluster.bootstrap_servers, name, expected=4)
    assert [(r.value, r.key, r.headers) for r in records] == [
        (avro_bytes("a"), b"a", [("text", b"a")]),
        (avro_bytes("b"), b"b", [("text", b"b")]),
        (avro_bytes("a"), None, [("x", b"y")]),
        (avro_bytes("b"), None, []),
    ]
