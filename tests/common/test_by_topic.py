"""``TopicColumn``: records of one call to several topics, on all lanes."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from twolane import (
    AsyncSafeProducer,
    AsyncThroughputProducer,
    BatchError,
    DeliveryError,
    Json,
    SafeProducer,
    SerializationError,
    ThroughputProducer,
    Timestamps,
    TopicColumn,
    TopicsMetadata,
    Verdict,
)
from twolane.testing import FakeProducer, FakeThroughputProducer

if TYPE_CHECKING:
    from collections.abc import Callable

    from twolane.testing import EmbeddedCluster

N = 60
TOPICS = ["orders", "clicks", "payments", "clicks"]
NAMES = [TOPICS[i % 4] for i in range(N)]
ROWS = [{"id": i, "topic": NAMES[i], "at": 1_700_000_000_000 + i} for i in range(N)]
KINDS: dict[str, Callable[[], Any]] = {
    "rows": lambda: ROWS,
    "generator": lambda: iter(ROWS),
    "arrow": lambda: pa.Table.from_pylist(ROWS),
    "reader": lambda: pa.Table.from_pylist(ROWS).to_reader(max_chunksize=7),
    "categorical": lambda: pl.DataFrame(ROWS).with_columns(pl.col("topic").cast(pl.Categorical)),
    "numpy": lambda: {
        "id": np.arange(N),
        "topic": np.array(NAMES, dtype=object),
        "at": np.array([row["at"] for row in ROWS]),
    },
}
both = pytest.mark.parametrize("lane", [FakeProducer, FakeThroughputProducer])


def finished(result: Any) -> TopicsMetadata:
    metadata = result.result(10) if hasattr(result, "result") else result
    assert isinstance(metadata, TopicsMetadata)
    return metadata


@pytest.mark.parametrize("lane", [SafeProducer, ThroughputProducer])
@pytest.mark.parametrize("kind", KINDS)
def test_each_record_goes_to_its_topic_in_order(embedded_cluster: EmbeddedCluster, lane: Any, kind: str) -> None:
    for name in set(TOPICS):
        embedded_cluster.create_topic(name, partitions=1)
    with lane(bootstrap_servers=embedded_cluster.bootstrap_servers) as producer:
        metadata = finished(
            producer.send_batch(
                TopicColumn("topic"),
                KINDS[kind](),
                serializer=Json(),
                keys=[b"%d" % i for i in range(N)],
                timestamps=Timestamps("at"),
                headers={"n": [b"%d" % i for i in range(N)], "all": b"same"},
            )
        )
    assert (metadata.written, len(metadata)) == (N, N)
    for name in set(TOPICS):
        rows = [i for i in range(N) if NAMES[i] == name]
        records = embedded_cluster.records(name)
        assert [json.loads(record.value)["id"] for record in records] == rows
        assert [record.key for record in records] == [b"%d" % i for i in rows]
        assert [dict(record.headers) for record in records] == [{"n": b"%d" % i, "all": b"same"} for i in rows]
        assert [record.timestamp for record in records] == [1_700_000_000_000 + i for i in rows]
        assert metadata.offsets[rows].tolist() == list(range(len(rows)))
        assert metadata.rows[name].tolist() == rows
        assert metadata.by_topic[name].written == len(rows)


@pytest.mark.parametrize("lane", [AsyncSafeProducer, AsyncThroughputProducer])
def test_it_is_awaited(embedded_cluster: EmbeddedCluster, lane: Any) -> None:
    async def run() -> Any:
        async with lane(bootstrap_servers=embedded_cluster.bootstrap_servers) as producer:
            sent = await producer.send_batch(TopicColumn(NAMES), [b"x"] * N)
            return await sent if lane is AsyncThroughputProducer else sent

    metadata = asyncio.run(run())
    assert (metadata.written, metadata.rows["clicks"].tolist()) == (N, list(range(1, N, 2)))


@both
def test_a_stream_by_topic(lane: Any) -> None:
    with lane() as producer:
        summary = producer.send_stream(TopicColumn("topic"), iter(ROWS), chunk=7, serializer=Json())
        assert {name: len(producer.records_of(name)) for name in set(TOPICS)} == {
            "orders": 15,
            "clicks": 30,
            "payments": 15,
        }
    assert summary.last_offsets == {("orders", 0): 14, ("clicks", 0): 29, ("payments", 0): 14}


@both
def test_a_bad_row_refuses_the_call_and_names_its_topic(lane: Any) -> None:
    with lane() as producer, pytest.raises(SerializationError) as caught:
        producer.send_batch(TopicColumn(["a", "b", "a", "b"]), [b"0", b"1", b"2", 3])
    assert (caught.value.index, caught.value.topic) == (3, "b")
    assert producer.records == []


@both
@pytest.mark.parametrize("bad", [None, "", 5, "a\0", "\0a", "é" * 125])
def test_a_row_without_a_topic(lane: Any, bad: Any) -> None:
    with lane() as producer:
        with pytest.raises(SerializationError) as caught:
            producer.send_batch(TopicColumn(["a", "b", bad]), [b"0", b"1", b"2"])
        assert (caught.value.index, caught.value.field) == (2, "topic")
        assert producer.records == []
        sent = producer.send_batch(TopicColumn(["a", bad, "b"]), [b"0", b"1", 2], on_bad_row="skip")
        metadata = finished(sent)
        assert sent.refused.indices.tolist() == metadata.refused.indices.tolist() == [1, 2]
        assert [(error.index, error.topic) for error in metadata.refused] == [(1, None), (2, "b")]
        assert (metadata.written, metadata.failed, producer.stats().refused) == (1, 0, 2)


@both
def test_an_unknown_topic_is_named_by_its_record(lane: Any) -> None:
    with lane(partitions={"a": 1}) as producer, pytest.raises(DeliveryError) as caught:
        producer.send_batch(TopicColumn(["a", "a", "nowhere"]), [b"0", b"1", b"2"])
    assert (caught.value.index, caught.value.topic) == (2, "nowhere")
    assert producer.records == []


def test_the_safe_lane_stops_at_the_first_failure() -> None:
    with FakeProducer() as producer:
        producer.send_batch("b", [b"before"])
        producer.fail_next(Verdict.NOT_WRITTEN)
        with pytest.raises(BatchError) as caught:
            producer.send_batch(TopicColumn(["b", "a", "b", "a"]), [b"0", b"1", b"2", b"3"])
        error = caught.value
        assert (error.topic, error.index, error.metadata.written) == ("b", 0, 0)
        assert [(failure.index, failure.topic) for failure in error.metadata.failures] == [
            (0, "b"),
            (1, "a"),
            (2, "b"),
            (3, "a"),
        ]
        assert (error.metadata.not_written, error.metadata.unknown) == (4, 0)
        assert len(producer.records) == 1


def test_on_the_throughput_lane_a_topic_fails_by_itself() -> None:
    with FakeThroughputProducer() as producer:
        producer.fail_next(Verdict.UNKNOWN)
        sent = producer.send_batch(TopicColumn(["b", "a", "b", "a"]), [b"0", b"1", b"2", b"3"])
        with pytest.raises(BatchError) as caught:
            sent.result()
    metadata = caught.value.metadata
    assert (metadata.written, metadata.unknown) == (3, 1)
    assert [(failure.index, failure.topic) for failure in metadata.failures] == [(0, "b")]
    assert metadata.offsets.tolist() == [-1, 0, 0, 1]


@both
@pytest.mark.parametrize("name", ["keys", "timestamps", "partitions", "headers"])
def test_columns_have_an_entry_for_each_record(lane: Any, name: str) -> None:
    given = {
        "keys": [b"k"] * 5,
        "timestamps": [1_700_000_000_000] * 5,
        "partitions": [0] * 5,
        "headers": {"h": [b"v"] * 5},
    }
    with lane() as producer, pytest.raises(SerializationError, match="expected 4 entries"):
        producer.send_batch(TopicColumn(["b", "a", "b", "a"]), [b"x"] * 4, **{name: given[name]})


@both
def test_no_records(lane: Any) -> None:
    with lane() as producer:
        metadata = finished(producer.send_batch(TopicColumn([]), []))
    assert (len(metadata), metadata.written, dict(metadata.by_topic)) == (0, 0, {})
