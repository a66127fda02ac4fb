"""Serializers travel to other processes; what may hold a secret does not."""

from __future__ import annotations

import multiprocessing
import pickle
import struct
from concurrent.futures import ProcessPoolExecutor

import cloudpickle
import pytest
from google.protobuf import duration_pb2

from twolane import Avro, Bytes, Json, Protobuf, Struct
from twolane.serializers.schema_registry import Registry, record_subject

POINT = {"type": "record", "name": "n.Point", "fields": [{"name": "x", "type": "long"}]}
WORD = "PASSWORDofMine"

TOKEN = {
    "bearer.auth.credentials.source": "STATIC_TOKEN",
    "bearer.auth.token": WORD,
    "bearer.auth.logical.cluster": "l",
    "bearer.auth.identity.pool.id": "p",
}
UNION = Avro([POINT, {**POINT, "name": "n.Other"}], Registry({"url": "mock://p"}, subject_name=record_subject))
CASES = [
    (Bytes(), [b"a", None, "ä"]),
    (Struct(">qd"), [(1, 0.5), None]),
    (Struct(struct.Struct("<h")), [1, -2]),
    (Struct([("a", "<i4"), ("b", "S3")]), [{"a": 1, "b": b"x"}]),
    (Json(), [{"a": float("nan"), "b": [1, "ä"]}, None]),
    (Json(nan="error", binary="base64"), [{"a": b"\0"}]),
    (Avro(POINT), [{"x": -1}, None]),
    (Avro(POINT, schema_id=7, strict=True), [{"x": -1}]),
    (Avro({**POINT, "name": "1-x"}), [{"x": 1}]),
    (Avro(POINT, registry={"url": "mock://pickles"}).warm_up("t"), [{"x": 3}]),
    (Protobuf(duration_pb2.Duration, schema_id=7), [{"seconds": 1}, duration_pb2.Duration(nanos=2), None]),
    (Protobuf(duration_pb2.Duration, registry={"url": "mock://pickles"}).warm_up("t"), [{"nanos": 2}]),
    (UNION.warm_up("t"), [("n.Point", {"x": 1}), ("n.Other", {"x": 2})]),
]


def encoded(made, rows):
    return [made.encode(row) for row in rows], list(made.encode_batch(rows)), repr(made)


@pytest.mark.parametrize("way", [pickle, cloudpickle])
def test_what_arrives_encodes_the_same(way):
    for made, rows in CASES:
        assert encoded(way.loads(way.dumps(made)), rows) == encoded(made, rows)


def test_through_a_pool():
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        found = [pool.submit(encoded, made, rows) for made, rows in CASES]
        assert [one.result(60) for one in found] == [encoded(made, rows) for made, rows in CASES]


def test_a_registry_is_made_anew_with_its_settings():
    pytest.importorskip("certifi", reason="confluent-kafka[schemaregistry] is not installed")
    registry = Registry({"url": "http://127.0.0.1:1", "timeout": 1}, auto_register=False, normalize=True)
    avro = pickle.loads(pickle.dumps(Avro(POINT, registry)))
    assert avro.registry is not registry
    assert avro.registry.__reduce__() == registry.__reduce__()
    assert repr(avro) == repr(Avro(POINT, registry))


@pytest.mark.parametrize(
    "settings",
    [
        {"url": f"http://user:{WORD}@127.0.0.1:1"},
        {"url": "http://127.0.0.1:1", "basic.auth.user.info": f"user:{WORD}"},
        {"url": "http://127.0.0.1:1", **TOKEN},
    ],
)
@pytest.mark.parametrize("way", [pickle, cloudpickle])
def test_no_secret_is_pickled(settings, way):
    pytest.importorskip("certifi", reason="confluent-kafka[schemaregistry] is not installed")
    with pytest.raises(TypeError, match="warm_up") as caught:
        way.dumps(Avro(POINT, Registry(settings)))
    assert WORD not in str(caught.value)
