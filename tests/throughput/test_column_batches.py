"""Columns through the throughput lane, decoded by readers that are not ours: fastavro, json, numpy."""

from __future__ import annotations

import io
import json

import fastavro
import numpy as np
import pytest

from tests.support.avro import record_of
from tests.support.murmur2 import java_partition
from tests.support.readers import read_all
from twolane import Avro, BatchError, SerializationError, ThroughputProducer, Timestamps
from twolane.serializers import Json, Struct

N = 20_000
SCHEMA = record_of(
    "Flight", carrier="string", number="int", distance="double", at={"type": "long", "logicalType": "timestamp-millis"}
)
# Arrow's, polars' and pandas' columns without a zone could be of any.
AT = Timestamps("at", naive="utc")
CARRIERS = ["AA", "UA", "DL", "WN", "ä"]
LAYOUT = [("carrier", "U2"), ("number", "i4"), ("distance", "f8"), ("at", "M8[ms]")]


def structured():
    rows = np.zeros(N, dtype=LAYOUT)
    rows["carrier"] = np.array(CARRIERS)[np.arange(N) % len(CARRIERS)]
    rows["number"] = np.arange(N) - N // 2
    rows["distance"] = np.arange(N) / 7
    rows["at"] = np.datetime64("2024-02-29", "ms") + np.arange(N) * 60_000
    return rows


def as_dict():
    rows = structured()
    return {name: np.ascontiguousarray(rows[name]) for name in rows.dtype.names}


def as_arrow():
    return pytest.importorskip("pyarrow").table(dict(_lists()))


def as_chunks():
    pyarrow = pytest.importorskip("pyarrow")
    table = as_arrow()
    return pyarrow.concat_tables([table.slice(0, 7), table.slice(7, 12_000), table.slice(12_007)])


def as_polars():
    return pytest.importorskip("polars").DataFrame(dict(_lists()))


def as_pandas():
    return pytest.importorskip("pandas").DataFrame(as_dict())


def _lists():
    rows = structured()
    for name in rows.dtype.names:
        yield name, rows[name].tolist() if name == "carrier" else rows[name]


MAKERS = [structured, as_dict, as_arrow, as_chunks, as_polars, as_pandas]


@pytest.fixture
def producer(embedded_cluster):
    with ThroughputProducer(bootstrap_servers=embedded_cluster.bootstrap_servers) as made:
        yield made


@pytest.fixture
def send(embedded_cluster, producer, topic):
    def send(values, **arguments):
        name = topic(embedded_cluster, 3)
        metadata = producer.send_batch(name, values, **arguments).result(30)
        assert metadata.written == N
        log = {(r.partition, r.offset): r for r in read_all(embedded_cluster.bootstrap_servers, name, expected=N)}
        assert len(log) == N
        return [log[place] for place in zip(metadata.partitions.tolist(), metadata.offsets.tolist(), strict=True)]

    return send


def check_places(records):
    rows = structured()
    for record, carrier, at in zip(records, rows["carrier"], rows["at"].astype(np.int64).tolist(), strict=True):
        assert record.key == carrier.encode()
        assert record.timestamp == (1, at)
        assert record.partition == java_partition(record.key, 3)


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_avro(send, make):
    records = send(make(), keys="carrier", timestamps=AT, serializer=Avro(SCHEMA))
    check_places(records)
    schema, rows = fastavro.parse_schema(SCHEMA), structured()
    for record, row in zip(records, rows.tolist(), strict=True):
        found = fastavro.schemaless_reader(io.BytesIO(record.value), schema, None)
        assert (found["carrier"], found["number"], found["distance"], found["at"].replace(tzinfo=None)) == row


@pytest.mark.parametrize("make", [structured, as_arrow], ids=lambda make: make.__name__)
def test_avro_in_the_wire_format_of_a_registry(send, make):
    records = send(make(), keys="carrier", timestamps=AT, serializer=Avro(SCHEMA, schema_id=77))
    assert all(record.value[:5] == b"\0\0\0\0\x4d" for record in records)


@pytest.mark.parametrize("make", [structured, as_dict], ids=lambda make: make.__name__)
def test_struct(send, make):
    layout = np.dtype([("number", ">i4"), ("distance", "<f8")])
    records = send(make(), keys="carrier", timestamps="at", serializer=Struct(layout))
    check_places(records)
    found = np.frombuffer(b"".join(record.value for record in records), dtype=layout)
    rows = structured()
    assert (found["number"] == rows["number"]).all()
    assert (found["distance"] == rows["distance"]).all()


@pytest.mark.parametrize("make", [structured, as_arrow], ids=lambda make: make.__name__)
def test_json(send, make):
    records = send(make(), keys="carrier", timestamps=AT, serializer=Json())
    check_places(records)
    for record, row in zip(records, structured().tolist(), strict=True):
        found = json.loads(record.value)
        assert (found["carrier"], found["number"], found["distance"]) == row[:3]


def test_a_bad_value_in_a_column_sends_nothing(embedded_cluster, producer, topic):
    name = topic(embedded_cluster)
    columns = as_dict()
    columns["at"][N - 1] = np.datetime64("NaT", "s")
    with pytest.raises(SerializationError) as caught:
        producer.send_batch(name, columns, timestamps="at", serializer=Avro(SCHEMA))
    assert caught.value.index == N - 1
    assert producer.stats().accepted == 0


def test_the_users_columns_are_not_changed(embedded_cluster, producer, topic):
    name = topic(embedded_cluster)
    columns = as_dict()
    before = {key: column.copy() for key, column in columns.items()}
    embedded_cluster.push_errors(0, [87])
    with pytest.raises(BatchError):
        producer.send_batch(name, columns, timestamps="at", serializer=Avro(SCHEMA)).result(30)
    for key, column in columns.items():
        assert (column == before[key]).all()
